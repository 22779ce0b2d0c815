/**
 * Which machine a rum.toml belongs to. Nearly always the id that its path hashes to; a machine whose
 * project moved (`rum adopt`) keeps its id, and is found by what its folder says. The search is only
 * made when the folder of the hashed id does not say that it is the one.
 */
import { machineId } from "../plan/identity.ts";
import { machinePaths, type RumPaths } from "../plan/paths.ts";
import { readConfigPath } from "./machine_folder.ts";

/** @param configPath canonical */
export async function machineIdOf(rum: RumPaths, configPath: string): Promise<string> {
  const own = machineId(configPath);
  if (await recordedFor(rum, own) === configPath) return own;
  const ids: string[] = [];
  try {
    for await (const { name } of Deno.readDir(rum.data)) {
      if (/^[0-9a-f]{8}$/.test(name) && name !== own) ids.push(name);
    }
  } catch {
    // No folder of machines yet, or not ours: whoever uses the id says what is wrong with it.
    return own;
  }
  const paths = await Promise.all(ids.map((id) => recordedFor(rum, id)));
  return ids[paths.indexOf(configPath)] ?? own;
}

function recordedFor(rum: RumPaths, id: string): Promise<string | undefined> {
  return readConfigPath(machinePaths(rum, id)).catch(() => undefined);
}
