/**
 * What a machine's life asks of its guest: the state machine's Guest port over the agent's session.
 * Provisioning is: bring the agent up to date, apply the plan, run what is due.
 */
import { RumError } from "../base/errors.ts";
import { VERSION } from "../base/version.ts";
import type { Clock } from "../base/clock.ts";
import { faultPoint } from "../base/fault.ts";
import { withDeadline } from "../base/deadline.ts";
import type { AgentClient } from "../guest/agent_client.ts";
import type { AgentSession } from "../guest/agent_session.ts";
import type { Guest, WorkContext } from "../machine/effects.ts";
import type { PlanChanges } from "../machine/events.ts";
import type { ProvisionScope } from "../machine/state.ts";
import type { Plan } from "../plan/types.ts";
import type { ApplyParams, ProvisionParams, ProvisionResult } from "../protocol/agent.ts";
import type { EventBody } from "../protocol/machine_events.ts";
import type { ConsoleLog } from "./console_log.ts";
import type { ScriptLogs } from "./script_logs.ts";

export interface GuestPortOptions {
  readonly session: () => AgentSession;
  readonly plan: () => Plan;
  /** Takes over, before scripts run, what the last `up` wanted. */
  readonly adoptPlan: () => Promise<void>;
  /** The machine's own public key, beside those of rum.toml. */
  readonly machineKey: () => Promise<string>;
  readonly logs: ScriptLogs;
  readonly emit: (event: EventBody) => void;
  readonly clock: Clock;
  /** Changes between the recorded plan and the wanted one, carried out as far as they can be. */
  readonly applyChanges: (context: WorkContext) => Promise<PlanChanges>;
  /** Copied folders, brought in sync before a script may want what is in them. */
  readonly copyFolders: (client: AgentClient, signal: AbortSignal) => Promise<void>;
  /** What else lives on the link: forwards, services, folders. */
  readonly attach: (client: AgentClient, signal: AbortSignal) => Promise<void>;
  readonly stopServices: (client: AgentClient, signal: AbortSignal) => Promise<void>;
  /** Names of services that must be up before the machine counts as ready, and whether they are. */
  readonly servicesReady: (client: AgentClient, signal: AbortSignal) => Promise<string | undefined>;
  /** The sentence that names a service which nothing will bring up any more but somebody's `start`. */
  readonly servicesOver: () => string | undefined;
  /** For a boot whose agent never comes: what it printed, and whether it got as far as a login. */
  readonly console: Pick<ConsoleLog, "tail" | "listen">;
}

const READY_POLL_MS = 500;
const UPGRADE_MS = 60_000;
const LINK_BACK_MS = 60_000;
const CONSOLE_LINES = 8;
const LOGIN_PROMPT = /\blogin: *$/;
/** An agent that comes at all is there before the login prompt, or not long after it. */
const AT_LOGIN_MS = 180_000;

