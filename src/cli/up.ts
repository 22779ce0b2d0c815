/**
 * `rum up`: checks the configuration here (its errors belong to the foreground), makes sure of the
 * daemon, asks it, and follows the machine's events. `-d` ends at ready; otherwise it stays until
 * Ctrl+C, whose meaning is the state machine's to decide. `--serve` is the daemon itself.
 */
import { EXIT, RumError, toRumError } from "../base/errors.ts";
import { timeoutSignal } from "../base/long_timer.ts";
import type { DaemonClient } from "../daemon/client.ts";
import type { MachineEvent } from "../protocol/machine_events.ts";
import { createObserver, type Observer } from "../ui/observer.ts";
import { confirmed } from "./confirm.ts";
import { leftUntil, startedDaemon } from "./daemon_client.ts";
import { neverBegan } from "./ask_machine.ts";
import { deafness } from "./deafness.ts";
import { lateness } from "./lateness.ts";
import { nearestConfig } from "./nearest_config.ts";
import { type Target, targetOf } from "./target.ts";
import { terminalOf } from "./terminal.ts";
import { ensureTrusted } from "./trust.ts";
import type { Context, VerbCall } from "./verb.ts";
import { upEnd } from "./up_end.ts";
import { waitForDaemon } from "./verdict.ts";

export async function run(context: Context, call: VerbCall): Promise<number> {
  const { options } = call;
  if (typeof options.serve === "string") return await beDaemon(context, options.serve);
  const target = await targetOf(context);
  const config = await nearestConfig(context, target);
  await ensureTrusted(context, config);
  if (options.dryRun === true) {
    const { dryRun } = await import("./up_dry_run.ts");
    using late = lateness(context, "up --dry-run", "rum doctor");
    return await Promise.race([dryRun(context, target, config), late.never]);
  }
  const reset = await resetOf(context, options, config.name);
  const detach = options.detach === true ||
    (options.attach !== true && !context.stdinIsTerminal);
  const asked: UpOptions = {
    detach,
    attach: options.attach === true,
    ...(reset === undefined ? {} : { reset }),
  };
  const { timeoutMs } = context.globals;
  const end = performance.now() + (timeoutMs ?? Infinity);
  using late = timeoutMs === undefined ? undefined : timeoutSignal(timeoutMs);
  const deadline = late?.signal;
  for (let attempt = 1;; attempt++) {
    const left = timeoutMs === undefined ? undefined : leftUntil(end);
    await using client = await startedDaemon(context, target, left);
    try {
      return await follow(context, target, client, asked, deadline);
    } catch (thrown) {
      if (!isEnding(thrown) || attempt === ENDINGS_MAX || deadline?.aborted) {
        throw await waitForDaemon(thrown, target);
      }
      // It takes nothing new any more and frees the machine soon; the next one begins with this.
      context.out.detail(`${thrown.message}; waiting for its end`);
      await goneSoon(client);
    }
  }
}

const ENDINGS_MAX = 5;
const END_MS = 10_000;

/**
 * Refused before it began (the machine's work was done just then, or a cut-short destroy was ended), or
 * the daemon went without a word on it: its end and the request met on the way.
 */
function isEnding(thrown: unknown): thrown is RumError {
  return thrown instanceof Unheard ||
    thrown instanceof RumError && thrown.code === "shutting_down" && thrown.data?.began !== true;
}

/** The connection broke off before the first event. */
class Unheard extends RumError {}

async function goneSoon(client: DaemonClient): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, END_MS);
  await Promise.race([client.ended, late]);
  clearTimeout(timer);
}

interface UpOptions {
  readonly detach: boolean;
  readonly attach: boolean;
  readonly reset?: "disk" | "all";
}

