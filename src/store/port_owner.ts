/** Who has a port of this host, in words: another machine of this user by name, else a process. */
import type { RumPaths } from "../plan/paths.ts";
import { listMachines } from "./list_machines.ts";
import { portHolder } from "./port_holder.ts";

/** The end of "it is held by …"; undefined when it cannot be told (another user's process). */
export async function describePortOwner(
  rum: RumPaths,
  port: number,
  proto: "tcp" | "udp",
): Promise<string | undefined> {
  const holder = await portHolder(port, proto);
  if (holder === undefined) return undefined;
  const machines = await listMachines(rum).catch(() => []);
  const machine = machines.find((each) => each.daemonPid === holder.pid);
  return machine === undefined
    ? `${holder.command || "a process"} (pid ${holder.pid})`
    : `the machine "${machine.name}" (${machine.id}; rum -m ${machine.id} port ls)`;
}
