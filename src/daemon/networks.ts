/**
 * Networks that live and die with the machine. A machine that goes off leaves them up; a plan that has
 * other ones finds those of before. So the record keeps every network that may be there, with what it
 * was made from, and each start begins with taking down what is not wanted any more, or not like that.
 *
 *   take down what is gone or differs ─► record what is wanted ─► bring it up
 *
 * In this order nothing is lost when we are killed in between: what stands in the record and was never
 * made is taken down as well as anything, and what is made stands in the record.
 */
import { VERSION } from "../base/version.ts";
import { sha256Hex } from "../base/sha256.ts";
import type { Hypervisor } from "../libvirt/hypervisor.ts";
import type { MachineRecord, RecordPatch } from "../machine/record.ts";
import type { PlannedNetwork } from "../plan/types.ts";
import { networkXml } from "../xml/network.ts";

export type MadeNetwork = NonNullable<MachineRecord["networks"]>[number];

export interface NetworksOptions {
  readonly id: string;
  readonly hypervisor: Pick<Hypervisor, "network">;
  readonly record: () => Pick<MachineRecord, "networks" | "plan">;
  readonly save: (patch: RecordPatch) => Promise<void>;
}

export interface Networks {
  /** Before the machine starts, while nothing uses them. */
  up(wanted: readonly PlannedNetwork[], signal?: AbortSignal): Promise<void>;
  /** All that may be there. */
  down(signal?: AbortSignal): Promise<void>;
}

export function createNetworks({ id, hypervisor, record, save }: NetworksOptions): Networks {
  const takeDown = async (made: readonly MadeNetwork[], signal?: AbortSignal) => {
    for (const { name, uuid } of made) await hypervisor.network({ name, uuid }).down({ signal });
  };
  return {
    async up(wanted, signal) {
      const made = madeNetworks(record());
      const next = wanted.map((network) => madeFrom(network, id));
      await takeDown(made.filter((old) => !next.some((each) => isSame(each, old))), signal);
      if (made.length !== next.length || !made.every((old, i) => isSame(next[i], old))) {
        await save({ networks: next });
      }
      for (const network of wanted) {
        const ref = { name: network.hypervisorName, uuid: network.uuid };
        await hypervisor.network(ref).up(networkXml(network, { id, version: VERSION }), { signal });
      }
    },
    down: (signal) => takeDown(madeNetworks(record()), signal),
  };
}

/** To be recorded with every new plan, which would otherwise take the names of the old one along. */
export function madeNetworks(
  { networks, plan }: Pick<MachineRecord, "networks" | "plan">,
): readonly MadeNetwork[] {
  // Records of before had only the plan's, which may have been made from an earlier plan.
  return networks ??
    (plan?.networks ?? []).map(({ hypervisorName: name, uuid }) => ({ name, uuid }));
}

function madeFrom(network: PlannedNetwork, id: string): MadeNetwork {
  return {
    name: network.hypervisorName,
    uuid: network.uuid,
    // Another rum that makes the same of it changes nothing.
    from: sha256Hex(networkXml(network, { id, version: "" })),
  };
}

function isSame(a: MadeNetwork, b: MadeNetwork): boolean {
  return a.uuid === b.uuid && a.name === b.name && a.from === b.from;
}
