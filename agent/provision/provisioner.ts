/**
 * Provisioning: at most one run at a time, owned by the agent and not by the call that asked for it.
 *
 *   a host asks     → its scripts are cached, what is due runs, it follows the output
 *   the link dies   → the run goes on; who comes back follows from where it was
 *   a host cancels  → the run it asked for is ended
 *   nobody comes    → after the wait, Boot scripts run from the cache, once per boot
 *
 * The marks decide what is due (`schedule.ts`); nothing here remembers what they know.
 */
import { type Clock, systemClock } from "../../src/base/clock.ts";
import { RumError } from "../../src/base/errors.ts";
import type {
  GuestScript,
  ProvisionEvent,
  ProvisionParams,
  ProvisionResult,
} from "../../src/protocol/agent.ts";
import type { Facts } from "../facts.ts";
import type { HostPresence } from "../host_presence.ts";
import type { AgentLog } from "../log.ts";
import type { AgentOptions } from "../options.ts";
import { ScriptCache } from "./cache.ts";
import { MarkFiles } from "./marks.ts";
import { schedule } from "./schedule.ts";
import { runScript } from "./script.ts";
import { Spool } from "./spool.ts";
import { type Wait, waitFor, waitsFor, waitsForNothing } from "./waits.ts";

interface Run {
  readonly result: Promise<ProvisionResult>;
  readonly unattended: boolean;
  /** A script of it has started; before that nothing has happened that a newer script could repeat. */
  begun: boolean;
  abort(): void;
}

/** How long a host may be at work before it asks for scripts: file systems, copies of folders. */
const HOST_AT_WORK_MS = 15 * 60_000;

export class Provisioner {
  readonly marks: MarkFiles;
  readonly spool = new Spool();
  readonly #clock: Clock;
  readonly #options: AgentOptions;
  readonly #facts: Facts;
  readonly #log: AgentLog;
  readonly #cache: ScriptCache;
  #run: Run | undefined;
  #asked = Promise.withResolvers<void>();
  #hostAsked = false;

  constructor(options: AgentOptions, facts: Facts, log: AgentLog, clock: Clock = systemClock) {
    this.#clock = clock;
    this.#options = options;
    this.#facts = facts;
    this.#log = log;
    this.marks = new MarkFiles(options, facts.bootId);
    this.#cache = new ScriptCache(options);
  }

  /**
   * Starts what is due, or joins the run under way.
   *
   * @throws {RumError} `busy` when another run is under way and this is not `due`
   */
  async begin(params: ProvisionParams): Promise<{ run: Run; joined: boolean }> {
    this.#hostAsked = true;
    this.#asked.resolve();
    // A boot that began without a host, and still waits for its network, yields: the host's scripts
    // may be newer. Once a script runs it is joined, or the same boot would run two.
    const alone = this.#run;
    if (alone?.unattended && !alone.begun) {
      alone.abort();
      await alone.result.catch(() => {});
    }
    await this.#cache.store(params, { prune: this.#run === undefined });
    if (this.#run !== undefined) {
      if (params.run === "due" || params.run === "retry") return { run: this.#run, joined: true };
      throw new RumError("busy", "Provisioning scripts are running in the guest already");
    }
    return { run: this.#start(params, false), joined: false };
  }

  get running(): boolean {
    return this.#run !== undefined;
  }

  /** Resolves when no scripts run; how they ended is nobody's business here. */
  async settled(): Promise<void> {
    await this.#run?.result.catch(() => {});
  }

  /** Follows the output from `have` on; ends with the run. */
  follow(have: ProvisionParams["have"], signal: AbortSignal): AsyncGenerator<ProvisionEvent> {
    const after = have?.bootId === this.#facts.bootId ? have.seq : 0;
    return this.spool.follow(after, signal);
  }

  /** The agent's own start: waits for a host, else runs this boot's scripts from the cache. */
  async runUnattended(host: HostPresence): Promise<void> {
    const due = async () =>
      this.#run === undefined && (await this.marks.read()).sentinel &&
      await this.marks.readBoot() === undefined;
    if (!await due()) return;
    const { hostWaitMs } = this.#options;
    // A host that said hello asks when it has set up the rest; should it die in between, the boot
    // goes on without it.
    if (await this.#within(host.seen, hostWaitMs)) {
      const end = this.#clock.monotonicMs() + HOST_AT_WORK_MS;
      while (host.restMs < 3 * hostWaitMs && this.#clock.monotonicMs() < end) {
        if (await this.#within(this.#asked.promise, hostWaitMs)) break;
      }
    }
    const cached = await this.#cache.load();
    if (cached === undefined || !await due()) return;
    // Looked at last, with nothing awaited after it: from its asking on this boot is the host's.
    if (this.#hostAsked) return;
    this.#log.write("no host asked: running this boot's scripts from the cache");
    await this.#start({ ...cached, run: "due" }, true).result;
  }

  async #within(event: Promise<void>, ms: number): Promise<boolean> {
    const over = new AbortController();
    const late = this.#clock.sleep(ms, { signal: over.signal }).then(() => false, () => false);
    try {
      return await Promise.race([event.then(() => true), late]);
    } finally {
      over.abort();
    }
  }

  #start(params: ProvisionParams, unattended: boolean): Run {
    const controller = new AbortController();
    this.spool.reopen();
    const { promise: result, resolve, reject } = Promise.withResolvers<ProvisionResult>();
    result.catch(() => {});
    const run: Run = { result, unattended, begun: false, abort: () => controller.abort() };
    this.#run = run;
    this.#runAll(params, run, controller.signal).finally(() => {
      this.#run = undefined;
      this.spool.close();
    }).then(resolve, reject);
    return run;
  }

