/** The one door: a choice of hypervisor → something to talk to. */
import type { HypervisorChoice } from "../plan/types.ts";
import type { Hypervisor } from "./hypervisor.ts";
import { LibvirtHypervisor, type OpenOptions } from "./libvirt_hypervisor.ts";

/**
 * Opens the hypervisor of `choice`. An embedded one must be opened only under the machine's lock.
 *
 * @throws {RumError} `library_missing`, `symbol_missing`, `hypervisor_unreachable`,
 * `hypervisor_stuck`
 */
export async function openHypervisor(
  choice: HypervisorChoice,
  options: OpenOptions = {},
): Promise<Hypervisor> {
  if (choice.kind === "fake") {
    const { FakeHypervisor } = await import("./fake.ts");
    return await FakeHypervisor.open(choice);
  }
  return await LibvirtHypervisor.open(choice, options);
}
