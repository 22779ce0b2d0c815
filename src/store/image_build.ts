/**
 * `rum image build`: Debian packages → a bootable qcow2 in the cache, by an ordinary user, without
 * loop devices, mounts or a boot loader on the host.
 *
 *   bootstrap   mmdebstrap → stages/<key>.<recipe>.tar        kept: a later try starts after it
 *   assemble    tar → ext4 (mke2fs -d) in a sparse disk file, boot area written by rum
 *   convert     disk → qcow2 → into the cache by digest
 *
 * User namespaces first, so that not even root runs package scripts as the host's root; then plain
 * root. Every stage writes to a name of its own and is renamed when complete, so kill -9 anywhere
 * leaves a finished stage or a leftover that the next build removes. The tools are started with a
 * parent-death signal: a killed rum does not leave a bootstrap running.
 */
import { RumError } from "../base/errors.ts";
import { bootArea, PARTITION_START_SECTOR, SECTOR } from "../image/boot_sector.ts";
import {
  assembleArguments,
  type BootstrapMode,
  bootstrapPercent,
  type BuildRecipe,
  buildTarget,
  DISK_BYTES,
  DISK_SIGNATURE,
  mmdebstrapArguments,
} from "../image/build_recipe.ts";
import type { Arch } from "../plan/types.ts";
import type { RumPaths } from "../plan/paths.ts";
import { syncFolder } from "./atomic.ts";
import { requireFreeSpace } from "./free_space.ts";
import { adoptFile } from "./image_adopt.ts";
import { aptProxyOptions, chooseMode, hostRecipe, requireTools } from "./image_build_host.ts";
import { type RunTool, runTool } from "./image_build_run.ts";
import { builtSource, type EnsuredImage } from "./image_ensure.ts";
import { hashFile } from "./image_hash.ts";
import { inspectImage } from "./image_inspect.ts";
import {
  type ImageLayout,
  namesIn,
  prepareCache,
  removeIfThere,
  sourceKey,
  stampOf,
  withSourceLock,
  writeSource,
} from "./image_layout.ts";
import { fileError } from "./ownership.ts";
import type { OnProgress } from "./image_types.ts";

export interface BuildImageOptions {
  readonly name: string;
  readonly arch: Arch;
  readonly paths: RumPaths;
  readonly mirror?: string;
  readonly signal?: AbortSignal;
  readonly progress?: OnProgress;
  /** Told once: how the tree is made, and from where. */
  readonly onNote?: (sentence: string) => void;
  /** Handed in by tests: the tools are replaced, the order and the renames are not. */
  readonly run?: RunTool;
  readonly recipe?: BuildRecipe;
  readonly mode?: BootstrapMode;
}

const LOCK_DEADLINE_MS = 60 * 60_000;
const BOOTSTRAP_MS = 45 * 60_000;
const STAGE_MS = 15 * 60_000;
/** Tar, tree, disk and qcow2 of about 550 MB each at the same time, and some room. */
const FREE_BYTES = 3 * 2 ** 30;

/** @throws {RumError} `image_build`, `host_prerequisite`, `disk_full`, `not_supported`, `busy` */
export async function buildImage(options: BuildImageOptions): Promise<EnsuredImage> {
  const { name, arch, paths, signal } = options;
  const target = buildTarget(name);
  if (arch !== "x86_64") {
    throw new RumError(
      "not_supported",
      `Cannot build ${name} for ${arch}: rum builds x86_64 images only`,
      { hint: `rum image pull ${name}` },
    );
  }
  const run = options.run ?? runTool;
  if (options.run === undefined) await requireTools();
  const recipe = options.recipe ?? await hostRecipe(target, options.mirror);
  const mode = options.mode ?? await chooseMode();
  options.onNote?.(
    `building ${name} from ${recipe.mirror.archive}, ` +
      (mode === "unshare" ? "in a user namespace" : "as root (no user namespace can be had)"),
  );
  const layout = await prepareCache(paths);
  const source = builtSource(name, arch);
  return await withSourceLock(layout, source, {
    operation: `build image ${name}`,
    deadlineMs: LOCK_DEADLINE_MS,
    signal,
  }, async () => {
    const key = await sourceKey(source);
    const tar = `${layout.stages}/${key}.${await sourceKey(recipe.fingerprint)}.tar`;
    // Of this process: what a killed build's last tool still writes to is another folder.
    const work = `${layout.stages}/${key}.work-${Deno.pid}`;
    await removeLeftovers(layout, key, tar);
    await requireFreeSpace(work, FREE_BYTES, `Cannot build ${name}`);
    const job: Job = { ...options, run, recipe, mode, layout, tar, work };
    try {
      await bootstrap(job);
      await Deno.mkdir(work, { mode: 0o700 });
      await assemble(job);
      const image = await convert(job);
      await writeSource(layout, {
        v: 1,
        source,
        name,
        url: recipe.mirror.archive,
        digest: image.digest,
        format: image.format,
        size: image.size,
        virtual_size: image.virtualSizeBytes,
        verified_by: "built",
        fetched_at: new Date().toISOString(),
      });
      await removeIfThere(tar);
      return { ...image, source, verifiedBy: "built", cached: false, notes: [] };
    } finally {
      await removeTree(work);
    }
  });
}

