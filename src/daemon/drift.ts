/**
 * What rum.toml says that the machine does not do, as sentences for `status`. The file is read again
 * when its stamp changed, or that of a script it names; what else counts (this host, files that other
 * keys name) is looked at again twice a minute. The comparison is always with the plan in force now:
 * what an `up` applied a moment ago is no drift any more.
 *
 * A file that asks for something unapproved is told once more, as an event, because somebody may have
 * written it who should not.
 */
import { type RumError, toRumError } from "../base/errors.ts";
import { printableLine } from "../base/printable.ts";
import { MISTAKE } from "../config/mistake.ts";
import { diffPlans, renderChanges } from "../plan/diff.ts";
import type { RecordedPlan } from "../plan/types.ts";
import type { EventBody } from "../protocol/machine_events.ts";

export interface DriftOptions {
  readonly recorded: () => RecordedPlan | undefined;
  readonly configPath: () => string;
  /** rum.toml as a plan, and the files that are part of it. */
  readonly wanted: (
    recorded: RecordedPlan,
  ) => Promise<{ readonly plan: RecordedPlan; readonly files: readonly string[] }>;
  readonly emit: (event: EventBody) => void;
  readonly stamp?: (path: string) => Promise<string>;
  readonly now?: () => number;
}

export interface Drift {
  /** Resolves when what is known is as new as this call. Never rejects. */
  look(): Promise<void>;
  known(): readonly string[];
}

const AGAIN_MS = 30_000;
/** A mistake may be mended outside of rum.toml: a missing file, a missing folder. */
const MISTAKE_AGAIN_MS = 5000;

interface Look {
  readonly recorded: RecordedPlan;
  readonly files: readonly string[];
  readonly stamps: string;
  readonly until: number;
}

export function createDrift(options: DriftOptions): Drift {
  const { recorded, configPath, emit, stamp = fileStamp, now = () => performance.now() } = options;
  let last: Look | undefined;
  let wanted: RecordedPlan | undefined;
  let trouble: string | undefined;
  let told: string | undefined;
  let looking: Promise<void> | undefined;

  const stamps = async (files: readonly string[]) =>
    (await Promise.all([configPath(), ...files].map(stamp))).join("\n");

  async function once(): Promise<void> {
    const plan = recorded();
    if (plan === undefined) return;
    const known = last;
    if (
      known !== undefined && known.recorded === plan && now() < known.until &&
      await stamps(known.files) === known.stamps
    ) return;
    // Taken before the reading: what is written meanwhile is seen by the next look.
    const before = await stamps([]);
    try {
      const found = await options.wanted(plan);
      wanted = found.plan;
      trouble = told = undefined;
      last = {
        recorded: plan,
        files: found.files,
        stamps: [before, ...await Promise.all(found.files.map(stamp))].join("\n"),
        until: now() + AGAIN_MS,
      };
    } catch (thrown) {
      const error = toRumError(thrown);
      trouble = troubleOf(error);
      // An approval leaves the file as it is.
      last = error.code === "untrusted_config"
        ? undefined
        : { recorded: plan, files: [], stamps: before, until: now() + MISTAKE_AGAIN_MS };
      if (error.code !== "untrusted_config") return;
      if (trouble !== told) {
        emit({ kind: "warning", code: error.code, text: trouble, hint: "rum trust" });
      }
      told = trouble;
    }
  }

  return {
    async look() {
      // One that is under way may have read the file before it was written.
      await looking;
      looking ??= once().catch(() => {}).finally(() => looking = undefined);
      await looking;
    },
    known() {
      const plan = recorded();
      if (plan === undefined) return [];
      if (trouble !== undefined) return [trouble];
      return wanted === undefined ? [] : renderChanges(diffPlans(plan, wanted));
    },
  };
}

/** Changes whenever the file does; a file that is not there has one, too. */
async function fileStamp(path: string): Promise<string> {
  try {
    const { ino, size, mtime, ctime } = await Deno.stat(path);
    return `${ino} ${size} ${mtime?.getTime()} ${ctime?.getTime()}`;
  } catch {
    return "none";
  }
}

function troubleOf(error: RumError): string {
  const [first] = error.message.split("\n");
  switch (error.code) {
    case "untrusted_config":
      return `rum.toml was changed and is not followed: ${first} ${freshKeys(error)}`.trim();
    case "config_invalid":
      return MISTAKE;
    default:
      return `rum.toml cannot be used now: ${first}`;
  }
}

/** The keys that were not in the last approval, by name. */
function freshKeys({ data }: RumError): string {
  const fresh = Array.isArray(data?.fresh) ? data.fresh : [];
  return printableLine(fresh.join(", "), 500);
}
