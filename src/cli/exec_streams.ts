/**
 * The standard streams of `exec` and `shell`: bytes exact, each write awaited so that a slow reader
 * slows the guest's program, and the terminal given back as it was found.
 */
import { systemClock } from "../base/clock.ts";
import type { TerminalSize } from "../wire/rpc_types.ts";

const CHUNK = 64 * 1024;
const RETRY_MS = 5;

/** stdin as far as it is read; its end is an end, and nothing is read ahead. */
export function hostStdin(): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      const buffer = new Uint8Array(CHUNK);
      const n = await patiently(() => Deno.stdin.read(buffer));
      if (n === null) controller.close();
      else controller.enqueue(buffer.subarray(0, n));
    },
  }, { highWaterMark: 0 });
}

/** @throws {Deno.errors.BrokenPipe} when nobody reads any more */
export async function writeFully(
  to: { write(bytes: Uint8Array): Promise<number> },
  bytes: Uint8Array,
): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    at += await patiently(() => to.write(bytes.subarray(at)));
  }
}

/** Whoever shares our stream may have made it non-blocking; then "later" is not an error. */
async function patiently<T>(attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (thrown) {
      if (!(thrown instanceof Deno.errors.WouldBlock)) throw thrown;
      await systemClock.sleep(RETRY_MS);
    }
  }
}

/** Keystrokes go to the guest as they are, Ctrl+C too, until disposed. */
export function rawTerminal(): Disposable {
  Deno.stdin.setRaw(true);
  return {
    [Symbol.dispose]() {
      try {
        Deno.stdin.setRaw(false);
      } catch {
        // The terminal is gone; there is nothing to give back.
      }
    },
  };
}

export function terminalSize(): TerminalSize {
  try {
    const { columns, rows } = Deno.consoleSize();
    // A terminal without a window (some CI) says 0.
    return { columns: columns || 80, rows: rows || 24 };
  } catch {
    return { columns: 80, rows: 24 };
  }
}

/**
 * The terminal's size at each change of it, until the consumer returns. Written out because the
 * `return` of a generator waits for its pending `next`, and no change may ever come.
 */
export function terminalSizes(): AsyncIterable<TerminalSize> {
  return {
    [Symbol.asyncIterator]() {
      let changed = Promise.withResolvers<boolean>();
      const onChange = () => changed.resolve(true);
      Deno.addSignalListener("SIGWINCH", onChange);
      return {
        async next() {
          if (!await changed.promise) return { done: true, value: undefined };
          changed = Promise.withResolvers();
          return { done: false, value: terminalSize() };
        },
        return() {
          Deno.removeSignalListener("SIGWINCH", onChange);
          changed.resolve(false);
          return Promise.resolve({ done: true, value: undefined });
        },
      };
    },
  };
}
