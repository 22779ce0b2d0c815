/**
 * Preparing, Starting, Provisioning: from nothing to ready. The first-boot fact changes in four
 * places, all here: `under_way` before the disk becomes visible, `done` by the agent's sentinel or by
 * the scripts having passed, `ended` by whatever fails.
 */
import type { Effect } from "./effects.ts";
import type { Event, Hello, WorkResults } from "./events.ts";
import {
  beginGreeting,
  beginLaunch,
  cancel,
  detachOwner,
  emit,
  failed,
  type Move,
  type Rules,
  stay,
  withAgentBack,
  work,
} from "./moves.ts";
import {
  type Agent,
  type Cause,
  DETACHED,
  type FirstBoot,
  type Preparing,
  type Provisioning,
  type Readiness,
  type Run,
  type Running,
  type Starting,
} from "./state.ts";
import { explain, pausedFromOutside, troubleWhileBooting } from "./trouble.ts";

/** Guest reboots, and ends of the agent, in one provisioning before it counts as a loop. */
export const REBOOTS_MAX = 10;
export const LOSSES_MAX = 10;

export function stepPreparing(state: Preparing, event: Event): Move {
  const { run } = state;
  switch (event.kind) {
    case "done": {
      if (event.operation !== run.operation) return stay(state);
      if (event.work === "gather" && state.stage === "gathering") {
        const fact = factAfterGather(event.result.disk, state.first_boot, run);
        const next: Preparing = { ...state, stage: "publishing", first_boot: fact };
        const asked = state.reset === undefined ? {} : { reset: state.reset };
        return stay(
          next,
          work({ work: "publish", operation: run.operation, first_boot: fact, ...asked }),
        );
      }
      return event.work === "publish" && state.stage === "publishing"
        ? beginLaunch(run, state.first_boot)
        : stay(state);
    }
    case "failed":
      if (event.operation !== run.operation) return stay(state);
      if (event.work !== (state.stage === "gathering" ? "gather" : "publish")) return stay(state);
      return stay(failed(event.cause, "off", run.owner, state.first_boot));
    case "save_failed":
      // Only ever the write-ahead of `publishing`: nothing has been made visible yet.
      return stay(failed(event.cause, "off", run.owner, state.first_boot));
    case "client_left":
      return detachOwner(state, event.client, event.why);
    default:
      return stay(state);
  }
}

function factAfterGather(
  disk: "new" | "replacement" | "existing",
  fact: FirstBoot,
  run: Run,
): FirstBoot {
  if (disk !== "existing") return { kind: "under_way", operation: run.operation };
  // A disk that no record knows of: somebody may have worked in it.
  return fact.kind === "not_begun" ? { kind: "done" } : fact;
}

export function stepStarting(state: Starting, event: Event, rules: Rules): Move {
  const { run, first_boot, stage } = state;
  switch (event.kind) {
    case "done":
      if (stage === "settling") return beginGreeting(run, first_boot);
      if (event.operation !== run.operation) return stay(state);
      if (event.work === "back_off" && stage === "backing_off") return beginLaunch(run, first_boot);
      if (event.work === "launch" && stage === "launching") {
        return launched(state, event.result, rules, event.at);
      }
      return event.work === "greet" && stage === "greeting"
        ? greeted(run, first_boot, event.result, state.lost)
        : stay(state);
    case "failed":
      if (stage === "settling") return beginGreeting(run, first_boot);
      if (event.operation !== run.operation) return stay(state);
      // A pause that could not be kept is only a shorter pause.
      if (event.work === "back_off" && stage === "backing_off") return beginLaunch(run, first_boot);
      if (event.work === "launch" && stage === "launching") {
        return stay(failed(event.cause, launchedAnyway(event.cause), run.owner, first_boot));
      }
      return event.work === "greet" && stage === "greeting"
        ? stay(failed(event.cause, "running", run.owner, first_boot))
        : stay(state);
    case "off_seen":
    case "panicked":
    case "paused_seen":
      // Between launches it is off anyway, and a launch looks itself before it ends: what is told
      // under it may be of the power-off before.
      return stage === "launching" || stage === "backing_off"
        ? stay(state)
        : troubleWhileBooting(state, event, rules);
    case "client_left":
      return detachOwner(state, event.client, event.why);
    default:
      return stay(state);
  }
}