interface Job extends BuildImageOptions {
  readonly run: RunTool;
  readonly recipe: BuildRecipe;
  readonly mode: BootstrapMode;
  readonly layout: ImageLayout;
  readonly tar: string;
  readonly work: string;
}

async function bootstrap(job: Job): Promise<void> {
  const { tar, recipe, mode, signal, progress } = job;
  const report = (percent: number) => progress?.({ stage: "bootstrap", percent, bytes: 0 });
  if (await stampOf(tar) !== undefined) return report(100);
  report(0);
  const output = `${tar}.tmp`;
  await job.run("mmdebstrap", {
    args: mmdebstrapArguments(recipe, { mode, output, aptOptions: await aptProxyOptions() }),
    what: `mmdebstrap of ${recipe.target.name} from ${recipe.mirror.archive}`,
    hint: `rum -v image build ${job.name}`,
    timeoutMs: BOOTSTRAP_MS,
    // Not the cache: in a user namespace its 0700 folders cannot be entered.
    env: { TMPDIR: "/var/tmp" },
    onLine: (line) => {
      const percent = bootstrapPercent(line);
      if (percent !== undefined) report(percent);
    },
    signal,
  });
  await publish(output, tar);
}

async function assemble(job: Job): Promise<void> {
  const { work, tar, mode, signal, progress } = job;
  progress?.({ stage: "assemble", percent: 0, bytes: 0 });
  const disk = `${work}/disk.raw`;
  const partitionStart = PARTITION_START_SECTOR * SECTOR;
  const script = assembleArguments(tar, disk, partitionStart);
  try {
    using file = await Deno.open(disk, { write: true, createNew: true, mode: 0o600 });
    await file.truncate(DISK_BYTES);
  } catch (error) {
    throw fileError(error, `Cannot make the disk "${disk}"`);
  }
  const inNamespace = ["--user", "--map-root-user", "--map-auto", "--mount", "sh"];
  const asRoot = mode === "root" || Deno.uid() === 0;
  await job.run(asRoot ? "sh" : "unshare", {
    args: asRoot ? script : [...inNamespace, ...script],
    what: "filling the disk image",
    hint: `rum -v image build ${job.name}`,
    timeoutMs: STAGE_MS,
    cwd: work,
    // With it mke2fs stamps every inode it makes itself; files keep the times they have.
    env: { E2FSPROGS_FAKE_TIME: "1700000000" },
    signal,
  });
  progress?.({ stage: "assemble", percent: 90, bytes: 0 });
  const area = bootArea({
    bootImage: await Deno.readFile(`${work}/boot.img`),
    coreImage: await Deno.readFile(`${work}/core.img`),
    partitionSectors: (DISK_BYTES - partitionStart) / SECTOR,
    diskSignature: DISK_SIGNATURE,
  });
  try {
    using file = await Deno.open(disk, { write: true });
    for (let at = 0; at < area.length;) at += await file.write(area.subarray(at));
    await file.sync();
  } catch (error) {
    throw fileError(error, `Cannot write the boot area of "${disk}"`);
  }
  progress?.({ stage: "assemble", percent: 100, bytes: 0 });
}

async function convert(job: Job) {
  const { work, layout, signal, progress } = job;
  progress?.({ stage: "convert", percent: 0, bytes: 0 });
  const out = `${work}/image.qcow2`;
  // Not compressed: it would be a third of the size, and every first read of a boot slower.
  await job.run("qemu-img", {
    args: ["convert", "-f", "raw", "-O", "qcow2", "-S", "4k", `${work}/disk.raw`, out],
    what: "writing the qcow2",
    hint: `rum -v image build ${job.name}`,
    timeoutMs: STAGE_MS,
    signal,
  });
  const inspected = await inspectImage(out, job.name);
  const digest = await hashFile(out, { signal });
  const image = await adoptFile(layout, { from: out, digest, ...inspected });
  progress?.({ stage: "convert", percent: 100, bytes: image.size, total: image.size });
  return image;
}

async function publish(from: string, to: string): Promise<void> {
  try {
    {
      using file = await Deno.open(from, { read: true });
      await file.sync();
    }
    await Deno.rename(from, to);
    await syncFolder(to.slice(0, to.lastIndexOf("/")));
  } catch (error) {
    throw fileError(error, `Cannot keep the stage "${to}"`);
  }
}

/** Under the lock: whatever of this image is not the finished stage of this recipe. */
async function removeLeftovers(layout: ImageLayout, key: string, keep: string): Promise<void> {
  for (const name of await namesIn(layout.stages)) {
    const path = `${layout.stages}/${name}`;
    if (!name.startsWith(`${key}.`) || path === keep) continue;
    // A killed build's tar may be writing there for a second yet; then the next build removes it.
    await removeTree(path).catch(() => {});
  }
}

async function removeTree(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    // A tree unpacked in a user namespace belongs to ids that only the namespace may touch.
    const { success } = await new Deno.Command("unshare", {
      args: ["--user", "--map-root-user", "--map-auto", "rm", "-rf", "--", path],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).output();
    if (!success) throw fileError(error, `Cannot remove "${path}"`);
  }
}
