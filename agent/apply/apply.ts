/**
 * Applies what the machine's file says of the guest, item by item: each reports its own outcome and
 * none keeps another from being tried. What was asked is kept, so that a boot with no host around
 * mounts by itself, and so that a mount that left the file is unmounted.
 */
import { toRumError } from "../../src/base/errors.ts";
import { type ApplyOutcome, type ApplyParams, applyParams } from "../../src/protocol/agent.ts";
import { readJson, writeDurably } from "../durable.ts";
import type { AgentOptions } from "../options.ts";
import { applyFileSystem } from "./file_systems.ts";
import { applyHostname } from "./hostname.ts";
import { applyDefaultFolder, applyMount, removeMount } from "./mounts.ts";
import { applyUser } from "./user.ts";

export async function applyAll(
  options: AgentOptions,
  params: ApplyParams,
): Promise<ApplyOutcome[]> {
  const before = await applied(options);
  await writeDurably(appliedPath(options), JSON.stringify({ ...before, ...params }));
  const outcomes: ApplyOutcome[] = [];
  const item = async (name: string, work: () => Promise<boolean>) => {
    try {
      outcomes.push({ item: name, outcome: await work() ? "changed" : "unchanged" });
    } catch (error) {
      outcomes.push({ item: name, outcome: "failed", message: toRumError(error).message });
    }
  };
  const { hostname, user, mounts, fileSystems } = params;
  if (hostname !== undefined) await item("hostname", () => applyHostname(hostname));
  if (user !== undefined) await item(`user ${user.name}`, () => applyUser(user));
  for (const each of fileSystems ?? []) {
    await item(`file system ${each.target}`, () => applyFileSystem(each));
  }
  if (mounts === undefined) return outcomes;
  const wanted = new Set(mounts.map((mount) => mount.target));
  for (const gone of before?.mounts?.filter((mount) => !wanted.has(mount.target)) ?? []) {
    await item(`mount ${gone.target} (gone)`, () => removeMount(gone));
  }
  for (const mount of mounts) await item(`mount ${mount.target}`, () => applyMount(mount));
  await item("default folder", () => applyDefaultFolder(mounts));
  return outcomes;
}

/** At boot: what does not survive a reboot by itself. */
export async function applyAtBoot(options: AgentOptions): Promise<ApplyOutcome[]> {
  const { mounts, fileSystems } = await applied(options) ?? {};
  if (mounts === undefined && fileSystems === undefined) return [];
  return await applyAll(options, { mounts, fileSystems });
}

async function applied(options: AgentOptions): Promise<ApplyParams | undefined> {
  try {
    return applyParams(await readJson(appliedPath(options)), "");
  } catch {
    return undefined;
  }
}

function appliedPath(options: AgentOptions): string {
  return `${options.state}/applied.json`;
}
