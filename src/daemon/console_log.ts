/**
 * The guest's serial console into `logs/boot.log`, line by line, while the machine has power. The
 * daemon is the console's reader: QEMU's own log would not be bounded. `rum console` shares the
 * stream, so both see everything and neither takes it from the other.
 */
import { printable } from "../base/printable.ts";
import type { Clock } from "../base/clock.ts";
import type { HypervisorMachine } from "../libvirt/hypervisor.ts";
import { openLineLog } from "../store/line_log.ts";
import { tailLog } from "../store/log_reader.ts";
import type { Duplex } from "../wire/duplex.ts";

export interface ConsoleLogOptions {
  readonly path: string;
  readonly machine: () => HypervisorMachine;
  readonly clock: Clock;
  readonly log: (text: string) => void;
}

export interface ConsoleLog extends AsyncDisposable {
  /** Reads from now on; does nothing when it reads already. */
  powerOn(): void;
  powerOff(): Promise<void>;
  tail(lines: number): Promise<string[]>;
  /** Raw bytes as they come, for somebody at the console; undone by the returned function. */
  listen(listener: (bytes: Uint8Array) => void): () => void;
  /** Types into the console. */
  write(bytes: Uint8Array): Promise<void>;
}

const RETRY_MS = 1000;
/** A line without an end is cut here: a guest that prints no line feed must not fill our memory. */
const LINE_MAX = 16 * 1024;

export function createConsoleLog(options: ConsoleLogOptions): ConsoleLog {
  const { path, machine, clock } = options;
  const log = openLineLog(path);
  const listeners = new Set<(bytes: Uint8Array) => void>();
  let stop: AbortController | undefined;
  let reading: Promise<void> = Promise.resolve();
  let stream: Duplex | undefined;
  /** A line that has not ended: a prompt, most often. */
  let rest = "";

  async function read(signal: AbortSignal): Promise<void> {
    let complained = false;
    while (!signal.aborted) {
      try {
        stream = await machine().openConsole({ signal, force: true });
        const opened = stream;
        const onAbort = () => opened.abort(signal.reason);
        signal.addEventListener("abort", onAbort, { once: true });
        try {
          await readLines(stream.readable);
        } finally {
          signal.removeEventListener("abort", onAbort);
          stream = undefined;
          opened.abort();
        }
      } catch (error) {
        if (signal.aborted) return;
        if (!complained) options.log(`The console cannot be read: ${(error as Error).message}`);
        complained = true;
      }
      await clock.sleep(RETRY_MS, { signal }).catch(() => {});
    }
  }

  async function readLines(readable: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    rest = "";
    for await (const bytes of readable) {
      for (const listener of listeners) listener(bytes);
      rest += decoder.decode(bytes, { stream: true });
      const lines = rest.split(/\r?\n/);
      rest = lines.pop() ?? "";
      for (const line of lines) write(line);
      while (rest.length > LINE_MAX) {
        write(rest.slice(0, LINE_MAX));
        rest = rest.slice(LINE_MAX);
      }
      await log.ready();
    }
    if (rest !== "") write(rest);
    rest = "";
  }

  function write(line: string): void {
    const text = printable(line.replaceAll("\r", ""));
    if (text !== "") log.line(clock.now(), "out", text);
  }

  const powerOff = async () => {
    stop?.abort(new DOMException("The machine is off", "AbortError"));
    stop = undefined;
    await reading;
  };
  return {
    powerOn() {
      if (stop !== undefined) return;
      const mine = stop = new AbortController();
      const before = reading;
      reading = before.then(() => read(mine.signal)).catch(() => {});
    },
    powerOff,
    async tail(lines) {
      const ended = (await tailLog(path, { lines })).map((line) => line.text);
      return [...ended, ...(rest === "" ? [] : [printable(rest)])].slice(-lines);
    },
    listen(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    async write(bytes) {
      const writer = stream?.writable.getWriter();
      try {
        await writer?.write(bytes);
      } finally {
        writer?.releaseLock();
      }
    },
    async [Symbol.asyncDispose]() {
      await powerOff();
      await log.close();
    },
  };
}
