/**
 * The machine's numbered events: appended to `events.jsonl`, kept in a bounded ring for those who
 * ask from an earlier number, handed to followers as they come.
 *
 * Bounded on disk: past `maxBytes` the file becomes `events.jsonl.1` (the one before is dropped) and
 * a new one begins, so at most twice that is kept and numbers never start again. Lines of scripts
 * are only passed on: they take no number (they carry that of the event before) and are written to
 * the script's own log. An event log that a chatty script can push out of its window would be of no
 * use, and one with gaps could not be replayed.
 *
 * A full disk must not stop a machine from being stopped: a line that cannot be appended is still
 * numbered and delivered, and the first failure is said once, by a warning event.
 */
import {
  type EventBody,
  formatEvent,
  type MachineEvent,
  parseEvent,
} from "../protocol/machine_events.ts";
import { openOwnFile, readOwnFile } from "../store/ownership.ts";

export interface EventLogOptions {
  readonly path: string;
  readonly now: () => Date;
  readonly maxBytes?: number;
  /** Events kept in memory for followers that start in the past. */
  readonly keep?: number;
}

export interface EventLog {
  append(body: EventBody): MachineEvent;
  /** Number of the last event; 0 when there is none. */
  readonly last: number;
  /** What is still known after `since`, oldest first. */
  after(since: number): readonly MachineEvent[];
  /** Called for every event from now on; undone by the returned function. */
  follow(listener: (event: MachineEvent) => void): () => void;
  /** Everything appended so far is in the file. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

const DEFAULT_MAX_BYTES = 4 * 2 ** 20;
const DEFAULT_KEEP = 5000;

export async function openEventLog(options: EventLogOptions): Promise<EventLog> {
  const { path, now, maxBytes = DEFAULT_MAX_BYTES, keep = DEFAULT_KEEP } = options;
  const ring = await readEvents(path, { keep, maxBytes });
  let last = ring.at(-1)?.seq ?? 0;
  const listeners = new Set<(event: MachineEvent) => void>();
  let pending: string[] = [];
  let writing: Promise<void> = Promise.resolve();
  let scheduled = false;
  let complained = false;
  let closed = false;

  const log: EventLog = {
    get last() {
      return last;
    },
    append(body) {
      const numbered = body.kind !== "line";
      if (numbered) last++;
      const event = Object.freeze({ v: 1, seq: last, at: now().toISOString(), ...body });
      if (numbered) {
        ring.push(event as MachineEvent);
        if (ring.length > keep) ring.splice(0, ring.length - keep);
        pending.push(formatEvent(event as MachineEvent) + "\n");
        schedule();
      }
      for (const listener of listeners) listener(event as MachineEvent);
      return event as MachineEvent;
    },
    after: (since) => ring.filter((event) => event.seq > since),
    follow(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async flush() {
      schedule();
      while (pending.length > 0 || scheduled) await writing;
      await writing;
    },
    async close() {
      if (closed) return;
      await log.flush();
      closed = true;
      listeners.clear();
    },
  };
  return log;

  /** One write at a time, whatever gathered meanwhile in one piece. */
  function schedule(): void {
    if (scheduled || closed) return;
    scheduled = true;
    writing = writing.then(async () => {
      scheduled = false;
      const text = pending.join("");
      pending = [];
      if (text === "") return;
      try {
        await appendBounded(path, text, maxBytes);
        complained = false;
      } catch (error) {
        // The folder went with the machine; its last events are for those who follow.
        if (complained || error instanceof Deno.errors.NotFound) return;
        complained = true;
        log.append({
          kind: "warning",
          text: `Cannot write the event log "${path}": ${(error as Error).message}`,
        });
      }
    });
  }
}

async function appendBounded(path: string, text: string, maxBytes: number): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  let file = await openForAppend(path);
  try {
    const { size } = await file.stat();
    if (size > 0 && size + bytes.length > maxBytes) {
      file.close();
      await Deno.rename(path, `${path}.1`);
      file = await openForAppend(path);
    }
    await file.seek(0, Deno.SeekMode.End);
    for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
  } finally {
    file.close();
  }
}

async function openForAppend(path: string): Promise<Deno.FsFile> {
  return await openOwnFile(path, { write: true }) ??
    await Deno.open(path, { read: true, write: true, createNew: true, mode: 0o600 });
}

/** The last `keep` events on disk; torn lines are skipped. Also serves `rum events` without a daemon. */
export async function readEvents(
  path: string,
  { keep = DEFAULT_KEEP, maxBytes = DEFAULT_MAX_BYTES }: { keep?: number; maxBytes?: number } = {},
): Promise<MachineEvent[]> {
  const events: MachineEvent[] = [];
  for (const part of [`${path}.1`, path]) {
    const text = await readOwnFile(part, { maxBytes: maxBytes * 2 });
    for (const line of (text ?? "").split("\n")) {
      const event = line === "" ? undefined : parseEvent(line);
      // A file written by two daemons in turn is still in order; anything else is not ours to sort.
      if (event !== undefined && event.seq > (events.at(-1)?.seq ?? 0)) events.push(event);
    }
  }
  return events.slice(-keep);
}
