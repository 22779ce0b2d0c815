/**
 * Host folders, mounted by tag. `sync` mounts are plain folders that the file-change bridge fills.
 * The default one is where login shells start.
 */
import { RumError } from "../../src/base/errors.ts";
import type { ApplyParams } from "../../src/protocol/agent.ts";
import { putFile } from "./edit.ts";
import { readText } from "../facts.ts";
import { kernelKnows, mountedAt } from "./mountinfo.ts";
import { must, tool } from "./tools.ts";

type Mount = NonNullable<ApplyParams["mounts"]>[number];

export async function applyMount(mount: Mount): Promise<boolean> {
  requireAbsolute(mount.target);
  const there = await mountedAt(mount.target);
  if (mount.type === "sync") {
    if (await Deno.stat(mount.target).then((s) => s.isDirectory, () => false)) return false;
    await Deno.mkdir(mount.target, { recursive: true });
    return true;
  }
  if (there?.type === mount.type && there.source === mount.tag) {
    if (there.readonly === mount.readonly) return false;
    await must("mount", "-o", `remount,${mount.readonly ? "ro" : "rw"}`, mount.target);
    return true;
  }
  await Deno.mkdir(mount.target, { recursive: true });
  await tool("modprobe", mount.type === "9p" ? "9pnet_virtio" : "virtiofs");
  if (mount.type === "9p") await tool("modprobe", "9p");
  if (!kernelKnows(mount.type, await readText("/proc/filesystems"))) {
    throw new RumError(
      "not_supported",
      `Cannot mount ${mount.target} by ${mount.type}: the guest's kernel has no ${mount.type} ` +
        `(type = "sync" needs nothing of it)`,
    );
  }
  const options = [
    ...(mount.readonly ? ["ro"] : []),
    ...(mount.type === "9p" ? ["trans=virtio", "version=9p2000.L", "msize=512000"] : []),
  ];
  await must(
    "mount",
    "-t",
    mount.type,
    ...(options.length === 0 ? [] : ["-o", options.join(",")]),
    mount.tag,
    mount.target,
  );
  return true;
}

/** A mount that is no longer in rum.toml. Its folder stays: it may hold what was under it. */
export async function removeMount(mount: Mount): Promise<boolean> {
  const there = await mountedAt(mount.target);
  if (there?.source !== mount.tag) return false;
  await must("umount", mount.target);
  return true;
}

const PROFILE = "/etc/profile.d/rum-default-folder.sh";

/** Login shells that start in their home go on to the default mount. */
export async function applyDefaultFolder(mounts: readonly Mount[]): Promise<boolean> {
  const target = mounts.find((mount) => mount.default)?.target;
  if (target === undefined) {
    return await Deno.remove(PROFILE).then(() => true, () => false);
  }
  const quoted = `'${target.replaceAll("'", `'\\''`)}'`;
  return await putFile(
    PROFILE,
    `case $- in *i*) [ "$PWD" = "$HOME" ] && [ -d ${quoted} ] && cd ${quoted} ;; esac\n:\n`,
    0o644,
  );
}

export function requireAbsolute(target: string): void {
  if (/^\/[^\0]+$/.test(target) && !target.split("/").includes("..")) return;
  throw new RumError("invalid_params", `"${target}" is no place for a mount in the guest`);
}
