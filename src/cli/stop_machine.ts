/**
 * `down` and `destroy` in common: ask the daemon that is there; end one that hangs; without one, do
 * it here under the lock. Neither ever starts a daemon, and neither needs a good rum.toml.
 */
import { RumError } from "../base/errors.ts";
import { connectDaemon, type DaemonClient } from "../daemon/client.ts";
import { endHungDaemon } from "../daemon/hung.ts";
import { livingHolder } from "../daemon/probe.ts";
import type { RequestInput } from "../machine/run.ts";
import type { MachineEvent } from "../protocol/machine_events.ts";
import { createObserver } from "../ui/observer.ts";
import { deafness } from "./deafness.ts";
import type { Target } from "./target.ts";
import { terminalOf } from "./terminal.ts";
import type { Context } from "./verb.ts";

export interface StopRequest {
  readonly operation: "down" | "destroy";
  /** What the daemon is asked. */
  readonly params: { readonly force?: boolean; readonly timeout_ms?: number };
  /** What is done here when there is none. */
  readonly alone: (client: string, defaultTimeoutMs: number) => RequestInput;
  readonly deadlineMs: number;
}

/** How long a daemon may keep silent before it is ended. */
const HUNG_MS = 10_000;
/** A failed attempt to connect took this long before we learned of it. */
const ATTEMPT_MS = 3000;

/** @returns what was done, or undefined when there was nothing to do it to */
export async function stopMachine(
  context: Context,
  target: Target,
  request: StopRequest,
): Promise<Record<string, unknown> | undefined> {
  using observer = createObserver({ out: context.out, terminal: terminalOf() });
  const onEvent = (event: unknown) => observer.event(event as MachineEvent);
  const end = performance.now() + request.deadlineMs;
  let hungSince: number | undefined;
  for (let attempt = 1;; attempt++) {
    try {
      await using client = await connectDaemon(target.paths, { signal: context.signal });
      using interrupts = interruptsOf(context, client, target, request.operation);
      const asked = request.operation === "down"
        ? client.request("down", { force: false, ...request.params }, { onEvent })
        : client.request("destroy", {}, { onEvent });
      return { ...await Promise.race([asked, interrupts.end]) };
    } catch (thrown) {
      if (!(thrown instanceof RumError)) throw thrown;
      switch (thrown.code) {
        case "daemon_hung":
          hungSince ??= performance.now() - ATTEMPT_MS;
          if (performance.now() - hungSince < HUNG_MS) break;
          context.out.note("The machine's background process does not answer; ending it");
          await endHungDaemon(target.paths, { signal: context.signal });
          break;
        case "daemon_unreachable":
          // A holder that is just starting will listen soon; one that ends will free the lock.
          if (await livingHolder(target.paths.lock) === undefined) {
            const done = await alone(context, target, request, onEvent);
            if (done !== "taken") return done;
          }
          break;
        // The daemon ended, or is ending, under our request: whoever is next may do it.
        case "daemon_failed":
        case "shutting_down":
        // A one-shot `down` or `destroy` has it; when it has ended, ours is short work.
        case "busy":
          break;
        default:
          throw thrown;
      }
      if (performance.now() > end) throw thrown;
      context.out.detail(`${thrown.message}; trying again (${attempt})`);
      await new Promise((resolve) => setTimeout(resolve, Math.min(100 * attempt, 1000)));
      context.signal.throwIfAborted();
    }
  }
}

/**
 * An interrupt takes no word back that the daemon heard: the machine goes off all the same. The first
 * Ctrl+C says so, the second one powers it off now (of a destroy, which is forced already: leaves). TERM,
 * which nobody sends twice, leaves at once; and nobody waits for a daemon that hears nothing.
 */
function interruptsOf(
  context: Context,
  client: DaemonClient,
  target: Target,
  operation: StopRequest["operation"],
): Disposable & { readonly end: Promise<never> } {
  const { signal, out } = context;
  const deaf = deafness(target);
  const { promise: left, reject } = Promise.withResolvers<never>();
  left.catch(() => {});
  const leave = () =>
    reject(
      new RumError("interrupted", `Interrupted; the ${operation} goes on without this command`, {
        hint: "rum status",
      }),
    );
  const first = () => {
    deaf.check();
    if (!/Ctrl\+C/.test(String(signal.reason?.message))) return leave();
    const again = operation === "down" ? "powers the machine off now" : "leaves it to that";
    out.note(`Interrupted; the ${operation} goes on to its end. Again ${again}.`);
  };
  const second = () => {
    if (operation === "destroy") return leave();
    deaf.check();
    client.request("down", { force: true }).catch(() => {});
  };
  const listening = listen(context, first, second);
  return {
    end: Promise.race([deaf.never, left]),
    [Symbol.dispose]() {
      deaf[Symbol.dispose]();
      listening[Symbol.dispose]();
    },
  };
}

/**
 * The same where this process does it itself: there is nobody to leave it to, so TERM is told as Ctrl+C
 * is, and of a destroy, which is forced already, there is nothing more to ask for.
 */
function interruptsAlone(
  context: Context,
  operation: StopRequest["operation"],
  force: () => void,
): Disposable {
  const again = operation === "down" ? " Again powers the machine off now." : "";
  const first = () => context.out.note(`Interrupted; the ${operation} goes on to its end.${again}`);
  return listen(context, first, force);
}

function listen(context: Context, first: () => void, second: () => void): Disposable {
  const { signal } = context;
  signal.addEventListener("abort", first, { once: true });
  context.onSecondInterrupt = second;
  if (signal.aborted) first();
  return {
    [Symbol.dispose]() {
      signal.removeEventListener("abort", first);
      context.onSecondInterrupt = undefined;
    },
  };
}

/** "taken": somebody got the lock before us, and may by now be one to ask. */
async function alone(
  context: Context,
  target: Target,
  request: StopRequest,
  onEvent: (event: unknown) => void,
): Promise<Record<string, unknown> | "taken" | undefined> {
  const { requestAlone } = await import("../daemon/alone.ts");
  const asked = requestAlone({
    id: target.id,
    paths: target.paths,
    rum: context.paths,
    env: context.host,
    operation: request.operation,
    deadlineMs: request.deadlineMs,
    signal: context.signal,
    begins: (force) => interruptsAlone(context, request.operation, force),
    onEvent,
    log: (text) => context.out.detail(text),
    request: (engine) => request.alone("one-shot", engine.plan?.shutdownTimeoutMs ?? 60_000),
  });
  let outcome;
  try {
    outcome = await asked;
  } catch (error) {
    if (error instanceof RumError && error.code === "busy" && error.data?.holder) return "taken";
    throw error;
  }
  return outcome === undefined ? undefined : { did: outcome.did, exit: outcome.exit };
}
