/**
 * The line protocol: one word, one answer, for every version of rum and for `nc -U`. Frozen, so that
 * an old daemon can always be asked and sent away by a new client.
 *
 *   ping|status|release|shutdown|destroy\n  →  ok {json}\n  |  error NAME MESSAGE\n
 *
 * One word per connection: netcat without -N waits for the daemon to close.
 */
import { RumError, toRumError } from "../base/errors.ts";
import { printableLine } from "../base/printable.ts";
import { LINE_WORDS, type LineWord } from "../protocol/daemon.ts";

type Answer = Readonly<Record<string, unknown>>;

/** What a holder of the machine's lock answers. `ping` cannot wait; `status` has a look at rum.toml, in bounds. */
export interface LineHandlers {
  ping(): Answer;
  status(): Answer | Promise<Answer>;
  /** Begins a release; the answer says that it began. */
  release(): Answer;
  shutdown(): Promise<Answer>;
  destroy(): Promise<Answer>;
}

/** A letter opens the line protocol; no frame ≤ 16 MiB begins with one. */
export function opensLine(firstByte: number): boolean {
  return (firstByte >= 0x41 && firstByte <= 0x5a) || (firstByte >= 0x61 && firstByte <= 0x7a);
}

/** The answer to one line, with its line feed. Never throws. */
export async function answerLine(
  line: string,
  handlers: LineHandlers,
  shuttingDown: AbortSignal,
): Promise<string> {
  try {
    const word = line.trim();
    if (!isWord(word)) {
      throw new RumError(
        "protocol_error",
        `"${printableLine(word, 64)}" is none of ${LINE_WORDS.join(", ")}`,
      );
    }
    if ((word === "shutdown" || word === "destroy") && shuttingDown.aborted) {
      throw new RumError("shutting_down", "The daemon is ending and takes no new work");
    }
    return `ok ${JSON.stringify(await handlers[word]())}\n`;
  } catch (thrown) {
    return errorLine(toRumError(thrown));
  }
}

export function errorLine(error: RumError): string {
  return `error ${error.code} ${printableLine(error.message, 1024)}\n`;
}

function isWord(word: string): word is LineWord {
  return (LINE_WORDS as readonly string[]).includes(word);
}