export function createGuestPort(options: GuestPortOptions): Guest {
  const { plan, emit, clock, logs } = options;
  return {
    async greet({ signal, deadlineMs }) {
      try {
        const first = await orLoginFirst(
          (signal) => options.session().ready({ timeoutMs: deadlineMs - 1000, signal }),
          signal,
        );
        const { hello } = await upToDate(first, signal);
        await faultPoint("greet.hello");
        return {
          boot_id: hello.bootId,
          first_boot_done: hello.firstBootDone,
          version: hello.version,
          scripts: hello.doneScripts,
        };
      } catch (error) {
        if (!(error instanceof RumError) || error.code !== "agent_unavailable") throw error;
        const tail = await options.console.tail(CONSOLE_LINES);
        throw new RumError(
          "agent_unavailable",
          tail.length === 0
            ? `${error.message}; the console printed nothing`
            : `${error.message}; the console's last lines:\n${
              tail.map((l) => `  ${l}`).join("\n")
            }`,
          { cause: error, hint: "rum log --source boot" },
        );
      }
    },

    async provision({ signal, scope, boot }) {
      if (boot) await options.adoptPlan();
      await applyPlan(options.session().require(), plan(), await options.machineKey(), {
        signal,
        emit,
      });
      await options.copyFolders(options.session().require(), signal);
      await faultPoint("provision.applied");
      // A large first copy may keep a slow guest silent until its link counts as lost; it comes back.
      const client = await options.session().ready({ timeoutMs: LINK_BACK_MS, signal });
      const result = await runScripts(client, plan(), scope, logs, signal);
      await faultPoint("provision.ran");
      return { scripts: doneScripts(plan(), result) };
    },

    async awaitReady({ signal }) {
      let attached: AgentClient | undefined;
      // Another link: what followed the services and copied the folders ended with the one before.
      const attach = async (client: AgentClient | undefined) => {
        if (client === undefined || client === attached) return;
        try {
          await options.attach(client, signal);
          attached = client;
        } catch (error) {
          if (signal.aborted || options.session().client === client) throw error;
        }
      };
      await attach(await options.session().ready({ timeoutMs: LINK_BACK_MS, signal }));
      await faultPoint("ready.attached");
      const { ready } = plan();
      const end = clock.monotonicMs() + ready.timeoutMs;
      for (;;) {
        const { client } = options.session();
        await attach(client);
        const why = await notReadyBecause(client === attached ? client : undefined, signal);
        if (why === undefined) return { ready: true };
        const over = ready.services ? options.servicesOver() : undefined;
        if (over !== undefined) return { ready: false, why: over };
        if (clock.monotonicMs() >= end) return { ready: false, why };
        await clock.sleep(READY_POLL_MS, { signal });
      }
    },

    applyChanges: (context) => options.applyChanges(context),
    restore: ({ signal }) => options.attach(options.session().require(), signal),
    async stopServices({ signal }) {
      const client = options.session().client;
      if (client !== undefined) await options.stopServices(client, signal);
      await faultPoint("stop.services");
    },
  };

  /** Gives a wait for the agent up early, when the guest has stood at its login prompt for long. */
  async function orLoginFirst<T>(
    wait: (signal: AbortSignal) => Promise<T>,
    outer: AbortSignal,
  ): Promise<T> {
    const over = new AbortController();
    const signal = AbortSignal.any([outer, over.signal]);
    const { promise: tooLong, reject } = Promise.withResolvers<never>();
    const unlisten = options.console.listen((bytes) => {
      if (!LOGIN_PROMPT.test(new TextDecoder().decode(bytes))) return;
      unlisten();
      clock.sleep(AT_LOGIN_MS, { signal }).then(() =>
        reject(
          new RumError(
            "agent_unavailable",
            `The guest has been at its login prompt for ${
              AT_LOGIN_MS / 1000
            } s and no agent answers; ` +
              "it is started by cloud-init and systemd, which the image must have",
          ),
        ), () => {});
    });
    try {
      return await Promise.race([wait(signal), tooLong]);
    } finally {
      unlisten();
      over.abort(new DOMException("The wait is over", "AbortError"));
    }
  }

  /** A host that carries another agent replaces it in place; the session comes back by itself. */
  async function upToDate(client: AgentClient, signal: AbortSignal): Promise<AgentClient> {
    const { agent } = plan();
    const { digest, version } = client.hello;
    if (digest === agent.digest || digest === "unknown") return client;
    if (compareVersions(version, VERSION) > 0) {
      throw new RumError(
        "agent_newer",
        `The agent in the guest is of rum ${version}, and this is rum ${VERSION}`,
        { hint: "use that rum, or a later one" },
      );
    }
    emit({ kind: "note", text: `replacing the guest agent ${version} by ${VERSION}` });
    await client.upgrade(agent, { signal });
    const end = clock.monotonicMs() + UPGRADE_MS;
    for (;;) {
      const now = options.session().client;
      if (now !== undefined && now !== client) return now;
      if (clock.monotonicMs() > end) {
        throw new RumError(
          "agent_unavailable",
          "The guest agent did not come back after it was replaced",
          { hint: "rum log --source boot" },
        );
      }
      await clock.sleep(50, { signal });
    }
  }

  /** Undefined = ready; else the sentence that names what is missing. */
  async function notReadyBecause(
    client: AgentClient | undefined,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    if (client === undefined) return "the guest agent does not answer";
    const { ready } = plan();
    if (ready.port !== undefined && !await portAnswers(client, ready.port, signal)) {
      return `nothing listens on port ${ready.port} in the guest`;
    }
    if (ready.exec !== undefined) {
      const code = await exitCodeOf(client, ready.exec, signal);
      if (code !== 0) return `[ready] exec exits with ${code}`;
    }
    return ready.services ? await options.servicesReady(client, signal) : undefined;
  }
}

