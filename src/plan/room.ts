/**
 * Is there room for this machine, asked before anything is made (SPEC section 3). Disks are sparse,
 * so a full 20 GiB is not demanded: refused is what cannot even boot, and what fits only as long as
 * the guest does not fill its disks is said as a warning (a full host disk pauses the guest, it
 * loses nothing).
 */
import { RumError } from "../base/errors.ts";
import { formatSize } from "../base/units.ts";
import type { HostFacts, Plan } from "./types.ts";

/** A first boot with packages writes about this much into a fresh overlay. */
const FIRST_BOOT_BYTES = 2 * 2 ** 30;
/** For starting a machine that exists: logs, state, some growth of its overlay. */
const START_BYTES = 64 * 2 ** 20;

/**
 * @returns sentences to warn with
 * @throws {RumError} `memory_short` or `disk_full`, with found and wanted
 */
export function checkRoom(
  plan: Pick<Plan, "name" | "memoryBytes" | "diskBytes" | "drives" | "paths">,
  facts: Pick<HostFacts, "freeMemoryBytes" | "freeDiskBytes">,
  options: { readonly for: "create" | "start" },
): string[] {
  if (plan.memoryBytes > facts.freeMemoryBytes) {
    throw new RumError(
      "memory_short",
      `Cannot start "${plan.name}": it wants ${
        formatSize(plan.memoryBytes)
      } of memory (resources.memory), and ` +
        `${formatSize(facts.freeMemoryBytes)} are free`,
      { hint: "rum list" },
    );
  }
  const most = plan.drives.reduce((sum, drive) => sum + drive.sizeBytes, plan.diskBytes);
  const wanted = options.for === "create" ? Math.min(FIRST_BOOT_BYTES, most) : START_BYTES;
  if (wanted > facts.freeDiskBytes) {
    throw new RumError(
      "disk_full",
      `Cannot ${options.for} "${plan.name}": at least ${formatSize(wanted)} are wanted in ` +
        `${plan.paths.folder}, and ${formatSize(facts.freeDiskBytes)} are free`,
      { hint: "rum image prune" },
    );
  }
  if (options.for === "create" && most > facts.freeDiskBytes) {
    return [
      `The disks of "${plan.name}" may grow to ${formatSize(most)}, and ` +
      `${formatSize(facts.freeDiskBytes)} are free; a full host disk pauses the machine`,
    ];
  }
  return [];
}
