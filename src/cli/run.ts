/**
 * One call of rum from argv to exit code: parse, make the context, load the verb, run it, turn
 * whatever it throws into a sentence and a code. The only place that reads the process's state.
 */
import { EXIT, OWN_FAILURE, RumError, toRumError } from "../base/errors.ts";
import { longTimer } from "../base/long_timer.ts";
import { formatDuration } from "../base/units.ts";
import type { HostEnv } from "../plan/paths.ts";
import { rumPaths } from "../plan/paths.ts";
import { createOutput, type Output, type OutputMode } from "../ui/output.ts";
import type { OutputChoice, Parsed } from "./globals.ts";
import { parseCommandLine, UsageError } from "./parse.ts";
import type { Context, VerbModule } from "./verb.ts";

export async function runCommandLine(argv: readonly string[]): Promise<number> {
  const env = Deno.env.toObject();
  const stdinIsTerminal = Deno.stdin.isTerminal();
  const stdoutIsTerminal = Deno.stdout.isTerminal();
  let out = outputFor(outputAsked(argv, env), env, { verbose: false, quiet: false });
  try {
    requireLinux(Deno.build.os);
    const parsed = parseCommandLine(argv, env);
    switch (parsed.kind) {
      case "help": {
        const { helpText } = await import("./help.ts");
        const columns = stdoutIsTerminal ? terminalColumns() : 100;
        const text = helpText(parsed.path, columns);
        out.document("help", { verb: parsed.path, text }, () => text);
        return EXIT.ok;
      }
      case "call": {
        out = outputFor(parsed.output, env, parsed.globals);
        const module = await parsed.spec.load!();
        return await call(module, parsed, contextOf(out));
      }
    }
  } catch (thrown) {
    if (isBrokenPipe(thrown)) return EXIT.ok;
    const error = toRumError(thrown);
    if (thrown instanceof UsageError && thrown.spec?.guestExit) {
      // The code 2 could be the guest's own.
      out.error(error, { exit: OWN_FAILURE, origin: "rum" });
      return OWN_FAILURE;
    }
    out.error(error);
    if (error.code === "internal" && thrown instanceof Error) out.detail(thrown.stack ?? "");
    return error.exitCode;
  }

  function contextOf(output: Output) {
    return { out: output, env, stdinIsTerminal, stdoutIsTerminal };
  }
}

/** @throws {RumError} `not_linux` */
export function requireLinux(os: string): void {
  if (os !== "linux") {
    throw new RumError("not_linux", `rum needs Linux with libvirt; this is ${os}`);
  }
}

type Call = Extract<Parsed, { kind: "call" }>;

async function call(
  module: VerbModule,
  parsed: Call,
  given: Pick<Context, "out" | "env" | "stdinIsTerminal" | "stdoutIsTerminal">,
): Promise<number> {
  const host = hostEnv(given.env);
  const interrupts = new AbortController();
  const context: Context = {
    ...given,
    cwd: workingFolder(),
    host,
    paths: rumPaths(host),
    globals: parsed.globals,
    signal: interrupts.signal,
    canAsk: given.out.mode === "interactive" && given.stdinIsTerminal && given.stdoutIsTerminal &&
      !parsed.globals.noInput,
  };
  const onSignal = (name: string) => {
    if (!interrupts.signal.aborted) {
      interrupts.abort(new RumError("interrupted", `Interrupted by ${name}`));
    } else context.onSecondInterrupt?.();
  };
  const onInt = () => onSignal("Ctrl+C");
  const onTerm = () => onSignal("TERM");
  Deno.addSignalListener("SIGINT", onInt);
  Deno.addSignalListener("SIGTERM", onTerm);
  const { timeoutMs } = parsed.globals;
  let late: RumError | undefined;
  const timer = timeoutMs === undefined || parsed.spec.keepsTime
    ? undefined
    : longTimer(timeoutMs, () => {
      const verb = parsed.call.verb.join(" ");
      const sentence = `"rum ${verb}" took longer than ${formatDuration(timeoutMs)}`;
      late = new RumError("timeout", `${sentence} and was called off`, {
        hint: `rum ${verb} --help`,
      });
      interrupts.abort(late);
    });
  try {
    const exit = await module.run(context, parsed.call);
    // What only follows ends there without a word of its own.
    if (late !== undefined) throw late;
    return exit;
  } catch (thrown) {
    // The daemon tells a call that was called off in its own words; why is ours to say.
    const off = interrupts.signal.aborted && toRumError(thrown).code === "cancelled";
    throw late ?? (off ? interrupts.signal.reason : thrown);
  } finally {
    timer?.cancel();
    Deno.removeSignalListener("SIGINT", onInt);
    Deno.removeSignalListener("SIGTERM", onTerm);
  }
}

/** The mode before parsing is done, so that a usage error already speaks JSON when asked to. */
function outputAsked(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): OutputChoice {
  for (const [i, word] of argv.entries()) {
    if (word === "--") break;
    if (word === "-ojson" || word === "--output=json" || word === "-o=json") return "json";
    if ((word === "-o" || word === "--output") && argv[i + 1] === "json") return "json";
  }
  return env.RUM_OUTPUT === "json" ? "json" : "auto";
}

function outputFor(
  choice: OutputChoice,
  env: Readonly<Record<string, string | undefined>>,
  { verbose, quiet }: { verbose: boolean; quiet: boolean },
): Output {
  const terminal = Deno.stdin.isTerminal() && Deno.stdout.isTerminal();
  const mode: OutputMode = choice === "auto" ? (terminal ? "interactive" : "plain") : choice;
  const colour = mode !== "json" && Deno.stderr.isTerminal() && Deno.stdout.isTerminal() &&
    (env.NO_COLOR ?? "") === "" && env.TERM !== "dumb";
  return createOutput({ mode, colour, verbose, quiet, stdout: Deno.stdout, stderr: Deno.stderr });
}

function hostEnv(env: Readonly<Record<string, string | undefined>>): HostEnv {
  const uid = Deno.uid() ?? 0;
  return {
    uid,
    home: env.HOME !== undefined && env.HOME.startsWith("/") ? env.HOME : homeOf(uid),
    xdgDataHome: env.XDG_DATA_HOME,
    xdgCacheHome: env.XDG_CACHE_HOME,
    xdgRuntimeDir: env.XDG_RUNTIME_DIR,
  };
}

/** The home folder when HOME is not set: from /etc/passwd, as `os.homedir()` would. */
function homeOf(uid: number): string {
  try {
    for (const line of Deno.readTextFileSync("/etc/passwd").split("\n")) {
      const fields = line.split(":");
      if (fields[2] === String(uid) && fields[5]?.startsWith("/")) return fields[5];
    }
  } catch {
    // No passwd file: a bare container.
  }
  return uid === 0 ? "/root" : `/tmp/rum-home-${uid}`;
}

function workingFolder(): string {
  try {
    return Deno.cwd();
  } catch (cause) {
    throw new RumError("usage", "Cannot work here: the current folder no longer exists", { cause });
  }
}

function terminalColumns(): number {
  try {
    return Math.max(40, Math.min(120, Deno.consoleSize().columns));
  } catch {
    return 100;
  }
}

/** `rum list | head -1` is not a failure. */
function isBrokenPipe(thrown: unknown): boolean {
  return thrown instanceof Deno.errors.BrokenPipe;
}
