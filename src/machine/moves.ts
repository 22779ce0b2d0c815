/**
 * The transitions that several phases share: beginning a run, stopping, destroying, failing,
 * recovering. Each returns the next state with the effects that belong to it, so that no phase can
 * forget one of them. `step.ts` adds the record and the phase event to every move.
 */
import type { EventBody as MachineEventBody } from "../protocol/machine_events.ts";
import type { Effect, Work } from "./effects.ts";
import { afterCrash } from "./recovery.ts";
import {
  type Cause,
  type ClientId,
  DETACHED,
  type EndedWhy,
  endFirstBoot,
  type Failed,
  type FirstBoot,
  firstBootOf,
  type Goal,
  isWorking,
  type MachineState,
  type OperationId,
  type Owner,
  ownerOf,
  type Paused,
  type ResetScope,
  type Run,
  type Running,
  type Stopping,
  type Task,
} from "./state.ts";

export type Move = readonly [MachineState, readonly Effect[]];

/** The user's wishes that a step depends on; everything else is in the state. */
export interface Rules {
  readonly onCrash: "none" | "restart" | "preserve";
  /** How long an interrupted machine may take to shut down (`advanced.shutdown_timeout`, 60 s). */
  readonly shutdownTimeoutMs?: number;
}

export const stay = (state: MachineState, ...effects: Effect[]): Move => [state, effects];
export const work = (what: Work): Effect => ({ kind: "work", ...what });
export const cancel = (why: string): Effect => ({ kind: "cancel", why });
export const emit = (event: MachineEventBody): Effect => ({ kind: "emit", event });
export const warn = (text: string, cause?: Cause): Effect =>
  emit({
    kind: "warning",
    text: cause === undefined ? text : `${text}: ${cause.message}`,
    ...(cause === undefined ? {} : { code: cause.code }),
    ...(cause?.hint === undefined ? {} : { hint: cause.hint }),
  });

export function beginRun(run: Run, firstBoot: FirstBoot, reset?: ResetScope): Move {
  const asked = reset === undefined ? {} : { reset };
  return [
    { kind: "preparing", stage: "gathering", run, first_boot: firstBoot, ...asked },
    [work({ work: "gather", operation: run.operation, first_boot: firstBoot, ...asked })],
  ];
}

/** From whatever is there to a machine that answers: `launch` starts, resumes, or finds it running. */
export function beginLaunch(run: Run, firstBoot: FirstBoot): Move {
  return [
    { kind: "starting", stage: "launching", run, first_boot: firstBoot },
    [work({ work: "launch", operation: run.operation })],
  ];
}

/** `lost`: the boot whose agent went away, where that is why it is greeted. */
export function beginGreeting(run: Run, firstBoot: FirstBoot, lost?: string): Move {
  return [
    {
      kind: "starting",
      stage: "greeting",
      run,
      first_boot: firstBoot,
      ...(lost === undefined ? {} : { lost }),
    },
    [work({ work: "greet", operation: run.operation })],
  ];
}

export interface StopOptions {
  readonly operation: OperationId;
  readonly by?: ClientId;
  readonly goal: Goal;
  readonly how: "graceful" | "forced";
  readonly timeoutMs: number;
  readonly why: string;
  /** Monotonic milliseconds. */
  readonly at: number;
}

/** Calls off what is under way, waits for its clean-up, then puts the machine where `goal` says. */
export function beginStop(state: MachineState, options: StopOptions): Move {
  const { operation, by, goal, timeoutMs } = options;
  // A stop that is not a wipe gives the first boot up at once, and for good.
  const fact = firstBootOf(state);
  const next: Stopping = {
    kind: "stopping",
    operation,
    ...(by === undefined ? {} : { by }),
    stage: "cancelling",
    goal,
    power: isPowered(state) ? "on" : "off",
    how: state.kind === "preparing" ? "never_started" : options.how,
    timeoutMs,
    first_boot: goal.kind === "wiped" ? fact : endFirstBoot(fact, "stopped"),
  };
  return isWorking(state) ? [next, [cancel(options.why)]] : advanceStop(next, options.at);
}

function isPowered(state: MachineState): boolean {
  switch (state.kind) {
    case "starting":
      return state.stage !== "backing_off";
    case "provisioning":
    case "running":
    case "paused":
      return true;
    case "failed":
      return state.power === "running";
    case "stopping":
      return state.power === "on";
    default:
      return false;
  }
}

/** The next thing a stop has to do, now that nothing else is under way. `at`: for the back-off. */
export function advanceStop(state: Stopping, at: number): Move {
  const { operation } = state;
  if (state.power === "on") {
    return state.how === "graceful"
      ? [
        { ...state, stage: "graceful" },
        [work({ work: "shut_down", operation, timeoutMs: state.timeoutMs })],
      ]
      : [{ ...state, stage: "forcing" }, [work({ work: "force_off", operation })]];
  }
  switch (state.goal.kind) {
    case "wiped":
      return [
        { ...state, stage: "wiping" },
        [work({ work: "wipe", operation: state.goal.operation })],
      ];
    case "stopped":
    case "start":
      if (state.how === "never_started" && state.stage !== "discarding") {
        return [{ ...state, stage: "discarding" }, [work({ work: "discard", operation })]];
      }
      return state.goal.kind === "stopped"
        ? [
          {
            kind: "stopped",
            first_boot: endFirstBoot(state.first_boot, "stopped"),
            how: state.how,
          },
          [],
        ]
        : beginRun(state.goal.run, endFirstBoot(state.first_boot, "stopped"), state.goal.reset);
    case "recover":
      return recover(state.goal.run, state.goal.cause, state.first_boot, at);
  }
}

