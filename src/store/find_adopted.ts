/**
 * Which machine a rum.toml belongs to. Nearly always the id that its path hashes to; a machine whose
 * project moved (`rum adopt`) keeps its id, and is found by what its folder says. A new project at the
 * path that it left gets the next id of that path, so that it can have a machine of its own. The
 * search is only made when the folder of the hashed id does not say that it is the one.
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
  const found = ids[paths.indexOf(configPath)];
  if (found !== undefined) return found;
  for (let n = 0;; n++) {
    const id = machineId(configPath, n);
    // Taken by a project that moved away from here, or (32 bits of a hash) by a stranger's; or bound
    // to this very path since we looked: twenty `up` at once must not become two machines.
    const bound = await recordedFor(rum, id);
    if (bound === undefined || bound === configPath) return id;
  }
}

function recordedFor(rum: RumPaths, id: string): Promise<string | undefined> {
  return readConfigPath(machinePaths(rum, id)).catch(() => undefined);
}
