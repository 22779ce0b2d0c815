/**
 * A request that changes a running machine, followed to its answer: events shown as they come, a
 * Ctrl+C handed to the machine's state machine, which decides what it means, and `--timeout` that
 * stops waiting and nothing else.
 */
import { EXIT, RumError, toRumError } from "../base/errors.ts";
import { askLine } from "../daemon/ask_line.ts";
import type { DaemonMethods } from "../protocol/daemon.ts";
import type { MachineEvent } from "../protocol/machine_events.ts";
import { createObserver } from "../ui/observer.ts";
import { daemonClient } from "./daemon_client.ts";
import type { HearingClient } from "./deafness.ts";
import { lateness } from "./lateness.ts";
import { type Target, targetOf } from "./target.ts";
import { terminalOf } from "./terminal.ts";
import { waitForDaemon } from "./verdict.ts";
import type { Context } from "./verb.ts";

/** Queued for longer than this, it is said. */
const PATIENCE_MS = 1000;

type Change = "restart" | "pause" | "resume" | "provision";

export interface Answer {
  readonly target: Target;
  readonly did: string;
  readonly exit: number;
  /** Ctrl+C ended it. */
  readonly interrupted: boolean;
  readonly result: Readonly<Record<string, unknown>>;
}

/** `prepare` runs once the daemon is there: a stopped machine is told before a bad rum.toml. */
export async function askMachine<M extends Change>(
  context: Context,
  method: M,
  params: DaemonMethods[M]["params"],
  prepare: (target: Target) => Promise<void> = () => Promise.resolve(),
): Promise<Answer> {
  const target = await targetOf(context);
  await using client = await daemonClient(context, target);
  await prepare(target);
  using observer = createObserver({ out: context.out, terminal: terminalOf() });
  using turn = turnOf(context, target, method);
  const onEvent = (event: unknown) => {
    turn.event(event as MachineEvent);
    observer.event(event as MachineEvent);
    if (context.out.mode === "plain") sayLine(context, event as MachineEvent);
  };
  using interrupt = interruptOf(context, client, () => observer.settle());
  using late = lateness(
    context,
    method,
    "rum status",
    () => turn.came ? "it was left to go on" : unasked(method),
  );
  try {
    const result = await Promise.race([
      client.request<Change>(method, params, { onEvent }),
      interrupt.answer,
      late.never,
    ]);
    observer.settle();
    return {
      target,
      did: String(result.did),
      exit: Number(result.exit ?? EXIT.ok),
      interrupted: interrupt.asked,
      result,
    };
  } catch (thrown) {
    observer.settle();
    if (toRumError(thrown).code === "daemon_hung") throw thrown;
    // What was interrupted fails as a rule; what came of the interrupt is the better answer.
    if (!interrupt.asked) throw await waitForDaemon(thrown, target);
    if (neverBegan(thrown)) throw thrown;
    const result = await interrupt.answer;
    return {
      target,
      did: String(result.did),
      exit: Number(result.exit ?? EXIT.interrupted),
      interrupted: true,
      result,
    };
  }
}

/** Interrupted while it waited for its turn: nothing was done, and nothing goes on. */
export function neverBegan(thrown: unknown): boolean {
  return thrown instanceof RumError && thrown.code === "interrupted" &&
    thrown.data?.began === false;
}

/** What becomes of a request whose turn had not come when its client left: only a restart survives that. */
function unasked(method: Change): string {
  return method === "restart"
    ? "it waits for its turn, a minute at most"
    : "its turn had not come, so it was called off";
}

interface Turn extends Disposable {
  /** The machine is at our request, or is done with it. */
  readonly came: boolean;
  event(event: MachineEvent): void;
}

/** The work before ours may take minutes: what is waited for is said. */
function turnOf(context: Context, target: Target, method: string): Turn {
  let came = false;
  const timer = setTimeout(async () => {
    const { operation } = await askLine(target.paths, "status", { timeoutMs: PATIENCE_MS })
      .catch(() => ({})) as { operation?: { kind: string } };
    if (!came && operation !== undefined) {
      context.out.note(`Waiting: the machine is at "${operation.kind}"`);
    }
  }, PATIENCE_MS);
  return {
    get came() {
      return came;
    },
    event(event) {
      if (event.kind === "operation" && event.what === method) came = true;
    },
    [Symbol.dispose]() {
      came = true;
      clearTimeout(timer);
    },
  };
}

/** What scripts print; the interactive observer shows it, the plain one only knows states. */
function sayLine(context: Context, event: MachineEvent): void {
  if (event.kind !== "line") return;
  const { script, stream, text } = event;
  context.out.record("event", event, () => `${script} ${stream === "out" ? "|" : "!"} ${text}`);
}

type Result = Readonly<Record<string, unknown>>;

interface Interrupt extends Disposable {
  readonly asked: boolean;
  readonly answer: Promise<Result>;
}

function interruptOf(
  context: Context,
  client: HearingClient,
  settle: () => void,
): Interrupt {
  const { promise: answer, resolve } = Promise.withResolvers<Result>();
  let asked = false;
  const ask = () => {
    settle();
    asked = true;
    client.request("interrupt", {}).then(
      resolve,
      (thrown) => resolve({ did: "left", exit: toRumError(thrown).exitCode }),
    );
    client.checkHearing();
  };
  context.signal.addEventListener("abort", ask, { once: true });
  context.onSecondInterrupt = ask;
  if (context.signal.aborted) ask();
  return {
    get asked() {
      return asked;
    },
    answer,
    [Symbol.dispose]() {
      context.signal.removeEventListener("abort", ask);
      context.onSecondInterrupt = undefined;
    },
  };
}