async function follow(
  context: Context,
  target: Target,
  client: DaemonClient,
  options: UpOptions,
  deadline: AbortSignal | undefined,
): Promise<number> {
  const { out } = context;
  using observer = createObserver({ out, terminal: terminalOf() });
  using interrupts = interruptsTo(context, target, client, observer);
  let result;
  let heard: MachineEvent | undefined;
  try {
    const asked = client.request("up", options, {
      onEvent(event) {
        heard = event as unknown as MachineEvent;
        observer.event(heard);
      },
      ...(deadline === undefined ? {} : { signal: deadline }),
    });
    result = await Promise.race([asked, interrupts.deaf]);
  } catch (thrown) {
    observer.settle();
    if (deadline?.aborted) throw timedOut(context, client);
    // What this command's own interrupt came to is its answer, not that its `up` was overtaken.
    if (interrupts.ended && toRumError(thrown).code === "interrupted" && !neverBegan(thrown)) {
      const { code, did } = await interrupts.result();
      out.document("up", { did, exit: code, id: target.id }, () => sentenceOf(did, target));
      return code;
    }
    const error = toRumError(thrown);
    if (error.code === "daemon_failed" && heard === undefined && !interrupts.ended) {
      throw new Unheard(error.code, error.message, { hint: error.hint, cause: error });
    }
    throw error;
  }
  observer.settle();
  const did = String(result.did);
  const exit = Number(result.exit);
  if (did === "not_ready") {
    throw new RumError(
      "not_ready",
      `The machine runs, but it is not ready: ${result.text ?? "[ready] was not met in time"}`,
      { hint: "rum status" },
    );
  }
  if (options.detach || exit !== 0 || did === "wiped" || did === "stopped" || did === "left") {
    out.document("up", { ...result, id: target.id }, () => sentenceOf(did, target));
    return exit;
  }
  const owned = result.owned === true;
  return await stay(context, target, client, observer, interrupts, { owned, since: heard?.seq });
}

/** The machine is ready and this command owns it, or watches it: logs and events until the end. */
async function stay(
  context: Context,
  target: Target,
  client: DaemonClient,
  observer: Observer,
  interrupts: Interrupts,
  { owned, since }: { readonly owned: boolean; readonly since: number | undefined },
): Promise<number> {
  const { out } = context;
  out.note(
    owned
      ? "The machine is ready. Ctrl+C ends it; d leaves it running."
      : "The machine is ready, and not this command's. Ctrl+C leaves it running; rum down stops it.",
  );
  using keys = context.stdinIsTerminal ? detachKey(() => interrupts.detach()) : undefined;
  void keys;
  const over = new AbortController();
  const end = upEnd();
  // Also where nothing happens any more: a bystander's interrupt, a machine that is off by now.
  interrupts.answered.then(() => over.abort());
  try {
    // From the last one heard on: the machine may have gone off between the answer and this.
    const watched = client.request("events", {
      follow: true,
      ...(since === undefined ? {} : { since }),
    }, {
      signal: over.signal,
      onEvent(event) {
        const machine = event as unknown as MachineEvent;
        observer.event(machine);
        if (end.event(machine)) over.abort();
      },
    });
    await Promise.race([watched, interrupts.deaf]);
  } catch (thrown) {
    if (toRumError(thrown).code === "daemon_hung") throw thrown;
    if (!over.signal.aborted && !interrupts.ended) throw thrown;
  }
  const { code, did } = interrupts.ended ? await interrupts.result() : end.result();
  out.document("up", { did, exit: code, id: target.id }, () => sentenceOf(did, target));
  return code;
}

interface Interrupts extends Disposable {
  /** `d`: leaves, the machine runs on. */
  detach(): void;
  readonly ended: boolean;
  /** Rejects when the daemon hears no interrupt. */
  readonly deaf: Promise<never>;
  /** Resolves when the first interrupt is answered. */
  readonly answered: Promise<void>;
  result(): Promise<{ code: number; did: string }>;
}

