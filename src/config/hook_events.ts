/**
 * The events a host hook may be tied to (`[on.EVENT]`), and which of them an event of the machine's
 * stream is. A closed list, because a hook on a misspelt event would never run and nobody would know.
 */
import type { GuestEvent, MachineEvent } from "../protocol/machine_events.ts";

const PHASES = ["preparing", "starting", "provisioning", "failed", "stopping", "stopped"] as const;

const GUEST = [
  "paused",
  "resumed",
  "rebooted",
  "crashed",
  "panicked",
  "powered_off",
  "forced_off",
  "disk_full",
  "restarting",
  "wiped",
  "destroyed",
] as const satisfies readonly GuestEvent["what"][];

export const HOOK_EVENTS = [
  "ready",
  ...PHASES,
  ...GUEST,
  "agent_up",
  "agent_lost",
  "service_unhealthy",
  "service_crashed",
  "service_fatal",
] as const;

export type HookEvent = typeof HOOK_EVENTS[number];

/**
 * The hooks' name for an event, or undefined when no hook can be tied to it. A phase counts when it
 * is entered, not when its stage changes; `ready` when the machine becomes it (`wasReady`: what the
 * phase event before this one said).
 */
export function hookEventOf(
  event: MachineEvent,
  options: { readonly wasReady: boolean },
): HookEvent | undefined {
  switch (event.kind) {
    case "phase":
      if (event.ready === true) return options.wasReady ? undefined : "ready";
      return event.from === event.phase ? undefined : known(event.phase);
    case "guest":
      return known(event.what);
    case "agent":
      return known(`agent_${event.state}`);
    case "service":
      return known(`service_${event.state}`);
    default:
      return undefined;
  }
}

function known(name: string): HookEvent | undefined {
  return HOOK_EVENTS.find((event) => event === name);
}
