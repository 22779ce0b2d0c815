/**
 * Image, disks, seed and definition: the state machine's Preparer port over store and libvirt.
 *
 * `gather` does what takes long and shows nothing: whatever it makes has a pending name, so cancelling
 * is removing those. `publish` only renames, writes the definition and tells libvirt; each of its
 * steps can be repeated, so a crash between two of them is mended by the next `up`.
 *
 * A disk that exists is never written over: a new machine's disk is renamed into an empty place, a
 * reset renames over the old one only when the new one is complete.
 */
import { removeIfThere } from "../store/image_layout.ts";
import { RumError, toRumError } from "../base/errors.ts";
import { formatSize } from "../base/units.ts";
import { faultPoint } from "../base/fault.ts";
import type { HypervisorMachine } from "../libvirt/hypervisor.ts";
import type { Preparer } from "../machine/effects.ts";
import type { MachineRecord, RecordPatch } from "../machine/record.ts";
import { checkRoom } from "../plan/room.ts";
import type { HostFacts, Plan, PlannedDrive } from "../plan/types.ts";
import type { EventBody } from "../protocol/machine_events.ts";
import {
  diskBase,
  diskSize,
  growDisk,
  publishDisk,
  writeBlankDisk,
  writeOverlay,
} from "../store/disks.ts";
import { type EnsuredImage, ensureImage, verifyInBackground } from "../store/image_ensure.ts";
import { digestInPath } from "../store/image_layout.ts";
import type { ImageProgress } from "../store/image_types.ts";
import { writeFileAtomic } from "../store/atomic.ts";
import { madeNetworks } from "./networks.ts";
import type { PlanAdoption } from "./plan_adoption.ts";
import { forceOff } from "./power.ts";

export interface Wanted {
  readonly plan: Plan;
  readonly facts: HostFacts;
}

export interface PreparerOptions {
  /** What the `up` under way asked for; the plan is made before the operation begins. */
  readonly wanted: () => Wanted;
  readonly record: () => MachineRecord;
  readonly save: (patch: RecordPatch) => Promise<void>;
  readonly adoption: PlanAdoption;
  readonly emit: (event: EventBody) => void;
  readonly machine: () => HypervisorMachine;
  /** Writes the seed for this plan and returns its hash; leaves an equal one alone. */
  readonly writeSeed: (
    plan: Plan,
    options: { readonly newDisk: boolean; readonly signal: AbortSignal },
  ) => Promise<string>;
  readonly removeSeedsBut: (hash: string | undefined) => Promise<void>;
  readonly domainXml: (plan: Plan, image: ImageOfRecord, seedHash: string) => string;
  readonly networksDown: (signal?: AbortSignal) => Promise<void>;
  /** Everything in it but `keep`; the folder itself when nothing is kept. */
  readonly removeFolder: (
    keep: readonly string[],
    signal: AbortSignal,
  ) => Promise<{ left: "nothing" | "drives" }>;
}

export type ImageOfRecord = NonNullable<MachineRecord["image"]>;

