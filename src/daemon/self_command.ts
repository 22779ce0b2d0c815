/**
 * How this very program is started once more, whatever form it has: a compiled binary starts itself;
 * an unpacked self-extracting build starts the Deno and the bundle beside it with the flags of its
 * own header; a checkout starts `deno run` on its main.ts. Absolute paths only, because a daemon's
 * working folder is `/`.
 */
import { BUILD, type Build } from "../base/version.ts";

export interface Self {
  readonly form: Build["form"];
  /** The running executable. */
  readonly executable: string;
  /** Path of the program: main.ts, or the bundle; unused when compiled. */
  readonly program: string;
}

export function currentSelf(): Self {
  return {
    form: BUILD.form,
    executable: Deno.execPath(),
    program: BUILD.form === "source"
      ? new URL("../../main.ts", import.meta.url).pathname
      : Deno.mainModule.startsWith("file:")
      ? new URL(Deno.mainModule).pathname
      : "",
  };
}

export function selfCommand(args: readonly string[], self: Self = currentSelf()): string[] {
  switch (self.form) {
    case "compiled":
      return [self.executable, ...args];
    case "self-extracting":
      return [
        self.executable,
        "run",
        "--quiet",
        "--no-config",
        "--no-lock",
        "--no-prompt",
        "--cached-only",
        "--allow-all",
        self.program,
        ...args,
      ];
    case "source":
      return [self.executable, "run", "--quiet", "--allow-all", self.program, ...args];
  }
}

/**
 * What a daemon keeps of its starter's environment: not the starter's own service manager. It gets
 * V8 flags of its own, because it lives for weeks and mostly waits: without them V8 lets the young
 * generation grow by 80 MiB under a burst of short connections, and keeps it.
 */
export function daemonEnv(
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const kept: Record<string, string> = { DENO_V8_FLAGS: SMALL_HEAP };
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && !NOT_INHERITED.has(name)) kept[name] = value;
  }
  return kept;
}

export const SMALL_HEAP = "--max-semi-space-size=2,--optimize-for-size";
const NOT_INHERITED = new Set(["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS"]);
