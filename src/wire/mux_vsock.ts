/**
 * Whether this process may use vsock at all. Deno 2.9.6 keeps it behind `--unstable-vsock`, and a
 * call without that flag does not throw: it prints a line and ends the process with code 70. So
 * nobody may try; the flag is looked for first. A `"unstable"` entry in deno.json would do for
 * Deno but cannot be seen from here, so whoever starts rum or the agent says the flag.
 */
const FLAG = "--unstable-vsock";

/** A compiled binary carries the flag that it was compiled with: our build gives it. */
export function vsockAllowed(): boolean {
  if (Deno.build.standalone) return true;
  try {
    return Deno.readTextFileSync("/proc/self/cmdline").split("\0").includes(FLAG);
  } catch {
    return false;
  }
}

/** Where the agent listens. */
export const AGENT_VSOCK_PORT = 1052;

export const VSOCK_REFUSED = `this runtime was started without ${FLAG}`;
