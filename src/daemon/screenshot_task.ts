/**
 * `[tasks.screenshot]`: a picture of the screen every so often while the machine runs, the last ones
 * kept. The folder may lie in a project that the guest can write: a link in its place is refused, and
 * only files of our own naming are ever removed.
 */
import type { Clock } from "../base/clock.ts";
import { RumError, toRumError } from "../base/errors.ts";
import type { ScreenshotTaskConfig } from "../config/types.ts";
import type { HypervisorMachine } from "../libvirt/hypervisor.ts";
import { writeFileAtomic } from "../store/atomic.ts";
import { pictureName, takeScreenshot } from "./screen.ts";

export interface ScreenshotTaskOptions {
  /** Of the plan in force; undefined = none. */
  readonly task: () => ScreenshotTaskConfig | undefined;
  readonly defaultFolder: string;
  readonly machine: () => HypervisorMachine;
  readonly running: () => boolean;
  readonly clock: Clock;
  readonly log: (text: string) => void;
}

const OURS = /^\d{8}T\d{6}Z\.png$/;
/** How soon a changed plan is noticed. */
const LOOK_MS = 5000;

export function startScreenshotTask(options: ScreenshotTaskOptions): Disposable {
  const { task, running, clock, log } = options;
  const stop = new AbortController();
  (async () => {
    let dueMs = clock.monotonicMs();
    let complained = "";
    while (!stop.signal.aborted) {
      const wanted = task();
      const now = clock.monotonicMs();
      if (wanted !== undefined && running() && now >= dueMs) {
        dueMs = now + wanted.everyMs;
        const problem = await takeOne(wanted, options, stop.signal).then(
          () => "",
          (error) => toRumError(error).message,
        );
        // The same failure every minute is one line, not a log full of it.
        if (problem !== "" && problem !== complained) log(`Periodic screenshot: ${problem}`);
        complained = problem;
      }
      const wait = wanted === undefined ? LOOK_MS : dueMs - clock.monotonicMs();
      await clock.sleep(Math.max(50, Math.min(LOOK_MS, wait)), { signal: stop.signal });
    }
  })().catch(() => {});
  return { [Symbol.dispose]: () => stop.abort(new Error("The daemon lets go")) };
}

/** One picture into the folder, and the oldest out of it. */
export async function takeOne(
  task: ScreenshotTaskConfig,
  options: Pick<ScreenshotTaskOptions, "machine" | "defaultFolder" | "clock">,
  signal?: AbortSignal,
): Promise<string> {
  const folder = task.folder ?? options.defaultFolder;
  await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
  if (await Deno.realPath(folder) !== folder) {
    throw new RumError(
      "untrusted_config",
      `Cannot write to ${folder}: a link leads elsewhere since rum.toml was approved`,
      { hint: "rum trust" },
    );
  }
  const { png } = await takeScreenshot(options.machine(), signal);
  const own = pictureName(options.clock.now());
  const path = `${folder}/${own}`;
  await writeFileAtomic(path, png, { mode: 0o600, signal });
  const names: string[] = [];
  for await (const entry of Deno.readDir(folder)) {
    if (entry.isFile && OURS.test(entry.name)) names.push(entry.name);
  }
  for (const old of oldestFirst(names, own).slice(0, Math.max(0, names.length - task.keep))) {
    await Deno.remove(`${folder}/${old}`);
  }
  return path;
}

/**
 * By their names, which are times. One that is later than the newest, `own`, is of before the clock was set
 * back, and older than all that came since; the time of the file itself knows no better.
 */
function oldestFirst(names: readonly string[], own: string): string[] {
  const before = names.filter((name) => name > own);
  return [...before.sort(), ...names.filter((name) => name <= own).sort()];
}
