/**
 * The folder of one machine: made private, checked before every use, and taken away in an order that
 * a crash can be resumed from (SPEC section 4). Names come from `plan/paths.ts` only.
 */
import { RumError } from "../base/errors.ts";
import { faultPoint } from "../base/fault.ts";
import type { MachinePaths, RumPaths } from "../plan/paths.ts";
import { removeLeftoverTemps, syncFolder, writeFileAtomic } from "./atomic.ts";
import { checkOwnFile, checkOwnFolder, ensureOwnFolder, readOwnFile } from "./ownership.ts";

const ID = /^[0-9a-f]{8}$/;

/**
 * 0700; root's folders 0711, because the system hypervisor's own user must pass through them to the
 * disks. Names cannot be listed, and the files in them are as tight as ever.
 */
export function folderMode(uid = Deno.uid() ?? 0): number {
  return uid === 0 ? 0o711 : 0o700;
}

/** The folder of all machines and that of the locks. */
export async function ensureDataFolders(rum: RumPaths): Promise<void> {
  await ensureOwnFolder(rum.data, { mode: folderMode() });
  await ensureOwnFolder(rum.locks);
}

/** Every folder of one machine; safe to repeat. Call it under the machine's lock. */
export async function ensureMachineFolder(rum: RumPaths, paths: MachinePaths): Promise<void> {
  requireId(paths.id);
  await ensureDataFolders(rum);
  await ensureOwnFolder(paths.folder, { mode: folderMode() });
  await ensureOwnFolder(paths.logs);
  await ensureSocketFolder(rum, paths);
  await removeLeftoverTemps(paths.folder);
}

/** The short folder may be in /tmp, where anybody could have made it first: owner and mode count. */
export async function ensureSocketFolder(rum: RumPaths, paths: MachinePaths): Promise<void> {
  if (paths.socketFolder === paths.folder) return;
  await ensureOwnFolder(rum.shortRoot);
  await ensureOwnFolder(paths.socketFolder, { mode: folderMode() });
}

/** Is there a folder of this machine, and is it ours? Refuses what is not. */
export async function hasMachineFolder(paths: MachinePaths): Promise<boolean> {
  try {
    await checkOwnFolder(paths.folder);
    return true;
  } catch (error) {
    if (error instanceof RumError && error.code === "machine_not_found") return false;
    throw error;
  }
}

/** The path of the rum.toml as the folder remembers it; undefined when it does not. */
export async function readConfigPath(paths: MachinePaths): Promise<string | undefined> {
  const text = await readOwnFile(paths.configPath, { maxBytes: 8192 });
  const path = text?.replace(/\n$/, "");
  return path !== undefined && path.startsWith("/") ? path : undefined;
}

/**
 * Binds the folder to its rum.toml: written once, compared ever after. An id is 32 bits of a hash,
 * so two projects can meet; the second is refused instead of sharing a disk.
 */
export async function bindConfigPath(paths: MachinePaths, configPath: string): Promise<void> {
  const recorded = await readConfigPath(paths);
  if (recorded === configPath) return;
  if (recorded !== undefined) {
    throw new RumError(
      "machine_exists",
      `Cannot use machine ${paths.id} for "${configPath}": it belongs to "${recorded}"`,
      { hint: `rum adopt ${paths.id}` },
    );
  }
  await writeFileAtomic(paths.configPath, configPath + "\n");
}

/** Binds it to another rum.toml (`rum adopt`); under the lock, after the user asked for it. */
export async function rebindConfigPath(paths: MachinePaths, configPath: string): Promise<void> {
  await writeFileAtomic(paths.configPath, configPath + "\n");
}

/**
 * Takes the folder away: first everything that is only bulk, then the record that says "destroying",
 * the folder last. `keep` names files that stay (drives of before), and with them the folder.
 * Whoever finds the folder after a crash finds the record too, and goes on.
 */
export async function removeMachineFolder(
  rum: RumPaths,
  paths: MachinePaths,
  options: { keep?: readonly string[]; signal?: AbortSignal } = {},
): Promise<{ left: "nothing" | "drives" }> {
  requireId(paths.id);
  const { keep = [], signal } = options;
  if (!await hasMachineFolder(paths)) return { left: "nothing" };
  if (paths.socketFolder !== paths.folder) await removeTree(paths.socketFolder);
  const last = [paths.state, paths.configPath];
  const kept: string[] = [];
  for await (const entry of Deno.readDir(paths.folder)) {
    const path = `${paths.folder}/${entry.name}`;
    if (keep.includes(path)) kept.push(path);
    if (kept.includes(path) || last.includes(path)) continue;
    signal?.throwIfAborted();
    await removeTree(path);
  }
  if (kept.length > 0) return { left: "drives" };
  await syncFolder(paths.folder);
  await faultPoint("folder.bulk");
  for (const path of last) await removeTree(path);
  await faultPoint("folder.record");
  await removeTree(paths.folder);
  await syncFolder(rum.data);
  return { left: "nothing" };
}

const REFILLED_MS = 2000;

/** A link is removed, never what it leads to. */
async function removeTree(path: string): Promise<void> {
  for (const end = performance.now() + REFILLED_MS;;) {
    try {
      return await Deno.remove(path, { recursive: true });
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      // Something was written into it meanwhile: an event, the record of a daemon that moves in.
      const refilled = (error as { code?: string }).code === "ENOTEMPTY";
      if (refilled && performance.now() < end) continue;
      throw new RumError(
        "permission_denied",
        `Cannot remove "${path}": ${(error as Error).message}`,
        {
          cause: error,
        },
      );
    }
  }
}

/** Removes one of our files if it is one; a foreign thing at its name is refused. */
export async function removeOwnFile(path: string): Promise<void> {
  if (await checkOwnFile(path)) await removeTree(path);
}

/** An id reaches file names: nothing but 8 hex digits may. */
export function requireId(id: string): void {
  if (!ID.test(id)) {
    throw new RumError("invalid_params", `Cannot use the machine id "${id}": want 8 hex digits`, {
      hint: "rum list",
    });
  }
}