  async #runAll(
    params: ProvisionParams,
    self: Run,
    signal: AbortSignal,
  ): Promise<ProvisionResult> {
    const { bootId } = this.#facts;
    const { root } = this.#options;
    const before = await this.marks.readBoot();
    const boot = before ?? {};
    const { run, skipped } = schedule(params.scripts, params.run, await this.marks.read(), boot);
    await this.marks.claimBoot();
    const ran: ProvisionResult["ran"] = [];
    if (run.length > 0) await this.#waitFor(waitsFor(params.waits, root), signal);
    else if (before === undefined) {
      await this.#waitFor(waitsForNothing(params.waits, root), signal);
    }
    for (const script of run) {
      signal.throwIfAborted();
      self.begun = true;
      const outcome = await this.#runOne(script, signal);
      if (outcome.code !== 0) {
        const { code, tail, reason } = outcome;
        return {
          bootId,
          ok: false,
          failed: { name: script.name, code, reason, tail: [...tail] },
          ran,
          skipped: [...skipped],
        };
      }
      ran.push({ name: script.name, runOn: script.runOn, code: 0, ms: outcome.ms });
      if (script.runOn === "system") await this.#sentinelIfDone(params.scripts);
    }
    await this.#sentinelIfDone(params.scripts);
    const failed = params.run === "due"
      ? params.scripts.find((s) => s.runOn === "boot" && isFailed(boot[s.name]?.state))
      : undefined;
    if (failed === undefined) return { bootId, ok: true, ran, skipped: [...skipped] };
    return {
      bootId,
      ok: false,
      failed: {
        name: failed.name,
        code: boot[failed.name].code,
        reason: boot[failed.name].state === "started"
          ? "was ended with the agent, earlier in this boot"
          : "failed earlier in this boot",
        tail: [],
      },
      ran,
      skipped: [...skipped],
    };
  }

  async #runOne(script: GuestScript, signal: AbortSignal) {
    const { name, runOn, hash } = script;
    if (runOn === "boot") await this.marks.markBoot(name, { hash, state: "started" });
    await this.spool.append({ kind: "started", at: Date.now(), script: name, runOn });
    const outcome = await runScript(script, {
      file: this.#cache.fileOf(script),
      cwd: "/",
      signal,
      take: (lines) => this.spool.append({ kind: "lines", at: lines[0].at, script: name, lines }),
    });
    const { code, ms } = outcome;
    if (runOn === "boot") {
      await this.marks.markBoot(name, { hash, state: code === 0 ? "passed" : "failed", code });
    } else if (code === 0) {
      await this.marks.markDone(name, hash);
    }
    const message = code === 0 ? undefined : outcome.reason;
    await this.spool.append({
      kind: "ended",
      at: Date.now(),
      script: name,
      runOn,
      code,
      ms,
      message,
    });
    this.#log.write(`script ${name}: ${outcome.reason} after ${ms} ms`);
    return outcome;
  }

  async #waitFor(waits: readonly Wait[], signal: AbortSignal): Promise<void> {
    for (const wait of waits) {
      const missing = await wait.look();
      if (missing === undefined) continue;
      await this.spool.append({
        kind: "waiting",
        at: Date.now(),
        message: `Waiting for ${wait.name}: ${missing}`,
      });
      const { ok, ms, seen } = await waitFor(wait, { signal });
      const message = ok
        ? `${wait.name}: there after ${ms} ms`
        : `${wait.name}: still missing after ${ms} ms (${seen}); going on`;
      await this.spool.append({ kind: "note", at: Date.now(), message });
    }
  }

  async #sentinelIfDone(scripts: readonly GuestScript[]): Promise<void> {
    const { sentinel, done } = await this.marks.read();
    if (sentinel) return;
    const owed = scripts.filter((s) => s.runOn === "system" && done[s.name] !== s.hash);
    if (owed.length === 0) await this.marks.writeSentinel();
  }
}

function isFailed(state: string | undefined): boolean {
  return state === "failed" || state === "started";
}
