/**
 * Which machine a command is about, from -m or from the nearest rum.toml, without libvirt, without a
 * daemon and without reading more of the configuration than its path: a broken rum.toml must not
 * keep anyone from looking at a machine or stopping it.
 */
import { RumError } from "../base/errors.ts";
import { nearest } from "../base/typo.ts";
import { type MachinePaths, machinePaths } from "../plan/paths.ts";
import { machineIdOf } from "../store/find_adopted.ts";
import { nearestConfigPath } from "./config_path.ts";
import type { Context } from "./verb.ts";

export interface Target {
  readonly id: string;
  readonly paths: MachinePaths;
  /** Absent when -m named a machine whose records do not say. */
  readonly configPath?: string;
}

/** @throws {RumError} `config_not_found`, `machine_not_found`, `invalid_params` when ambiguous */
export async function targetOf(context: Context): Promise<Target> {
  const { machine } = context.globals;
  if (machine === undefined) {
    // The id is made from the canonical path: a link to a project is the same project.
    const configPath = await Deno.realPath(await nearestConfigPath(context));
    const id = await machineIdOf(context.paths, configPath);
    return { id, configPath, paths: machinePaths(context.paths, id) };
  }
  const { listMachines } = await import("../store/list_machines.ts");
  const all = await listMachines(context.paths);
  const matches = all.filter((m) => m.id === machine || m.name === machine);
  if (matches.length > 1 && !matches.some((m) => m.id === machine)) {
    throw new RumError(
      "invalid_params",
      `Cannot tell which machine "${machine}" is: ${
        matches.map((m) => `${m.id} (${m.configPath ?? "project unknown"})`).join(", ")
      }`,
      { hint: `rum -m ${matches[0].id} …` },
    );
  }
  const found = matches.find((m) => m.id === machine) ?? matches[0];
  if (found === undefined) {
    const guess = nearest(machine, all.map((m) => m.name));
    throw new RumError(
      "machine_not_found",
      `No machine of yours is called "${machine}"` +
        (guess === undefined ? "" : `; did you mean "${guess}"?`),
      { hint: "rum list" },
    );
  }
  return {
    id: found.id,
    paths: machinePaths(context.paths, found.id),
    ...(found.configPath === undefined ? {} : { configPath: found.configPath }),
  };
}
