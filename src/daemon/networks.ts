/** Networks that live and die with the machine: brought up before it starts, removed with it. */
import { VERSION } from "../base/version.ts";
import type { Hypervisor } from "../libvirt/hypervisor.ts";
import type { PlannedNetwork } from "../plan/types.ts";
import { networkXml } from "../xml/network.ts";

export async function networksUp(
  hypervisor: Hypervisor,
  id: string,
  networks: readonly PlannedNetwork[],
  signal?: AbortSignal,
): Promise<void> {
  for (const network of networks) {
    const ref = { name: network.hypervisorName, uuid: network.uuid };
    await hypervisor.network(ref).up(networkXml(network, { id, version: VERSION }), { signal });
  }
}

export async function networksDown(
  hypervisor: Hypervisor,
  networks: readonly PlannedNetwork[],
  signal?: AbortSignal,
): Promise<void> {
  for (const network of networks) {
    const ref = { name: network.hypervisorName, uuid: network.uuid };
    await hypervisor.network(ref).down({ signal });
  }
}