/** The plan as the agent takes it. */
export function applyParamsOf(plan: Plan, machineKey: string): ApplyParams {
  return {
    hostname: plan.hostname,
    user: {
      name: plan.user.name,
      groups: [...plan.user.groups],
      shell: plan.user.shell,
      authorizedKeys: [...new Set([machineKey, ...plan.ssh.authorizedKeys])],
    },
    mounts: plan.mounts.map((mount) => ({
      tag: mount.tag,
      target: mount.target,
      type: mount.type,
      readonly: mount.readonly,
      default: mount.default,
    })),
    fileSystems: plan.fileSystems.map((fs) => ({
      type: fs.type,
      serials: fs.drives.map((name) => plan.drives.find((d) => d.name === name)!.serial),
      target: fs.target,
      ...(fs.mode === undefined ? {} : { mode: fs.mode }),
      ...(fs.pool === undefined ? {} : { pool: fs.pool }),
    })),
  };
}

/** @throws {RumError} `mount_failed` with every item that failed */
export async function applyPlan(
  client: AgentClient,
  plan: Plan,
  machineKey: string,
  { signal, emit }: { signal: AbortSignal; emit: (event: EventBody) => void },
): Promise<string[]> {
  const outcomes = await client.apply(applyParamsOf(plan, machineKey), { signal });
  const failed = outcomes.filter((each) => each.outcome === "failed");
  if (failed.length > 0) {
    throw new RumError(
      "mount_failed",
      `Cannot set up ${
        failed.map((f) => `${f.item} (${f.message ?? "no reason given"})`).join("; ")
      }`,
      { hint: "rum provision" },
    );
  }
  const changed = outcomes.filter((each) => each.outcome === "changed").map((each) => each.item);
  if (changed.length > 0) {
    emit({ kind: "note", text: `set up in the guest: ${changed.join(", ")}` });
  }
  return changed;
}

/** @throws {RumError} `provision_failed` with the script's name, code and tail */
export async function runScripts(
  client: AgentClient,
  plan: Plan,
  scope: ProvisionScope,
  logs: ScriptLogs,
  signal: AbortSignal,
): Promise<ProvisionResult> {
  const params: ProvisionParams = {
    scripts: [...plan.scripts],
    // What failed in this boot is what whoever asks again wants to see run.
    run: scope === "due" ? "retry" : scope,
    waits: { network: hasRoute(plan), user: plan.user.name },
    have: await logs.resume(client.hello),
  };
  const result = await client.provision(params, (event) => logs.take(event), { signal });
  if (!result.ok && result.failed !== undefined) {
    const { name, code, reason, tail } = result.failed;
    const how = code === undefined ? reason : `exit code ${code}`;
    throw new RumError(
      "provision_failed",
      [`Script ${name} failed: ${how}`, ...tail.slice(-15).map((line) => `  ${line}`)].join("\n"),
      {
        hint: "rum log --failed",
        data: {
          script: name,
          ...(code === undefined ? {} : { code }),
          tail: tail.slice(-15),
          log: plan.paths.scriptLog(name),
        },
      },
    );
  }
  return result;
}

/** Whether the guest gets a way out at all: a machine on an isolated network only has none to wait for. */
function hasRoute(plan: Plan): boolean {
  return plan.nics.some((nic) => nic.kind === "user") ||
    plan.networks.some((network) => network.forward === "nat");
}

function doneScripts(plan: Plan, result: ProvisionResult): Record<string, string> {
  const passed = new Set([
    ...result.ran.filter((r) => r.code === 0).map((r) => r.name),
    ...result.skipped,
  ]);
  return Object.fromEntries(
    plan.scripts.filter((s) => passed.has(s.name)).map((s) => [s.name, s.hash]),
  );
}

/** Dotted numbers; anything else counts as 0. */
function compareVersions(a: string, b: string): number {
  const parts = (v: string) => v.split(".").map((n) => Number.parseInt(n, 10) || 0);
  const [left, right] = [parts(a), parts(b)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

async function portAnswers(
  client: AgentClient,
  port: number,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const stream = await client.dial(port, { signal, timeoutMs: 3000 });
    stream.abort();
    return true;
  } catch {
    signal.throwIfAborted();
    return false;
  }
}

async function exitCodeOf(
  client: AgentClient,
  argv: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  try {
    return await withDeadline(
      { waitingFor: "[ready] exec", timeoutMs: 10_000, signal },
      async (inner) => {
        const { code } = await client.exec({ argv: [...argv] }, {
          stdout: () => {},
          stderr: () => {},
        }, { signal: inner });
        return code;
      },
    );
  } catch {
    signal.throwIfAborted();
    return 255;
  }
}