/** Ctrl+C goes to the machine's state machine, each further one too: it decides what it means. */
function interruptsTo(
  context: Context,
  target: Target,
  client: DaemonClient,
  observer: Observer,
): Interrupts {
  const deaf = deafness(target);
  let answer: Promise<{ code: number; did: string }> | undefined;
  let left = false;
  const answered = Promise.withResolvers<void>();
  const ask = () => {
    observer.settle();
    context.out.note("Interrupted; asking the machine's background process. Again = force.");
    // Its events come with the request that is followed already.
    const asked = client.request("interrupt", {}).then(
      (result) => ({ code: Number(result.exit), did: String(result.did) }),
      (thrown) => {
        const error = toRumError(thrown);
        return { code: error.exitCode, did: error.code };
      },
    );
    answer ??= asked;
    deaf.check();
    asked.then(() => answered.resolve());
  };
  const onAbort = () => ask();
  context.signal.addEventListener("abort", onAbort, { once: true });
  context.onSecondInterrupt = ask;
  if (context.signal.aborted) ask();
  return {
    detach() {
      left = true;
      client.request("detach", {}).catch(() => {}).finally(() => client.close());
    },
    deaf: deaf.never,
    answered: answered.promise,
    get ended() {
      return left || answer !== undefined;
    },
    async result() {
      if (left) return { code: EXIT.ok, did: "detached" };
      return await answer!;
    },
    [Symbol.dispose]() {
      deaf[Symbol.dispose]();
      context.signal.removeEventListener("abort", onAbort);
      context.onSecondInterrupt = undefined;
    },
  };
}

/** A `d` on the terminal; other keys are ignored. */
function detachKey(detach: () => void): Disposable {
  Deno.stdin.setRaw(true, { cbreak: true });
  const reader = Deno.stdin.readable.getReader();
  (async () => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      if (value.includes("d".charCodeAt(0))) return detach();
    }
  })().catch(() => {});
  return {
    [Symbol.dispose]() {
      reader.cancel().catch(() => {});
      Deno.stdin.setRaw(false);
    },
  };
}

function sentenceOf(did: string, target: Target): string {
  switch (did) {
    case "ready":
      return "The machine is ready.";
    case "detached":
    case "left":
      return "The machine runs on; rum down stops it.";
    case "destroyed":
      return "The machine and its disks are gone.";
    case "wiped":
      return "Interrupted in the first boot: the half-made machine was removed.";
    case "cancelled":
      return "Interrupted: what was being prepared was removed.";
    case "stopped":
      return "The machine is off; nothing was deleted.";
    case "forced":
      return "The machine was powered off; nothing was deleted.";
    case "nothing":
      return "The machine is up already; nothing to do.";
    default:
      return `${did} (machine ${target.id})`;
  }
}

function timedOut(context: Context, client: DaemonClient): RumError {
  client.close();
  return new RumError(
    "timeout",
    `The machine was not ready within --timeout; it is left as it is`,
    { hint: "rum status", data: { timeout_ms: context.globals.timeoutMs } },
  );
}

async function resetOf(
  context: Context,
  options: VerbCall["options"],
  name: string,
): Promise<"disk" | "all" | undefined> {
  if (options.reset === undefined) return undefined;
  if (options.reset !== true && options.reset !== "all") {
    throw new RumError("usage", `Cannot reset "${options.reset}": wanted --reset or --reset=all`);
  }
  const what = options.reset === "all" ? "all" : "disk";
  if (options.yes !== true) {
    const sentence = what === "all"
      ? `Replace the disk and every drive of "${name}"? What is on them is lost.`
      : `Replace the disk of "${name}"? What is on it is lost; [drives] are kept.`;
    const hint = `rum up --reset${what === "all" ? "=all" : ""} -y`;
    if (!await confirmed(context, sentence, { hint })) {
      throw new RumError("interrupted", "Nothing was changed");
    }
  }
  return what;
}

async function beDaemon(context: Context, id: string): Promise<number> {
  const [{ serve }, { composer }, { machinePaths }, { requireId }] = await Promise.all([
    import("../daemon/serve.ts"),
    import("../daemon/compose.ts"),
    import("../plan/paths.ts"),
    import("../store/machine_folder.ts"),
  ]);
  requireId(id);
  const configPath = context.globals.config;
  return await serve({
    id,
    paths: machinePaths(context.paths, id),
    env: context.env,
    compose: composer({
      rum: context.paths,
      env: context.host,
      ...(configPath === undefined ? {} : { configPath }),
    }),
  });
}
