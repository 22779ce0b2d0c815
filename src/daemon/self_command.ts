/**
 * How this very program is started once more, whatever form it has: a compiled binary starts itself;
 * an unpacked self-extracting build starts the Deno and the bundle beside it with the flags of its
 * own header; a checkout starts `deno run` on its main.ts. Absolute paths only, because a daemon's
 * working folder is `/`.
 */
import { RUNTIME_FLAGS, SOURCE_FLAGS } from "../base/runtime_flags.ts";
import { BUILD, type Build } from "../base/version.ts";

export interface Self {
  readonly form: Build["form"];
  /** The running executable. */
  readonly executable: string;
  /** Path of the program: main.ts, or the bundle; unused when compiled. */
  readonly program: string;
}

export function currentSelf(): Self {
  const { form } = BUILD;
  switch (form) {
    case "compiled":
      return { form, executable: Deno.execPath(), program: "" };
    case "self-extracting":
      // Not execPath(): it says "(deleted)" once the folder was unpacked anew below a running rum.
      return {
        form,
        executable: path(new URL("../deno", Deno.mainModule)),
        program: path(new URL(Deno.mainModule)),
      };
    case "source":
      return {
        form,
        executable: Deno.execPath(),
        program: path(new URL("../../main.ts", import.meta.url)),
      };
  }
}

/** A folder may have a blank or an umlaut in its name; a URL has them escaped. */
function path(url: URL): string {
  return decodeURIComponent(url.pathname);
}

export function selfCommand(args: readonly string[], self: Self = currentSelf()): string[] {
  switch (self.form) {
    case "compiled":
      return [self.executable, ...args];
    case "self-extracting":
      return [self.executable, "run", ...RUNTIME_FLAGS, self.program, ...args];
    case "source":
      return [self.executable, "run", ...SOURCE_FLAGS, self.program, ...args];
  }
}

/**
 * The command to write into a file that outlives this build (a systemd unit, ~/.ssh/config): the one
 * file that the user started, where there is one. What it unpacked is in a cache, and the next
 * version unpacks elsewhere.
 */
export function lastingCommand(
  args: readonly string[],
  packed: string | undefined,
  self: Self = currentSelf(),
): string[] {
  if (self.form === "self-extracting" && packed?.startsWith("/")) return [packed, ...args];
  return selfCommand(args, self);
}

/** Where the header of the self-extracting form says which file was started. */
export const PACKED_FILE = "RUM_SELF_FILE";

/**
 * What a daemon keeps of its starter's environment: not the starter's own service manager. It gets
 * V8 flags of its own, because it lives for weeks and mostly waits: without them V8 lets the young
 * generation grow by 80 MiB under a burst of short connections, and keeps it. And one heap of the C
 * library for all of its threads, said before the first of them starts (5 MiB less with libvirt).
 */
export function daemonEnv(
  env: Readonly<Record<string, string | undefined>>,
  self: Self = currentSelf(),
): Record<string, string> {
  const kept: Record<string, string> = { ...LEAN };
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && !NOT_INHERITED.has(name)) kept[name] = value;
  }
  // V8 takes compiled code only from a run with the same flags: commands and daemons with one cache would
  // compile everything and write it there again by turns, 8 MiB each time. As in the header (self_extracting.ts).
  if (self.form === "self-extracting") {
    kept.DENO_DIR = `${self.executable.replace(/\/[^/]*$/, "")}/cache/flags`;
  }
  return kept;
}

/** Also for a daemon that a service manager starts. */
export const LEAN: Readonly<Record<string, string>> = {
  DENO_V8_FLAGS: "--max-semi-space-size=2,--optimize-for-size,--expose-gc",
  MALLOC_ARENA_MAX: "1",
};
const NOT_INHERITED = new Set(["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS"]);
