/**
 * `state.json`: read with every doubt spelt out, written atomically, set aside when it makes no
 * sense. What the text means is `machine/record.ts`'s; here it meets the disk.
 */
import { RumError } from "../base/errors.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { VERSION } from "../base/version.ts";
import {
  formatRecord,
  type MachineRecord,
  parseRecord,
  rebuildRecord,
  type RecordPatch,
} from "../machine/record.ts";
import type { MachinePaths } from "../plan/paths.ts";
import { writeFileAtomic } from "./atomic.ts";
import { readConfigPath } from "./machine_folder.ts";
import { bootId } from "./flock.ts";
import { checkOwnFile, readOwnFile } from "./ownership.ts";

export type StateReading =
  | { readonly kind: "ok"; readonly record: MachineRecord }
  | { readonly kind: "none" }
  | { readonly kind: "corrupt"; readonly why: string };

/**
 * Looks, changes nothing; safe without the lock.
 *
 * @throws {RumError} `state_newer`; `state_invalid` or `not_owner` for what is not our file
 */
export async function readState(paths: MachinePaths): Promise<StateReading> {
  const text = await readOwnFile(paths.state);
  if (text === undefined) return { kind: "none" };
  const parsed = parseRecord(text);
  switch (parsed.kind) {
    case "ok":
      return parsed.record.id === paths.id
        ? parsed
        : { kind: "corrupt", why: `it is the record of machine ${parsed.record.id}` };
    case "newer":
      throw new RumError(
        "state_newer",
        `Cannot use "${paths.state}": it has version ${parsed.version}, written by rum ` +
          `${parsed.rumVersion ?? "of a later version"}, and this is rum ${VERSION}`,
        { hint: "use that rum, or a later one" },
      );
    case "corrupt":
      return parsed;
  }
}

export interface LoadedState {
  readonly record: MachineRecord;
  /** Set when the record had to be rebuilt: what to tell the user. */
  readonly rebuilt?: string;
}

/**
 * The record, rebuilt when it is lost or corrupt and the folder still knows its project. Under the
 * lock. Undefined when nothing was ever recorded here.
 */
export async function loadState(
  paths: MachinePaths,
  options: { clock?: Clock } = {},
): Promise<LoadedState | undefined> {
  const clock = options.clock ?? systemClock;
  const reading = await readState(paths);
  if (reading.kind === "ok") return { record: reading.record };
  const aside = reading.kind === "corrupt" ? await setAside(paths.state, clock) : undefined;
  const configPath = await readConfigPath(paths);
  const overlay = await checkOwnFile(paths.overlay, { anyOwner: true });
  if (configPath === undefined) {
    if (reading.kind === "none" && !overlay) return undefined;
    throw new RumError(
      "state_invalid",
      `Cannot tell which rum.toml machine ${paths.id} belongs to: its record is ` +
        `${reading.kind === "none" ? "gone" : `corrupt (${reading.why})`} and so is config_path`,
      { hint: `rum adopt ${paths.id}` },
    );
  }
  if (reading.kind === "none" && !overlay) return undefined;
  const record = rebuildRecord({
    id: paths.id,
    configPath,
    overlay,
    rumVersion: VERSION,
    now: clock.now().toISOString(),
  });
  await saveState(paths, record);
  const why = reading.kind === "none" ? "it was gone" : reading.why;
  return {
    record,
    rebuilt: `The record of machine ${paths.id} was rebuilt: ${why}` +
      (aside === undefined ? "" : `; the old one is kept as "${aside}"`),
  };
}

/** Renames, so that nothing is lost for whoever wants to look. Returns the new name. */
async function setAside(path: string, clock: Clock): Promise<string> {
  const stamp = clock.now().toISOString().replace(/[-:]/g, "").replace(/\.\d+/, "");
  for (let n = 0;; n++) {
    const aside = `${path}.corrupt-${stamp}${n === 0 ? "" : `-${n}`}`;
    try {
      await Deno.lstat(aside);
    } catch {
      await Deno.rename(path, aside);
      return aside;
    }
  }
}

export async function saveState(paths: MachinePaths, record: MachineRecord): Promise<void> {
  await writeFileAtomic(paths.state, formatRecord(record), { mode: 0o600 });
}

/** The one writer of a machine's record while the lock is held. */
export interface RecordKeeper {
  readonly record: MachineRecord;
  /** Durable when it resolves; saves never overlap and are written in the order of the calls. */
  save(patch: RecordPatch): Promise<void>;
}

export function createRecordKeeper(paths: MachinePaths, initial: MachineRecord): RecordKeeper {
  let record = initial;
  let tail: Promise<unknown> = Promise.resolve();
  return {
    get record() {
      return record;
    },
    save(patch) {
      const written = tail.then(async () => {
        const next: MachineRecord = {
          ...record,
          ...patch,
          rum_version: VERSION,
          host_boot_id: await bootId(),
        };
        await saveState(paths, next);
        // Only what is on disk counts as recorded.
        record = next;
      });
      tail = written.catch(() => {});
      return written;
    },
  };
}
