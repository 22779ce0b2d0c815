/**
 * How a foreground `up` ends that nobody interrupted here: somebody else stopped or destroyed the
 * machine, ended its background process, or its QEMU died. Told from the events that were followed,
 * because the background process is gone by then and cannot be asked any more.
 */
import { EXIT, RumError } from "../base/errors.ts";
import type { EventCause, MachineEvent } from "../protocol/machine_events.ts";

export interface UpEnd {
  /** Each event as it comes; true when nothing follows that this `up` would wait for. */
  event(event: MachineEvent): boolean;
  /** @throws {RumError} the cause of the failure that was the machine's last word */
  result(): { readonly code: number; readonly did: "stopped" | "destroyed" | "wiped" | "left" };
}

/** For a machine that runs. */
export function upEnd(): UpEnd {
  let phase = "running";
  let text = "running";
  let cause: EventCause | undefined;
  /** The disk's end is an event of its own, before the phase that it leads to. */
  let gone: "destroyed" | "wiped" | undefined;
  return {
    event(event) {
      if (event.kind === "guest" && (event.what === "destroyed" || event.what === "wiped")) {
        gone = event.what;
      }
      if (event.kind !== "phase") return false;
      // The background process went, and the machine stayed as it was.
      if (event.phase === "over") return true;
      ({ phase, text, cause } = event);
      return phase === "stopped" || phase === "absent";
    },
    result() {
      if (gone !== undefined) return { code: EXIT.ok, did: gone };
      if (phase === "absent") return { code: EXIT.ok, did: "destroyed" };
      if (cause !== undefined) {
        throw new RumError(cause.code, cause.message, { hint: cause.hint ?? "rum status" });
      }
      switch (phase) {
        case "stopped":
          return { code: EXIT.ok, did: "stopped" };
        case "running":
        case "paused":
          return { code: EXIT.ok, did: "left" };
        default:
          throw new RumError(
            "daemon_failed",
            `The background process was ended while the machine was ${text}; it was left as it is`,
            { hint: "rum status" },
          );
      }
    },
  };
}
