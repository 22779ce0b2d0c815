/**
 * File systems on extra disks: found by serial, formatted only when every disk is blank, mounted by
 * UUID, grown to the size of the disk. A disk that holds anything else is refused by name, because
 * it may be somebody's data under a key that was edited.
 */
import { RumError } from "../../src/base/errors.ts";
import type { ApplyParams } from "../../src/protocol/agent.ts";
import { contentOf, deviceBySerial, format } from "./drives.ts";
import { mountedAt } from "./mountinfo.ts";
import { requireAbsolute } from "./mounts.ts";
import { must, tool } from "./tools.ts";

export type FileSystem = NonNullable<ApplyParams["fileSystems"]>[number];

export async function applyFileSystem(wanted: FileSystem): Promise<boolean> {
  requireAbsolute(wanted.target);
  if (wanted.serials.length === 0) {
    throw new RumError("invalid_params", `The file system at "${wanted.target}" names no drive`);
  }
  const devices: string[] = [];
  for (const serial of wanted.serials) devices.push(await deviceBySerial(serial));
  const changed = wanted.type === "zfs"
    ? await applyPool(wanted, devices)
    : await applyVolume(wanted, wanted.type, devices);
  if (wanted.mode === undefined) return changed;
  const mode = parseInt(wanted.mode, 8);
  if (((await Deno.stat(wanted.target)).mode ?? 0) % 0o10000 === mode) return changed;
  await Deno.chmod(wanted.target, mode);
  return true;
}

async function applyVolume(
  wanted: FileSystem,
  type: "ext4" | "xfs" | "btrfs",
  devices: readonly string[],
): Promise<boolean> {
  if (type !== "btrfs" && devices.length > 1) {
    throw new RumError("invalid_params", `${type} takes one drive, found ${devices.length}`);
  }
  const contents = await Promise.all(devices.map(contentOf));
  let changed = false;
  if (contents.every((content) => content === undefined)) {
    await format(type, devices);
    changed = true;
  } else {
    contents.forEach((content, i) => requireType(content?.type, type, devices[i], wanted));
  }
  const content = changed ? await contentOf(devices[0]) : contents[0];
  const uuid = content?.uuid ?? "";
  if (!/^[0-9A-Fa-f-]{8,36}$/.test(uuid)) {
    throw new RumError("mount_failed", `The ${type} on ${devices[0]} has no UUID`);
  }
  const there = await mountedAt(wanted.target);
  if (there === undefined || !devices.includes(there.source)) {
    if (there !== undefined && there.type === type) await must("umount", wanted.target);
    await Deno.mkdir(wanted.target, { recursive: true });
    if (type === "btrfs") await tool("btrfs", "device", "scan", ...devices);
    await must("mount", "-t", type, `UUID=${uuid}`, wanted.target);
    changed = true;
  }
  return await grow(type, devices, wanted.target) || changed;
}

function requireType(
  found: string | undefined,
  type: string,
  device: string,
  wanted: FileSystem,
): void {
  if (found === type) return;
  throw new RumError(
    "mount_failed",
    `The drive for "${wanted.target}" (${device}) holds ${found ?? "nothing"}, wanted ${type}; ` +
      "it is not formatted, because that would lose what is on it",
  );
}

/** True when the file system has more room than before. Growing what is grown costs nothing. */
async function grow(
  type: "ext4" | "xfs" | "btrfs",
  devices: readonly string[],
  target: string,
): Promise<boolean> {
  const before = await capacityOf(target);
  if (type === "ext4") await must("resize2fs", devices[0]);
  else if (type === "xfs") await must("xfs_growfs", target);
  else {
    for (let id = 1; id <= devices.length; id++) {
      await must("btrfs", "filesystem", "resize", `${id}:max`, target);
    }
  }
  return before !== await capacityOf(target);
}

async function capacityOf(target: string): Promise<string> {
  return await must("stat", "--file-system", "--format=%b", target);
}

async function applyPool(wanted: FileSystem, devices: readonly string[]): Promise<boolean> {
  const pool = wanted.pool ?? "rum";
  if (!/^[a-z][a-z0-9_-]{0,62}$/.test(pool)) {
    throw new RumError("invalid_params", `"${pool}" is no name for a pool`);
  }
  if ((await tool("zpool", "list", "-H", pool)).code !== 0) {
    const contents = await Promise.all(devices.map(contentOf));
    if (contents.every((content) => content === undefined)) {
      await must("zpool", "create", "-m", wanted.target, pool, ...devices);
      return true;
    }
    contents.forEach((content, i) => requireType(content?.type, "zfs_member", devices[i], wanted));
    await must("zpool", "import", pool);
    return true;
  }
  for (const device of devices) await must("zpool", "online", "-e", pool, device);
  const at = await must("zfs", "get", "-H", "-o", "value", "mountpoint", pool);
  if (at === wanted.target) return false;
  await must("zfs", "set", `mountpoint=${wanted.target}`, pool);
  return true;
}