function launched(
  { run, first_boot }: Starting,
  { qemu, found }: WorkResults["launch"],
  rules: Rules,
  at: number,
): Move {
  const saved: Effect[] = qemu === undefined
    ? []
    : [{ kind: "save", patch: { qemu }, barrier: false }];
  const trouble = found === undefined ? undefined : explain(found);
  if (found === undefined || trouble === undefined) {
    const [next, effects] = beginGreeting(run, first_boot);
    return [next, [...saved, ...(found === undefined ? [] : [pausedFromOutside()]), ...effects]];
  }
  // Its launch has ended, so there is nothing to call off.
  const { cause, power } = trouble;
  const rest = failed(cause, power === "on" ? "running" : "off", run.owner, first_boot);
  const [next, effects] = troubleWhileBooting({ ...rest, run }, { ...found, at }, rules);
  return [next, [...saved, ...effects]];
}

/**
 * The sentinel is written down before anything else is done. `lost`: the boot whose agent went away
 * while scripts ran. The wire cannot tell a reboot from an agent that was restarted; the boot id can.
 */
export function greeted(before: Run, fact: FirstBoot, hello: Hello, lost?: string): Move {
  const { boot_id, version } = hello;
  const firstBoot: FirstBoot = hello.first_boot_done ? { kind: "done" } : fact;
  const rebooted = lost !== undefined && lost !== boot_id;
  const run: Run = lost === undefined
    ? before
    : rebooted
    ? { ...before, reboots: before.reboots + 1 }
    : { ...before, losses: before.losses + 1 };
  const told: Effect[] = [
    ...(fact.kind !== "done" && hello.first_boot_done ? [saveDone(hello.scripts)] : []),
    // A daemon that finds the machine paused knows by it whether the guest rebooted since.
    { kind: "save", patch: { agent: { version, boot_id } }, barrier: false },
    ...(rebooted ? [rebootedEvent()] : []),
    emit({ kind: "agent", state: "up", boot_id, version }),
  ];
  const loop = loopCause(run);
  if (loop !== undefined) return stay(failed(loop, "running", run.owner, firstBoot), ...told);
  const scope = run.again?.scope ?? "due";
  return stay(
    {
      kind: "provisioning",
      stage: "scripts",
      run,
      first_boot: firstBoot,
      agent: { kind: "up", boot_id },
    },
    ...told,
    work({ work: "provision", operation: run.operation, scope, first_boot: firstBoot }),
  );
}

/** A provisioning that never gets anywhere ends, by what kept it from getting there. */
function loopCause({ reboots, losses }: Run): Cause | undefined {
  if (reboots > REBOOTS_MAX) {
    return {
      code: "provision_failed",
      message: `The guest rebooted ${reboots} times while it was provisioned`,
      hint: "rum log --list",
    };
  }
  return losses <= LOSSES_MAX ? undefined : {
    code: "agent_restarted",
    message: `The guest agent went away ${losses} times while the machine was provisioned`,
    hint: "rum log --source boot",
  };
}

export function rebootedEvent(): Effect {
  return emit({ kind: "guest", what: "rebooted", text: "The guest rebooted" });
}

export function saveDone(scripts: Readonly<Record<string, string>>): Effect {
  return { kind: "save", patch: { first_boot: { kind: "done", scripts } }, barrier: false };
}

/** A start that hung may have happened; only a plain refusal proves that it did not. */
function launchedAnyway(cause: Cause): "running" | "off" {
  return ["timeout", "hypervisor_stuck", "hypervisor_unreachable"].includes(cause.code)
    ? "running"
    : "off";
}

