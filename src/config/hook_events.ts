/**
 * The events a host hook may be tied to (`[on.EVENT]`). A closed list, because a hook on a
 * misspelt event would never run and nobody would know.
 */
export const HOOK_EVENTS = [
  "starting",
  "provisioning",
  "provisioned",
  "ready",
  "failed",
  "stopping",
  "stopped",
  "paused",
  "resumed",
  "rebooted",
  "crashed",
  "panicked",
  "disk_full",
  "agent_lost",
  "service_unhealthy",
  "service_fatal",
  "destroyed",
] as const;

export type HookEvent = typeof HOOK_EVENTS[number];