export function createPreparer(options: PreparerOptions): Preparer {
  const { record, save, emit, machine } = options;
  let gathered: { image: ImageOfRecord; seedHash: string; newDisk: boolean } | undefined;
  let madeDrives: PlannedDrive[] = [];
  /** Of the operation under way: a later `up` may want another plan before this one has ended. */
  let operation: Wanted | undefined;
  const present = () => operation ?? options.wanted();

  return {
    async gather({ signal, reset }) {
      operation = options.wanted();
      madeDrives = [];
      const { plan, facts } = operation;
      const existing = await diskSize(plan.paths.overlay);
      const making = existing === undefined || reset !== undefined;
      for (const text of checkRoom(plan, facts, { for: making ? "create" : "start" })) {
        emit({ kind: "warning", text });
      }
      // What a killed gathering left must not be published by this one in a good disk's place.
      await removePending(plan);
      try {
        const image = making
          ? await newDisk(plan, facts, signal)
          : await keptDisk(plan, facts, existing, signal);
        await faultPoint("gather.disk");
        await pendingDrives(plan, reset === "all");
        await faultPoint("gather.drives");
        signal.throwIfAborted();
        emit({ kind: "progress", step: "seed", text: "writing the seed" });
        gathered = {
          image,
          newDisk: making,
          seedHash: await options.writeSeed(plan, { newDisk: making, signal }),
        };
        await faultPoint("gather.seed");
        return { disk: !making ? "existing" : reset === undefined ? "new" : "replacement" };
      } catch (error) {
        await removePending(plan);
        throw error;
      }
    },

    async publish({ signal }) {
      const { plan } = present();
      if (gathered === undefined) {
        throw new RumError("internal", "Cannot publish a machine that was not gathered");
      }
      const { image, seedHash, newDisk } = gathered;
      if (newDisk) await publishDisk(plan.paths.pendingOverlay, plan.paths.overlay);
      await faultPoint("publish.disk");
      for (const drive of plan.drives) {
        await publishDisk(plan.paths.pendingDrive(drive.name), drive.path);
      }
      await faultPoint("publish.drives");
      await renameIfNeeded(plan, signal);
      const xml = options.domainXml(plan, image, seedHash);
      await writeFileAtomic(plan.paths.domainXml, xml);
      await machine().define(xml, { signal });
      await faultPoint("publish.defined");
      const adopted = options.adoption.atStart(plan, { newDisk });
      await save({
        name: plan.name,
        hypervisor_name: plan.hypervisorName,
        config_path: plan.configPath,
        hypervisor: plan.hypervisor,
        accelerator: plan.domainType.type,
        image,
        plan: adopted.plan,
        networks: [...madeNetworks(record())],
        seed_hash: seedHash,
        drives: plan.drives.map((d) => ({
          name: d.name,
          serial: d.serial,
          size_bytes: d.sizeBytes,
        })),
      });
      await faultPoint("publish.recorded");
      adopted.tell();
      await options.removeSeedsBut(seedHash);
      await faultPoint("publish.swept");
    },

    discard: () => removePending(present().plan),

    async wipe({ signal }) {
      const { plan } = present();
      await machine().undefine({ signal });
      await faultPoint("wipe.undefined");
      await options.networksDown(signal);
      await removePending(plan);
      return await options.removeFolder(await drivesOfBefore(plan), signal);
    },

    async remove({ signal }) {
      await forceOff(machine(), signal);
      await machine().undefine({ signal });
      await faultPoint("remove.undefined");
      await options.networksDown(signal);
      await faultPoint("remove.networks");
      await options.removeFolder([], signal);
    },
  };

  /** The image is fetched and verified, and an overlay on it waits under its pending name. */
  async function newDisk(
    plan: Plan,
    facts: HostFacts,
    signal: AbortSignal,
  ): Promise<ImageOfRecord> {
    const image = await ensureImage({
      image: plan.image,
      arch: plan.arch,
      paths: facts.paths,
      lockFile: `${plan.configPath.slice(0, plan.configPath.lastIndexOf("/"))}/rum.lock`,
      forMachine: true,
      signal,
      progress: throttled(emit),
    });
    await faultPoint("gather.image");
    for (const text of image.notes) emit({ kind: "note", text });
    if (image.cached) hashAlongside(facts, image);
    const size = Math.max(plan.diskBytes, image.virtualSizeBytes);
    if (image.virtualSizeBytes > plan.diskBytes) {
      emit({
        kind: "warning",
        text: `resources.disk is ${formatSize(plan.diskBytes)}, and the image has ` +
          `${formatSize(image.virtualSizeBytes)}; the larger one counts`,
      });
    }
    emit({ kind: "progress", step: "disk", text: `making a disk of ${formatSize(size)}` });
    await removeIfThere(plan.paths.pendingOverlay);
    await writeOverlay(plan.paths.pendingOverlay, {
      backing: image.path,
      backingFormat: image.format,
      virtualSizeBytes: size,
    });
    return { digest: image.digest, format: image.format, path: image.path, source: image.source };
  }

  /** The disk that is there; larger when rum.toml says so now. */
  async function keptDisk(
    plan: Plan,
    facts: HostFacts,
    size: number,
    signal: AbortSignal,
  ): Promise<ImageOfRecord> {
    const image = await imageBelow(plan, facts);
    if (image === undefined) {
      throw new RumError(
        "state_invalid",
        `Cannot start "${plan.name}": its records do not say which image its disk stands on`,
        { hint: "rum up --reset" },
      );
    }
    await Deno.stat(image.path).catch((cause) => {
      throw new RumError(
        "image_not_found",
        `Cannot start "${plan.name}": the image its disk stands on is gone: ${image.path}`,
        { cause, hint: `rum image pull ${plan.image.base}` },
      );
    });
    signal.throwIfAborted();
    if (size < plan.diskBytes && await growDisk(plan.paths.overlay, plan.diskBytes)) {
      emit({ kind: "progress", step: "disk", text: `grown to ${formatSize(plan.diskBytes)}` });
    }
    return image;
  }

  /**
   * The record names the image after the disk got its place, so a crash between the two, or a record
   * that was lost, leaves it to the disk; which is believed where it names a base image of ours.
   */
  async function imageBelow(plan: Plan, facts: HostFacts): Promise<ImageOfRecord | undefined> {
    const recorded = record().image;
    const base = await diskBase(plan.paths.overlay);
    if (base === undefined || base.path === recorded?.path) return recorded;
    const digest = digestInPath(base.path);
    if (digest === undefined || !base.path.startsWith(`${facts.paths.images}/`)) return recorded;
    return { digest, format: base.format, path: base.path, source: plan.image.base };
  }

  async function pendingDrives(plan: Plan, replaceAll: boolean): Promise<void> {
    for (const drive of plan.drives) {
      const size = await diskSize(drive.path);
      if (size === undefined || replaceAll) {
        await removeIfThere(plan.paths.pendingDrive(drive.name));
        await writeBlankDisk(plan.paths.pendingDrive(drive.name), drive.sizeBytes);
        if (size === undefined) madeDrives.push(drive);
      } else if (size < drive.sizeBytes) {
        await growDisk(drive.path, drive.sizeBytes);
      }
    }
  }

  /** By what is there: a drive that rum.toml names no more keeps what somebody put on it. */
  async function drivesOfBefore(plan: Plan): Promise<string[]> {
    const made = madeDrives.map((drive) => drive.path);
    const before: string[] = [];
    for await (const { name } of Deno.readDir(plan.paths.folder)) {
      const path = `${plan.paths.folder}/${name}`;
      if (/^drive-.+\.qcow2$/.test(name) && !made.includes(path)) before.push(path);
    }
    return before;
  }

  async function removePending(plan: Plan): Promise<void> {
    await removeIfThere(plan.paths.pendingOverlay);
    // By what is there: rum.toml may name other drives now than when they were begun.
    for await (const { name } of Deno.readDir(plan.paths.folder)) {
      if (/^drive-.+\.qcow2\.pending$/.test(name)) {
        await removeIfThere(`${plan.paths.folder}/${name}`);
      }
    }
  }

  /** libvirt renames only what is off, which it is whenever something is published. */
  async function renameIfNeeded(plan: Plan, signal: AbortSignal): Promise<void> {
    if (record().hypervisor_name === plan.hypervisorName) return;
    if ((await machine().status({ signal })).state === "absent") return;
    await machine().rename(plan.hypervisorName, { signal });
    await save({ name: plan.name, hypervisor_name: plan.hypervisorName });
  }

  /** A cached image's full hash runs beside the boot, and fails loudly. */
  function hashAlongside(facts: HostFacts, image: EnsuredImage): void {
    verifyInBackground(facts.paths, image).catch((thrown) => {
      const error = toRumError(thrown);
      emit({ kind: "warning", code: error.code, text: error.message, hint: error.hint });
    });
  }
}

const PROGRESS_EVERY_MS = 250;

/** A download's progress as events, a few a second, the last one always. */
function throttled(emit: (event: EventBody) => void): (progress: ImageProgress) => void {
  let last = -Infinity;
  return ({ stage, bytes, total, bytesPerSecond }) => {
    const now = performance.now();
    if (bytes !== total && now - last < PROGRESS_EVERY_MS) return;
    last = now;
    const of = total === undefined ? "" : ` of ${formatSize(total)}`;
    const rate = bytesPerSecond === undefined ? "" : `, ${formatSize(bytesPerSecond)}/s`;
    emit({
      kind: "progress",
      step: "image",
      text: `${stage} ${formatSize(bytes)}${of}${rate}`,
      done: bytes,
      ...(total === undefined ? {} : { total }),
    });
  };
}
