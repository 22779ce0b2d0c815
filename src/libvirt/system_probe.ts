/**
 * Does the system daemon answer? Asked only of root, who gets it when it does (SPEC section 9). No
 * socket, no answer: then libvirt is not even loaded.
 */
import { RumError } from "../base/errors.ts";
import { openHypervisor } from "./open.ts";
import { exists } from "./host_devices.ts";

const SOCKETS = ["/run/libvirt/virtqemud-sock", "/run/libvirt/libvirt-sock"];
const WITHIN_MS = 10_000;

export async function probeSystem(
  { signal }: { signal?: AbortSignal } = {},
): Promise<{ answers: boolean; detail: string }> {
  const found = await Promise.all(SOCKETS.map(exists));
  if (!found.includes(true)) return { answers: false, detail: "no socket in /run/libvirt" };
  try {
    const limit = AbortSignal.timeout(WITHIN_MS);
    await using system = await openHypervisor({
      uri: "qemu:///system",
      kind: "system",
      reason: "asking whether it answers",
    }, { signal: signal === undefined ? limit : AbortSignal.any([signal, limit]) });
    await system.versions({ deadlineMs: WITHIN_MS });
    return { answers: true, detail: "" };
  } catch (error) {
    signal?.throwIfAborted();
    // Without the library nothing at all will work: that is the failure to report.
    if (error instanceof RumError && error.code === "library_missing") throw error;
    return { answers: false, detail: error instanceof Error ? error.message : String(error) };
  }
}
