/**
 * `rum adopt ID`: the machine of a project that moved is bound to the rum.toml that is here now. Its
 * id, disks and keys stay; a machine that runs goes on running, its background process is sent away
 * first (the next command starts one that knows the new place).
 */
import { EXIT, RumError } from "../base/errors.ts";
import { askLine } from "../daemon/ask_line.ts";
import { type MachinePaths, machinePaths } from "../plan/paths.ts";
import { machineIdOf } from "../store/find_adopted.ts";
import { describeHolder, waitForFlock } from "../store/flock.ts";
import {
  ensureDataFolders,
  hasMachineFolder,
  readConfigPath,
  rebindConfigPath,
  requireId,
} from "../store/machine_folder.ts";
import { loadState, saveState } from "../store/state_file.ts";
import { nearestConfigPath } from "./config_path.ts";
import type { Context, VerbCall } from "./verb.ts";

const LOCK_MS = 30_000;

export async function run(context: Context, call: VerbCall): Promise<number> {
  const [id] = call.operands;
  requireId(id);
  const configPath = await Deno.realPath(await nearestConfigPath(context));
  const paths = machinePaths(context.paths, id);
  await requireFree(context, paths, configPath);
  await releaseDaemon(paths, context.signal);
  await ensureDataFolders(context.paths);
  await using _lock = await waitForFlock(paths.lock, {
    holder: await describeHolder({ role: "one-shot", operation: "adopt", deadlineMs: LOCK_MS }),
    deadlineMs: LOCK_MS,
    signal: context.signal,
  });
  // Whoever held it may have destroyed this machine, or made one for the rum.toml.
  await requireFree(context, paths, configPath);
  const was = await readConfigPath(paths);
  const name = await bind(paths, configPath);
  context.out.document(
    "adopt",
    { id, name, config_path: configPath, ...(was === undefined ? {} : { was }) },
    () => `Machine ${name} (${id}) belongs to ${configPath} now.`,
  );
  return EXIT.ok;
}

/** @throws {RumError} `machine_not_found`; `machine_exists` when either side has another partner */
async function requireFree(
  context: Context,
  paths: MachinePaths,
  configPath: string,
): Promise<void> {
  if (!await hasMachineFolder(paths)) {
    throw new RumError("machine_not_found", `No machine of yours has the id ${paths.id}`, {
      hint: "rum list",
    });
  }
  const present = await machineIdOf(context.paths, configPath);
  if (present !== paths.id && await hasMachineFolder(machinePaths(context.paths, present))) {
    throw new RumError(
      "machine_exists",
      `Cannot adopt ${paths.id} here: ${configPath} has a machine already, ${present}`,
      { hint: `rum -m ${present} destroy` },
    );
  }
  const bound = await readConfigPath(paths);
  if (bound === undefined || bound === configPath) return;
  if (!await Deno.stat(bound).then(() => true, () => false)) return;
  throw new RumError(
    "machine_exists",
    `Cannot adopt ${paths.id}: the rum.toml it belongs to is still there, at ${bound}`,
    { hint: `move it away, or use the machine as it is: rum -m ${paths.id} status` },
  );
}

/** The machine runs on without it. */
async function releaseDaemon(paths: MachinePaths, signal: AbortSignal): Promise<void> {
  try {
    await askLine(paths, "release", { timeoutMs: 5000, signal });
  } catch (thrown) {
    if (!(thrown instanceof RumError) || thrown.code !== "daemon_unreachable") throw thrown;
  }
}

/** The record first names the new place, then the folder: repeating it mends a crash in between. */
async function bind(paths: MachinePaths, configPath: string): Promise<string> {
  if (await readConfigPath(paths) === undefined) await rebindConfigPath(paths, configPath);
  const loaded = await loadState(paths);
  if (loaded !== undefined) {
    const { record } = loaded;
    // A rebuilt record made its UUID from the path; libvirt knows the machine by the old one.
    const uuid = (loaded.rebuilt === undefined ? undefined : await definedUuid(paths)) ??
      record.uuid;
    await saveState(paths, {
      ...record,
      uuid,
      config_path: configPath,
      adopted: true,
      ...(record.plan === undefined ? {} : { plan: { ...record.plan, configPath } }),
    });
  }
  await rebindConfigPath(paths, configPath);
  return loaded?.record.name ?? paths.id;
}

async function definedUuid(paths: MachinePaths): Promise<string | undefined> {
  const xml = await Deno.readTextFile(paths.domainXml).catch(() => "");
  return /<uuid>([0-9a-f-]{36})<\/uuid>/.exec(xml)?.[1];
}