export function stepProvisioning(state: Provisioning, event: Event, rules: Rules): Move {
  const { run, stage } = state;
  switch (event.kind) {
    case "done":
      if (event.operation !== run.operation) return stay(state);
      if (event.work === "provision" && stage === "scripts") {
        const { scripts } = event.result;
        return [{ ...state, stage: "readying", first_boot: { kind: "done" } }, [
          saveDone(scripts),
          work({ work: "await_ready", operation: run.operation }),
        ]];
      }
      return event.work === "await_ready" && stage === "readying"
        ? becomeRunning(state, event.result, event.at)
        : stay(state);
    case "failed":
      if (event.operation !== run.operation) return stay(state);
      if (event.work !== (stage === "scripts" ? "provision" : "await_ready")) return stay(state);
      return event.cause.code === "agent_restarted"
        ? beginGreeting(goingOn(state), state.first_boot, state.agent.boot_id)
        : stay(failed(event.cause, "running", run.owner, state.first_boot));
    case "rebooted":
      return rebootedWhileProvisioning(state);
    case "agent_up":
      return event.hello.boot_id === state.agent.boot_id
        ? agentBack(state, event)
        : rebootedWhileProvisioning(state);
    case "agent_lost":
      return stay(
        { ...state, agent: { kind: "lost", boot_id: state.agent.boot_id } },
        emit({ kind: "agent", state: "lost", text: event.detail }),
      );
    case "off_seen":
    case "panicked":
    case "paused_seen":
      return troubleWhileBooting(state, event, rules);
    case "client_left":
      return detachOwner(state, event.client, event.why);
    default:
      return stay(state);
  }
}

/** The same boot. What [ready] had attached by then is attached again once the machine runs. */
function agentBack(state: Provisioning, event: Event & { kind: "agent_up" }): Move {
  const { boot_id } = event.hello;
  const lacks = state.stage === "readying" && state.agent.kind !== "up";
  const agent: Agent = lacks
    ? { kind: "back", boot_id, operation: event.operation }
    : { kind: "up", boot_id };
  return stay({ ...state, agent }, emit({ kind: "agent", state: "up", boot_id }));
}

function rebootedWhileProvisioning(state: Provisioning): Move {
  const run: Run = { ...goingOn(state), reboots: state.run.reboots + 1 };
  const loop = loopCause(run);
  return stay(
    loop === undefined
      ? { kind: "starting", stage: "settling", run, first_boot: state.first_boot }
      : { ...failed(loop, "running", run.owner, state.first_boot), cleaning: true },
    rebootedEvent(),
    cancel("the guest rebooted"),
  );
}

/**
 * What `rum provision` asked to run again has begun; from here on only what is due goes on. System
 * scripts of a guest that had its first boot never are: what it asked for cannot be vouched for any
 * more, so the run goes on as any other and the request is answered (`settle.ts`).
 */
function goingOn({ run, stage, first_boot }: Provisioning): Run {
  const { again, ...rest } = run;
  if (again === undefined) return run;
  const lost = stage === "scripts" && first_boot.kind === "done" &&
    (again.scope === "system" || again.scope === "all");
  return lost ? rest : { ...rest, again: { ...again, scope: "due" } };
}

function becomeRunning(
  state: Provisioning,
  ready: { readonly ready: boolean; readonly why?: string },
  at: number,
): Move {
  const { owner } = state.run;
  const leaves = owner.kind === "attached" && owner.until === "ready";
  const { again: _, ...kept } = state.run;
  const running: Running = {
    kind: "running",
    run: { ...kept, owner: leaves ? DETACHED : owner, reboots: 0, losses: 0 },
    ready: readinessOf(ready),
    agent: state.agent,
    since: at,
  };
  return withAgentBack(
    running,
    leaves ? [emit({ kind: "owner", state: "detached", client: owner.client, why: "ready" })] : [],
  );
}

export function readinessOf(
  { ready, why }: { readonly ready: boolean; readonly why?: string },
): Readiness {
  return ready
    ? { kind: "ready" }
    : { kind: "not_ready", why: why ?? "what [ready] asks for did not come in time" };
}
