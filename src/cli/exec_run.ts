/**
 * One program in the guest on behalf of this process: its streams, its signals, its end. What `exec`
 * and `shell` have in common.
 *
 * Ctrl+C goes to the program; it decides. A second one, or a program that does not end within 10 s,
 * is called off (the agent then ends its whole session) and rum exits 130. Whatever fails on rum's
 * side of the line exits 255, as ssh does, so that it is never taken for the program's own code; a
 * program that cannot be started is 126 or 127, as a shell would say.
 */
import { joined } from "../base/joined.ts";
import { EXIT, OWN_FAILURE, RumError, toRumError } from "../base/errors.ts";
import { longTimer } from "../base/long_timer.ts";
import type { DaemonClient } from "../daemon/client.ts";
import type { BytesEvent, ExecParams, ExecResult } from "../protocol/daemon.ts";
import { daemonClient } from "./daemon_client.ts";
import { hostStdin, rawTerminal, terminalSize, terminalSizes, writeFully } from "./exec_streams.ts";
import { targetOf } from "./target.ts";
import type { Context } from "./verb.ts";

export interface GuestProgram extends Omit<ExecParams, "key" | "tty" | "host_cwd"> {
  readonly tty: boolean;
}

/** What a program that wrote to a closed pipe ends with: 128 + SIGPIPE. */
const BROKEN_PIPE = 141;
/** How long a program may take to end after a signal that asks it to. */
const GRACE_MS = 10_000;
/** How much later than the daemon's our own clock rings. */
const LATE_MS = 5000;
/** What `-o json` holds in memory at most. */
const COLLECT_MAX = 64 * 1024 * 1024;

/** Runs it and returns the exit code of `rum`; failures are told here and never thrown. */
export async function runInGuest(context: Context, program: GuestProgram): Promise<number> {
  const output = context.out.mode === "json" ? collected(context) : passedOn();
  try {
    const target = await targetOf(context);
    await using client = await daemonClient(context, target, program.timeout_ms);
    const result = await converse(context, client, program, output.take);
    output.end(result);
    return result.code;
  } catch (thrown) {
    if (thrown instanceof Deno.errors.BrokenPipe) return BROKEN_PIPE;
    const error = toRumError(thrown);
    const { exit, origin } = verdictOf(error);
    context.out.error(error, { exit, origin });
    return exit;
  }
}

export function verdictOf(error: RumError): { exit: number; origin: "guest" | "rum" } {
  const code = error.data?.code;
  if (error.code === "exec_failed" && (code === 126 || code === 127)) {
    return { exit: code, origin: "guest" };
  }
  const { exitCode } = error;
  const own = exitCode === EXIT.timeout || exitCode === EXIT.interrupted;
  return { exit: own ? exitCode : OWN_FAILURE, origin: "rum" };
}

async function converse(
  context: Context,
  client: DaemonClient,
  program: GuestProgram,
  take: (event: BytesEvent) => Promise<void>,
): Promise<ExecResult> {
  const { tty, ...rest } = program;
  const called = Promise.withResolvers<never>();
  called.promise.catch(() => {});
  using _raw = tty && context.stdinIsTerminal ? rawTerminal() : undefined;
  using _signals = forwardSignals(client, called.reject);
  using _clock = program.timeout_ms === undefined
    ? undefined
    : alarm(program.timeout_ms + LATE_MS, () =>
      called.reject(
        new RumError("timeout", `The command ran longer than ${program.timeout_ms} ms`),
      ));
  const params: ExecParams = {
    ...rest,
    key: KEY,
    host_cwd: context.cwd,
    ...(tty ? { tty: { ...terminalSize(), term: context.env.TERM ?? "xterm-256color" } } : {}),
  };
  return await Promise.race([
    client.request("exec", params, {
      onEvent: take,
      ...(program.stdin ? { input: hostStdin() } : {}),
      ...(tty ? { resize: terminalSizes() } : {}),
    }),
    called.promise,
  ]);
}

/** Names the one exec of this connection. */
const KEY = "exec";
const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;

function forwardSignals(client: DaemonClient, callOff: (reason: RumError) => void): Disposable {
  let asked = 0;
  let grace: Disposable | undefined;
  const give = (why: string) => callOff(new RumError("interrupted", why));
  const tell = async (signal: typeof FORWARDED[number]) => {
    const asksForEnd = !signal.startsWith("SIGUSR");
    if (asksForEnd && ++asked > 1) return give("Interrupted: the command was called off");
    const { delivered } = await client.request("exec.signal", { key: KEY, signal })
      .catch(() => ({ delivered: false }));
    if (!asksForEnd) return;
    // It had not begun yet, or the daemon does not answer.
    if (delivered !== true) return give("Interrupted before the command began");
    grace ??= alarm(
      GRACE_MS,
      () => give(`The command did not end within ${GRACE_MS / 1000} s of ${signal}: called off`),
    );
  };
  const listeners = FORWARDED.map((signal) => [signal, () => void tell(signal)] as const);
  for (const [signal, listener] of listeners) Deno.addSignalListener(signal, listener);
  return {
    [Symbol.dispose]() {
      for (const [signal, listener] of listeners) Deno.removeSignalListener(signal, listener);
      grace?.[Symbol.dispose]();
    },
  };
}

function alarm(ms: number, ring: () => void): Disposable {
  const timer = longTimer(ms, ring);
  return { [Symbol.dispose]: () => timer.cancel() };
}

interface ProgramOutput {
  take(event: BytesEvent): Promise<void>;
  end(result: ExecResult): void;
}

function passedOn(): ProgramOutput {
  return {
    take: (event) =>
      writeFully(
        event.stream === "stderr" ? Deno.stderr : Deno.stdout,
        Uint8Array.fromBase64(event.data),
      ),
    end: () => {},
  };
}

function collected(context: Context): ProgramOutput {
  const chunks = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  let size = 0;
  return {
    take({ stream, data }) {
      const bytes = Uint8Array.fromBase64(data);
      size += bytes.length;
      if (size > COLLECT_MAX) {
        throw new RumError(
          "too_large",
          `The command printed more than ${COLLECT_MAX} bytes, which one JSON document cannot hold`,
          { hint: "rum exec -o plain" },
        );
      }
      chunks[stream === "stderr" ? "stderr" : "stdout"].push(bytes);
      return Promise.resolve();
    },
    end({ code, signal }) {
      context.out.document("exec", {
        origin: "guest",
        code,
        ...(signal === undefined ? {} : { signal }),
        ...printedAs(joined(chunks.stdout), joined(chunks.stderr)),
      }, () => "");
    },
  };
}

/** As text where both are text; else both in base64, and said so. */
export function printedAs(
  stdout: Uint8Array,
  stderr: Uint8Array,
): { stdout: string; stderr: string; encoding?: "base64" } {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  try {
    return { stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  } catch {
    return { stdout: stdout.toBase64(), stderr: stderr.toBase64(), encoding: "base64" };
  }
}
