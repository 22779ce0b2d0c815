/**
 * libvirt's network XML for a network that lives and dies with one machine. `stp='off'`: with the
 * spanning tree on, a port forwards nothing for its first seconds, which every start would pay.
 * The same metadata element as on the machine says whose it is.
 */
import type { PlannedNetwork } from "../plan/types.ts";
import { el, renderXml } from "./builder.ts";
import { METADATA_NAMESPACE } from "./domain.ts";

export function networkXml(
  network: PlannedNetwork,
  owner: { readonly id: string; readonly version: string },
): string {
  const prefix = network.subnet.slice(0, network.subnet.lastIndexOf("."));
  const range = dhcpRange(network, prefix);
  return renderXml(el(
    "network",
    {},
    el("name", {}, network.hypervisorName),
    el("uuid", {}, network.uuid),
    el(
      "metadata",
      {},
      el("rum:network", {
        "xmlns:rum": METADATA_NAMESPACE,
        id: owner.id,
        version: owner.version,
      }),
    ),
    network.forward === "nat" && el("forward", { mode: "nat" }),
    el("bridge", { name: network.bridge, stp: "off", delay: 0 }),
    el(
      "ip",
      { address: network.hostAddress, netmask: "255.255.255.0" },
      el(
        "dhcp",
        {},
        el("range", range),
        network.reservations.map(({ mac, ip }) => el("host", { mac, ip })),
      ),
    ),
  ));
}

/** All of the /24 but the host's own end; dnsmasq keeps reserved addresses to their cards. */
function dhcpRange(network: PlannedNetwork, prefix: string): { start: string; end: string } {
  return network.hostAddress === `${prefix}.1`
    ? { start: `${prefix}.2`, end: `${prefix}.254` }
    : { start: `${prefix}.1`, end: `${prefix}.253` };
}