/** The machine is off after a crash: on again after the back-off, or no more. */
export function recover(
  run: Run,
  cause: Cause,
  firstBoot: FirstBoot,
  at: number,
): Move {
  const verdict = afterCrash(run.crashes, at);
  if (verdict.kind === "give_up") {
    const text = `${cause.message}; it crashed ${verdict.crashes} times within a minute, ` +
      "so it is not restarted any more";
    return [failed({ ...cause, message: text }, "off", run.owner, firstBoot, "failed"), []];
  }
  const next: Run = { ...run, why: "recovery", crashes: verdict.history, reboots: 0, losses: 0 };
  return [
    { kind: "starting", stage: "backing_off", run: next, first_boot: firstBoot },
    [
      emit({
        kind: "guest",
        what: "restarting",
        text: `${cause.message}; restarting it in ${verdict.delayMs / 1000} s`,
      }),
      work({ work: "back_off", operation: run.operation, ms: verdict.delayMs }),
    ],
  ];
}

export function beginDestroy(state: MachineState, operation: OperationId): Move {
  return isWorking(state)
    ? [{ kind: "destroying", operation, stage: "cancelling" }, [cancel("destroy")]]
    : forceAway(operation);
}

/** Also when it is believed to be off: the belief may be a second old, and forcing is idempotent. */
export function forceAway(operation: OperationId): Move {
  return [
    { kind: "destroying", operation, stage: "forcing" },
    [work({ work: "force_off", operation })],
  ];
}

export function failed(
  cause: Cause,
  power: Failed["power"],
  owner: Owner,
  firstBoot: FirstBoot,
  why: EndedWhy = endedBy(cause),
): Failed {
  return {
    kind: "failed",
    cause,
    power,
    owner,
    first_boot: endFirstBoot(firstBoot, why),
    cleaning: false,
  };
}

function endedBy(cause: Cause): EndedWhy {
  if (cause.code === "provision_failed" || cause.code === "script_failed") return "script_failed";
  return cause.code === "timeout" ? "timeout" : "failed";
}

/** Begins a task on a machine that has none; the interpreter's queue sees to that. */
export function beginTask<S extends Running | Paused>(
  state: S,
  task: Task,
  ...before: Effect[]
): Move {
  return stay(
    { ...state, task },
    ...before,
    work({ work: task.work, operation: task.operation } as Parameters<typeof work>[0]),
  );
}

/**
 * A machine with nothing under way any more. An agent that went away and came back meanwhile still
 * lacks its forwards and services: what was attached died with the link before.
 */
export function withAgentBack(state: Running | Paused, effects: readonly Effect[]): Move {
  const { agent } = state;
  if (state.kind !== "running" || agent.kind !== "back") return [state, effects];
  if (agent.unknown) {
    const [next, more] = beginGreeting(state.run, firstBootOf(state));
    return [next, [...effects, ...more]];
  }
  return beginTask(
    { ...state, agent: { kind: "up", boot_id: agent.boot_id } },
    { work: "restore", operation: agent.operation, cancelled: false },
    ...effects,
  );
}

/** Something went wrong beside the work under way: it is called off, and the machine is failed. */
export function failBeside(state: MachineState, cause: Cause, power: Failed["power"]): Move {
  const next = failed(cause, power, ownerOf(state), firstBootOf(state));
  return isWorking(state) ? [{ ...next, cleaning: true }, [cancel(cause.message)]] : [next, []];
}

/** The owner lets go; the machine runs on. */
export function detachOwner(state: MachineState, client: ClientId, why: string): Move {
  // A restart puts the machine off first; who owns the run that follows may leave meanwhile.
  const next = state.kind === "stopping" && "run" in state.goal ? state.goal.run : undefined;
  const owner = next?.owner ?? ownerOf(state);
  if (owner.kind !== "attached" || owner.client !== client) return stay(state);
  const told = emit({ kind: "owner", state: "detached", client, why });
  switch (state.kind) {
    case "stopping":
      return state.goal.kind === "start" || state.goal.kind === "recover"
        ? stay(
          { ...state, goal: { ...state.goal, run: { ...state.goal.run, owner: DETACHED } } },
          told,
        )
        : stay(state);
    case "preparing":
    case "starting":
    case "provisioning": {
      const run: Run = { ...state.run, owner: DETACHED };
      // A client whose own time-out struck has given this first boot up for good.
      const fact = why === "timeout" ? endFirstBoot(state.first_boot, "timeout") : state.first_boot;
      return stay({ ...state, run, first_boot: fact }, told);
    }
    case "running":
    case "paused":
      return stay({ ...state, run: { ...state.run, owner: DETACHED } }, told);
    case "failed":
      return stay({ ...state, owner: DETACHED }, told);
    default:
      return stay(state);
  }
}
