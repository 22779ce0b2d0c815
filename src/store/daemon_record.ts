/**
 * `daemon.json` and `rum.pid`: who the machine's background process says it is. Both are advisory
 * (the lock decides): a pid in them is used only after its start time and boot id were compared, and
 * they are removed only by the process that wrote them.
 */
import type { MachinePaths } from "../plan/paths.ts";
import { integer, object, ShapeError, text } from "../protocol/shape.ts";
import type { Infer } from "../protocol/shape.ts";
import { writeFileAtomic } from "./atomic.ts";
import { bootId, isHolderAlive, processIdentity } from "./flock.ts";
import { removeOwnFile } from "./machine_folder.ts";
import { readOwnFile } from "./ownership.ts";

const shape = object({
  v: integer(1, 1),
  pid: integer(1),
  start_time: integer(),
  boot_id: text(64),
  version: text(64),
  protocol: object({ min: integer(), max: integer() }),
  socket: text(4096),
  /** ISO 8601; never changes. */
  started_at: text(64),
});
export type DaemonRecord = Infer<typeof shape>;

/** This process as the daemon. */
export async function describeDaemon(input: {
  version: string;
  protocol: { min: number; max: number };
  socket: string;
  startedAt: string;
}): Promise<DaemonRecord> {
  return {
    v: 1,
    pid: Deno.pid,
    start_time: (await processIdentity(Deno.pid))?.start_time ?? 0,
    boot_id: await bootId(),
    version: input.version,
    protocol: input.protocol,
    socket: input.socket,
    started_at: input.startedAt,
  };
}

export async function writeDaemonRecord(paths: MachinePaths, record: DaemonRecord): Promise<void> {
  await writeFileAtomic(paths.daemonJson, JSON.stringify(record) + "\n");
  await writeFileAtomic(paths.pid, `${record.pid}\n`);
}

/** Undefined when there is none, or nothing that makes sense. Check `isDaemonAlive` before use. */
export async function readDaemonRecord(paths: MachinePaths): Promise<DaemonRecord | undefined> {
  const found = await readOwnFile(paths.daemonJson, { maxBytes: 64 * 1024 });
  if (found === undefined) return undefined;
  try {
    return shape(JSON.parse(found), "");
  } catch (error) {
    if (error instanceof ShapeError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Does the very process live that wrote it? */
export function isDaemonAlive(record: DaemonRecord): Promise<boolean> {
  return isHolderAlive(record);
}

/** On every way out; leaves a successor's files alone. Never throws. */
export async function removeDaemonRecord(paths: MachinePaths, mine: DaemonRecord): Promise<void> {
  try {
    const found = await readDaemonRecord(paths);
    if (found?.pid === mine.pid && found.start_time === mine.start_time) {
      await removeOwnFile(paths.daemonJson);
    }
    const pid = await readOwnFile(paths.pid, { maxBytes: 64 });
    if (pid?.trim() === String(mine.pid)) await removeOwnFile(paths.pid);
  } catch {
    // The folder is gone, or not ours any more: nothing of ours is left in it then.
  }
}
