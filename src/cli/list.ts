/** `rum list`: every machine of this user from what is recorded; needs no daemon and no libvirt. */
import { EXIT } from "../base/errors.ts";
import { formatSize } from "../base/units.ts";
import { type ListedMachine, listMachines } from "../store/list_machines.ts";
import { table } from "./table.ts";
import type { Context } from "./verb.ts";

export async function run(context: Context): Promise<number> {
  const machines = await listMachines(context.paths);
  context.out.document(
    "list",
    { machines: machines.map(listedDocument) },
    () => listText(machines),
  );
  return EXIT.ok;
}

export function listedDocument(machine: ListedMachine): Record<string, unknown> {
  const { id, name, phase, cpus, memoryBytes, ports, configPath, configExists } = machine;
  return {
    id,
    name,
    phase,
    as_recorded: true,
    ...(cpus === undefined ? {} : { cpus }),
    ...(memoryBytes === undefined ? {} : { memory: memoryBytes }),
    ports,
    ...(configPath === undefined ? {} : { config_path: configPath }),
    config_exists: configExists,
    daemon: machine.daemonPid === undefined ? null : { pid: machine.daemonPid },
    ...(machine.qemuAlive === undefined ? {} : { qemu_alive: machine.qemuAlive }),
    ...(machine.lostWithHost ? { lost_with_host: true } : {}),
    ...(machine.problem === undefined ? {} : { problem: machine.problem }),
  };
}

export function listText(machines: readonly ListedMachine[]): string {
  if (machines.length === 0) return "No machines. rum init writes a rum.toml, rum up makes one.";
  return table(
    ["NAME", "ID", "PHASE", "CPUS", "MEMORY", "PORTS", "PROJECT", "DAEMON"],
    machines.map((machine) => [
      machine.name,
      machine.id,
      machine.lostWithHost ? `${machine.phase} (ran when the host went down)` : machine.phase,
      String(machine.cpus ?? "-"),
      machine.memoryBytes === undefined ? "-" : formatSize(machine.memoryBytes),
      machine.ports.map(({ host, guest }) => `${host === 0 ? "auto" : host}:${guest}`)
        .join(",") || "-",
      projectOf(machine),
      machine.daemonPid === undefined ? "-" : String(machine.daemonPid),
    ]),
  );
}

function projectOf({ configPath, configExists, problem }: ListedMachine): string {
  const told = configPath === undefined
    ? "unknown"
    : configExists
    ? configPath
    : `${configPath} (config missing)`;
  return problem === undefined ? told : `${told}: ${problem.message}`;
}
