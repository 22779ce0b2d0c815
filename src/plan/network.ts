/**
 * Which cards a machine gets and which networks are made for it (SPEC section 3).
 *
 *   nat, no network driver  → one user-mode card (no bridge, no root, nothing on the host changes)
 *   nat, network driver     → the machine's own NAT network; libvirt's `default` is not used, it may
 *                             be absent, stopped, changed by its owner, and it joins strangers
 *   [[network.interfaces]]  → one isolated network each name, made and removed with the machine; `ip`
 *                             is a DHCP reservation. Needs a network driver, else refused with why
 *   neither                 → no card at all; the agent's channel needs none
 *
 * Subnets are /24s out of 10.192.0.0/11, started at a hash of the id and moved on past what the host
 * uses. A recorded choice is kept, or a second `up` would find the machine's own bridge in its way.
 *
 * A /24 that `ip` asks for must be free as well. Here is the place to say so: libvirt would refuse to
 * start the network once image, disk and definition are made, or take a part of the host's own away.
 */
import type { Config, InterfaceConfig } from "../config/types.ts";
import { RumError } from "../base/errors.ts";
import { sha256Hex } from "../base/sha256.ts";
import { bridgeName, macOf, networkName, uuidOf } from "./identity.ts";
import {
  formatIpv4,
  formatPrefix,
  parseIpv4,
  parsePrefix,
  type Prefix,
  prefixesOverlap,
} from "./ipv4.ts";
import type { HostFacts, PlannedNetwork, PlannedNic } from "./types.ts";

const POOL_START = parseIpv4("10.192.0.0")!;
const POOL_SUBNETS = 32 * 256;
const NAT = "nat";
/** A route to half of everything (a VPN that takes it all) says nothing about who uses an address. */
const WIDEST = 2 ** 24;

export interface PlannedNetworking {
  readonly nics: readonly PlannedNic[];
  readonly networks: readonly PlannedNetwork[];
}

export function planNetworking(
  id: string,
  config: Config["network"],
  facts: Pick<HostFacts, "networkDriver" | "usedSubnets">,
  recorded: readonly PlannedNetwork[] = [],
): PlannedNetworking {
  if (config.interfaces.length > 0 && !facts.networkDriver.available) {
    const names = config.interfaces.map((i) => `"${i.network}"`).join(", ");
    throw new RumError(
      "not_supported",
      `Cannot make the isolated network ${names}: ${facts.networkDriver.reason}`,
      { hint: 'Set libvirt_uri = "qemu:///system" under [advanced], or remove the interfaces' },
    );
  }
  const isPrefix = (prefix: Prefix | undefined) => prefix !== undefined;
  const used = (facts.usedSubnets ?? []).map(parsePrefix).filter(isPrefix)
    .filter(({ from, to }) => to - from < WIDEST);
  // Bridges of this machine stand among the host's routes; a start takes them down first.
  const own = recorded.map(({ subnet }) => parsePrefix(subnet)).filter(isPrefix);
  const others = used.filter((prefix) => !own.some((each) => isSame(each, prefix)));
  const byNetwork = Map.groupBy(config.interfaces, (i) => i.network);
  const wanted = wantedSubnets(byNetwork, others, recorded);
  const taken = [...wanted.values()];
  const nics: PlannedNic[] = [];
  const networks: PlannedNetwork[] = [];
  const subnetFor = (name: string) => {
    const asked = wanted.get(name);
    if (asked !== undefined) return asked;
    const kept = keptSubnet(name, recorded);
    const subnet = kept !== undefined && !taken.some((other) => prefixesOverlap(kept, other))
      ? kept
      : freeSubnet(`${id}:${name}`, [...used, ...own, ...taken]);
    taken.push(subnet);
    return subnet;
  };

  if (config.nat) {
    const mac = macOf(id, 0);
    if (facts.networkDriver.available) {
      const subnet = subnetFor(NAT);
      networks.push(network(id, NAT, 0, "nat", subnet, []));
      nics.push({ kind: "network", mac, network: networkName(id, NAT) });
    } else {
      nics.push({ kind: "user", mac });
    }
  }

  for (const [index, [name, members]] of [...byNetwork].entries()) {
    const inner = innerName(name);
    const subnet = subnetFor(inner);
    const reservations = members.flatMap((member) => {
      const mac = macOf(id, 1 + config.interfaces.indexOf(member));
      nics.push({
        kind: "network",
        mac,
        network: networkName(id, inner),
        ...(member.ip === undefined ? {} : { ip: member.ip }),
      });
      return member.ip === undefined ? [] : [{ mac, ip: member.ip }];
    });
    networks.push(network(id, inner, index + 1, "none", subnet, reservations));
  }
  return { nics, networks };
}

