/**
 * Runs one tool of an image build: bounded in time, cancellable, with its output as lines for the
 * progress and its last lines for the error. A tool ends when rum dies, whatever rum dies of.
 */
import { RumError } from "../base/errors.ts";
import { linkedAbort } from "../base/deadline.ts";
import { printableLine } from "../base/printable.ts";
import { formatDuration } from "../base/units.ts";

export interface ToolRun {
  readonly args: readonly string[];
  /** In sentences: "mmdebstrap of debian-12". */
  readonly what: string;
  readonly timeoutMs: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly onLine?: (line: string) => void;
  readonly signal?: AbortSignal;
  /** What shows more of a failure. */
  readonly hint?: string;
}

export type RunTool = (program: string, run: ToolRun) => Promise<void>;

const TAIL_LINES = 12;
const KILL_AFTER_MS = 10_000;
const LAST_WORDS_MS = 2000;
/** An ordinary user's PATH lacks the folders where mke2fs lives. */
export const TOOL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * Returns, or throws, only when the tool has ended: what it writes to can then be removed.
 *
 * @throws {RumError} `image_build` with the tool's last lines, `disk_full`, `timeout`
 */
export const runTool: RunTool = async (program, run) => {
  const { what, timeoutMs, signal } = run;
  signal?.throwIfAborted();
  const tail: string[] = [];
  const line = (text: string) => {
    tail.push(printableLine(text, 300));
    if (tail.length > TAIL_LINES) tail.shift();
    run.onLine?.(text);
  };
  const child = new Deno.Command("setpriv", {
    args: ["--pdeathsig", "TERM", "--", program, ...run.args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    cwd: run.cwd,
    env: { PATH: TOOL_PATH, LC_ALL: "C.UTF-8", ...run.env },
  }).spawn();
  using stop = linkedAbort(signal);
  let hard: ReturnType<typeof setTimeout> | undefined;
  stop.signal.addEventListener("abort", () => {
    // TERM first: mmdebstrap unmounts and removes its tree by itself.
    kill(child, "SIGTERM");
    hard = setTimeout(() => kill(child, "SIGKILL"), KILL_AFTER_MS);
  }, { once: true });
  const deadline = setTimeout(() => {
    stop.abort(
      new RumError(
        "timeout",
        `The image build (${what}) took longer than ${formatDuration(timeoutMs)}` +
          (tail.length === 0 ? "" : `; seen last: ${tail.at(-1)}`),
      ),
    );
  }, timeoutMs);
  using gone = linkedAbort();
  const output = Promise.all([
    eachLine(child.stdout, line, gone.signal),
    eachLine(child.stderr, line, gone.signal),
  ]);
  const status = await child.status;
  clearTimeout(deadline);
  clearTimeout(hard);
  // A grandchild may outlive the tool and hold its output open: what it says counts no more.
  const enough = setTimeout(() => gone.abort(), LAST_WORDS_MS);
  await output;
  clearTimeout(enough);
  stop.signal.throwIfAborted();
  if (status.success) return;
  const text = tail.join("\n");
  if (/No space left on device|ENOSPC/.test(text)) {
    throw new RumError(
      "disk_full",
      `The image build (${what}) failed: no space is left on the disk`,
      {
        hint: "df -h",
        cause: text,
      },
    );
  }
  // The last complaint is often only that an inner tool failed; its own comes before.
  const complaints = tail.filter((one) => /^(E:|error|fatal|.*: )/i.test(one));
  const said = complaints.findLast((one) => !/ failed to run$/.test(one)) ?? tail.at(-1);
  throw new RumError(
    "image_build",
    `The image build (${what}) failed with ${
      status.signal === null ? `code ${status.code}` : status.signal
    }${said === undefined ? "" : `: ${said}`}`,
    { cause: text === "" ? undefined : text, hint: run.hint },
  );
};

async function eachLine(
  stream: ReadableStream<Uint8Array>,
  line: (text: string) => void,
  stop: AbortSignal,
): Promise<void> {
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  const end = () => reader.cancel().catch(() => {});
  stop.addEventListener("abort", end, { once: true });
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    // apt draws progress with carriage returns: each is a line of its own here.
    const parts = (rest + decoder.decode(value, { stream: true })).split(/[\r\n]+/);
    rest = parts.pop()!.slice(-4096);
    for (const part of parts) if (part !== "") line(part);
  }
  if (rest !== "") line(rest);
  stop.removeEventListener("abort", end);
}

function kill(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch {
    // Gone already.
  }
}
