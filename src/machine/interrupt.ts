/**
 * What an interrupt (Ctrl+C, TERM of the client, or the method) does: the table of SPEC section 5 as
 * one function, read by `step` and by whoever prints what will happen.
 *
 *   preparing                       cancel, remove what this operation made            130
 *   starting, provisioning
 *     first boot under way          force off, wipe the half-made machine              130
 *     otherwise                     stop the machine, delete nothing                   130
 *   running, paused, owner attached ACPI shutdown, then off                              0
 *   running, paused, detached       leave
 *   failed                          leave
 *   stopping                        by whoever asked for it: force off
 *   destroying                      it is forced already: nothing more
 *
 * Everybody who is not the owner leaves, and nothing else happens. Ctrl+C in a running foreground
 * `up` ends with 0: the machine had been brought up, and this is how such a session is closed.
 */
import { assertNever } from "../base/assert_never.ts";
import { EXIT } from "../base/errors.ts";
import { type ClientId, firstBootOf, type MachineState, type Owner, ownerOf } from "./state.ts";

export interface Verdict {
  readonly does:
    | "leave"
    /** Call the preparation off; an older disk stays as it was. */
    | "cancel"
    | "wipe"
    | "stop"
    | "shut_down"
    | "force"
    /** Only the caller's own task on a machine that stays up. */
    | "cancel_task"
    /** The caller's `rum provision` on a failed machine: back to failed. */
    | "give_up";
  readonly exit: number;
}

const leave = (exit: number): Verdict => ({ does: "leave", exit });

export function verdictOf(state: MachineState, client: ClientId): Verdict {
  const owner = ownerOf(state);
  const owns = owner.kind === "attached" && owner.client === client;
  switch (state.kind) {
    case "preparing":
      if (!owns) return leave(EXIT.interrupted);
      return { does: mayWipe(state, owner) ? "wipe" : "cancel", exit: EXIT.interrupted };
    case "starting":
    case "provisioning":
      if (owns) return { does: mayWipe(state, owner) ? "wipe" : "stop", exit: EXIT.interrupted };
      if (state.run.again?.client === client) return { does: "give_up", exit: EXIT.interrupted };
      return leave(EXIT.interrupted);
    case "running":
    case "paused":
      if (state.task?.client === client && state.task.work === "reprovision") {
        return { does: "cancel_task", exit: EXIT.interrupted };
      }
      return owns ? { does: "shut_down", exit: EXIT.ok } : leave(EXIT.ok);
    case "stopping":
      return state.by === client
        ? { does: "force", exit: EXIT.interrupted }
        : leave(EXIT.interrupted);
    case "failed":
    case "destroying":
    case "stuck":
    case "absent":
    case "stopped":
    case "over":
      return leave(EXIT.ok);
    default:
      return assertNever(state, "phase");
  }
}

/**
 * Only what this very operation made may go: its own disk while no script failed, or, before there
 * is any disk, the folder. While `--reset` swaps disks nobody can say which one is in place, so then
 * nothing is wiped.
 */
export function mayWipe(state: MachineState, owner: Owner): boolean {
  if (owner.kind !== "attached") return false;
  const fact = firstBootOf(state);
  if (state.kind === "preparing") {
    if (state.reset !== undefined || state.run.operation !== owner.operation) return false;
    if (fact.kind === "not_begun") return true;
  }
  return fact.kind === "under_way" && fact.operation === owner.operation;
}