/** Another name inside libvirt than the NAT network's, whatever the user calls theirs. */
function innerName(name: string): string {
  return `net-${name}`;
}

function keptSubnet(name: string, recorded: readonly PlannedNetwork[]): Prefix | undefined {
  const kept = recorded.find((each) => each.name === name);
  return kept === undefined ? undefined : parsePrefix(kept.subnet);
}

/**
 * The /24s that rum.toml asks for, by the networks' inner names. `others`: what this host uses beside
 * this machine's own.
 */
function wantedSubnets(
  byNetwork: ReadonlyMap<string, readonly InterfaceConfig[]>,
  others: readonly Prefix[],
  recorded: readonly PlannedNetwork[],
): Map<string, Prefix> {
  const found = new Map<string, Prefix>();
  const nameOf = new Map<number, string>();
  for (const [name, members] of byNetwork) {
    const wanted = wantedSubnet(name, members);
    if (wanted === undefined) continue;
    const doing = `Cannot reserve "${members.find(({ ip }) => ip !== undefined)!.ip}" on network ` +
      `"${name}": ${formatIpv4(wanted.from)}/24`;
    const sibling = nameOf.get(wanted.from);
    if (sibling !== undefined) {
      throw new RumError(
        "config_invalid",
        `${doing} is that of network "${sibling}", and each network is a /24 of its own`,
        { hint: "rum config check" },
      );
    }
    const inner = innerName(name);
    const kept = keptSubnet(inner, recorded);
    const other = others.find((each) => prefixesOverlap(wanted, each));
    if (other !== undefined && (kept === undefined || !isSame(kept, wanted))) {
      throw new RumError(
        "host_prerequisite",
        `${doing} overlaps ${formatPrefix(other)}, which this host uses; wanted a free /24`,
        { hint: "ip -4 route" },
      );
    }
    nameOf.set(wanted.from, name);
    found.set(inner, wanted);
  }
  return found;
}

function isSame(a: Prefix, b: Prefix): boolean {
  return a.from === b.from && a.to === b.to;
}

function network(
  id: string,
  name: string,
  index: number,
  forward: PlannedNetwork["forward"],
  subnet: Prefix,
  reservations: PlannedNetwork["reservations"],
): PlannedNetwork {
  const first = formatIpv4(subnet.from + 1);
  return {
    name,
    hypervisorName: networkName(id, name),
    uuid: uuidOf(`network:${id}:${name}`),
    bridge: bridgeName(id, index),
    forward,
    subnet: `${formatIpv4(subnet.from)}/24`,
    hostAddress: reservations.some((r) => r.ip === first) ? formatIpv4(subnet.to - 1) : first,
    reservations,
  };
}

/** The /24 that the reservations of one network name; they must agree. */
function wantedSubnet(name: string, members: readonly InterfaceConfig[]): Prefix | undefined {
  let subnet: Prefix | undefined;
  const seen = new Set<string>();
  for (const { ip } of members) {
    if (ip === undefined) continue;
    const own = parsePrefix(`${ip}/24`);
    const last = parseIpv4(ip);
    if (own === undefined || last === own.from || last === own.to) {
      throw new RumError(
        "config_invalid",
        `Cannot reserve "${ip}" on network "${name}": a host address of an IPv4 /24 is wanted, ` +
          "such as 10.10.0.20",
      );
    }
    if (subnet !== undefined && subnet.from !== own.from) {
      throw new RumError(
        "config_invalid",
        `Cannot reserve "${ip}" on network "${name}": its other addresses are in ` +
          `${formatIpv4(subnet.from)}/24, and one network is one /24`,
      );
    }
    if (seen.has(ip)) {
      throw new RumError("config_invalid", `Cannot reserve "${ip}" twice on network "${name}"`);
    }
    seen.add(ip);
    subnet = own;
  }
  return subnet;
}

function freeSubnet(seed: string, taken: readonly Prefix[]): Prefix {
  const start = parseInt(sha256Hex(`subnet:${seed}`).slice(0, 8), 16) % POOL_SUBNETS;
  for (let step = 0; step < POOL_SUBNETS; step++) {
    const from = POOL_START + ((start + step) % POOL_SUBNETS) * 256;
    const subnet = { from, to: from + 255 };
    if (!taken.some((other) => prefixesOverlap(subnet, other))) return subnet;
  }
  throw new RumError(
    "host_prerequisite",
    "Cannot choose a subnet: every /24 of 10.192.0.0/11 overlaps a network that this host uses",
    { hint: "Set nat = false under [network]" },
  );
}
