/**
 * Host hooks, `[on.EVENT] exec`: a program on the host at an event of the machine, told what happened
 * as one JSON document on stdin. It runs beside the machine and never holds it up: a hook that hangs
 * is ended at its time-out, one that fails is a warning, and what comes faster than hooks can run is
 * left out, which is said.
 *
 * A hook runs with the user's rights because of words that a guest may be able to write. So right
 * before each run its words are looked up among the approved ones, and the project's files that it
 * names are compared with what was approved. The plan is not believed, no shell is between, and no
 * program is searched in the project.
 */
import { type Clock, systemClock } from "../base/clock.ts";
import { toRumError } from "../base/errors.ts";
import { dirname, isInside, normalize } from "../base/posix_path.ts";
import { printable, printableLine } from "../base/printable.ts";
import { hookEventOf } from "../config/hook_events.ts";
import type { HookConfig } from "../config/types.ts";
import type { EventBody, MachineEvent } from "../protocol/machine_events.ts";

export interface HooksOptions {
  readonly follow: (listener: (event: MachineEvent) => void) => () => void;
  /** Those of the plan in force. */
  readonly hooks: () => readonly HookConfig[];
  readonly machine: () => {
    readonly id: string;
    readonly name: string;
    readonly config_path: string;
  };
  /** Throws `untrusted_config` unless this very hook is approved, files included. */
  readonly requireApproved: (hook: HookConfig) => Promise<void>;
  readonly emit: (event: EventBody) => void;
  readonly log: (text: string) => void;
  readonly clock?: Clock;
}

export interface Hooks extends AsyncDisposable {
  /** Every hook that an event so far asked for has ended. */
  idle(): Promise<void>;
}

const AT_ONCE = 4;
const MAX_WAITING = 64;
const KILL_AFTER_MS = 2000;
/** The end of the process may wait this long for hooks on `stopped` and `destroyed`. */
const CLOSING_MS = 10_000;
const OUTPUT_LINES = 200;

interface Task {
  readonly hook: HookConfig;
  readonly event: MachineEvent;
}

export function createHooks(options: HooksOptions): Hooks {
  const { emit, log, clock = systemClock } = options;
  const waiting: Task[] = [];
  const running = new Set<Promise<void>>();
  let wasReady = false;
  let leftOut = false;

  const unfollow = options.follow((event) => {
    const name = hookEventOf(event, { wasReady });
    if (event.kind === "phase") wasReady = event.ready === true;
    if (name === undefined) return;
    for (const hook of options.hooks()) {
      if (hook.event !== name) continue;
      if (waiting.length < MAX_WAITING) waiting.push({ hook, event });
      else if (!leftOut) {
        leftOut = true;
        warn(`Hook on.${name} was left out: ${MAX_WAITING} are waiting already`);
      }
    }
    next();
  });

  function next(): void {
    while (running.size < AT_ONCE && waiting.length > 0) {
      const task = waiting.shift()!;
      const run = runOne(task).catch((error) => {
        const { message, code, hint } = toRumError(error);
        warn(`Hook on.${task.hook.event} did not run: ${message}`, { code, hint });
      }).finally(() => {
        running.delete(run);
        if (waiting.length === 0) leftOut = false;
        next();
      });
      running.add(run);
    }
  }

  function warn(text: string, more: Pick<EventBody & { kind: "warning" }, "code" | "hint"> = {}) {
    log(text);
    const { code, hint } = more;
    emit({ kind: "warning", text, ...(code ? { code } : {}), ...(hint ? { hint } : {}) });
  }

  async function runOne({ hook, event }: Task): Promise<void> {
    await options.requireApproved(hook);
    const { id, name, config_path } = options.machine();
    const document = shown({
      v: 1,
      type: "hook",
      event: hook.event,
      machine: { id, name, config_path },
      cause: event,
    });
    const said = `hook on.${hook.event}`;
    const cwd = dirname(config_path);
    const child = new Deno.Command(hook.exec[0], {
      args: hook.exec.slice(1),
      cwd,
      env: {
        PATH: searchPathOutside(cwd, Deno.env.get("PATH") ?? ""),
        RUM_EVENT: hook.event,
        RUM_MACHINE: id,
      },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      // A group of its own, so that what it started can be ended with it.
      detached: true,
    }).spawn();
    const output = Promise.all([
      logLines(child.stdout, (line) => log(`${said}: ${line}`)),
      logLines(child.stderr, (line) => log(`${said}! ${line}`)),
    ]);
    const input = child.stdin.getWriter();
    input.write(new TextEncoder().encode(JSON.stringify(document) + "\n"))
      // A hook that does not read is a hook that does not care.
      .then(() => input.close()).catch(() => {});
    const over = new AbortController();
    let late = false;
    const limit = (async () => {
      await clock.sleep(hook.timeoutMs, { signal: over.signal });
      late = true;
      signalGroup(child.pid, "SIGTERM");
      await clock.sleep(KILL_AFTER_MS, { signal: over.signal });
      signalGroup(child.pid, "SIGKILL");
    })().catch(() => {});
    const status = await child.status;
    over.abort();
    await limit;
    // What it left behind may hold its output open; it does not hold us.
    if (late) signalGroup(child.pid, "SIGKILL");
    const heard = new AbortController();
    await Promise.race([output, clock.sleep(1000, { signal: heard.signal }).catch(() => {})]);
    heard.abort();
    if (late) return warn(`Hook on.${hook.event} was ended after ${hook.timeoutMs} ms`);
    if (!status.success) {
      warn(`Hook on.${hook.event} failed: ${status.signal ?? `exit code ${status.code}`}`);
    }
  }

  async function idle(): Promise<void> {
    while (running.size > 0) await Promise.all(running);
  }

  return {
    idle,
    async [Symbol.asyncDispose]() {
      unfollow();
      const over = new AbortController();
      await Promise.race([idle(), clock.sleep(CLOSING_MS, { signal: over.signal })]).catch(
        () => {},
      );
      over.abort();
    },
  };
}

/**
 * A search path without its places in the project, such as the shell that started us may have had
 * (`node_modules/.bin`, `.`): a program is named there by whoever can write it, and nobody approved it.
 */
export function searchPathOutside(folder: string, searchPath: string): string {
  const places = searchPath.split(":").filter((place) => {
    if (!place.startsWith("/")) return false;
    try {
      return !isInside(folder, Deno.realPathSync(place)) && !isInside(folder, normalize(place));
    } catch {
      return !isInside(folder, normalize(place));
    }
  });
  // An empty one would be the working folder, which is the project.
  return places.join(":") || "/usr/sbin:/usr/bin:/sbin:/bin";
}

/** A program's output as printable lines, the first so many; the rest is read and dropped. */
async function logLines(
  stream: ReadableStream<Uint8Array>,
  log: (line: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  let lines = 0;
  const take = (line: string) => {
    if (++lines <= OUTPUT_LINES) log(printableLine(line, 2000));
    else if (lines === OUTPUT_LINES + 1) log("[more lines are left out]");
  };
  for await (const chunk of stream) {
    const pieces = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = pieces.pop()!.slice(-64 * 1024);
    pieces.forEach(take);
  }
  if (rest !== "") take(rest);
}

function signalGroup(pid: number, signal: Deno.Signal): void {
  try {
    Deno.kill(-pid, signal);
  } catch {
    // Gone already.
  }
}

/** Every string without terminal controls: a hook's author will print them. */
export function shown(value: unknown): unknown {
  if (typeof value === "string") return printable(value);
  if (Array.isArray(value)) return value.map(shown);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, shown(each)]));
}
