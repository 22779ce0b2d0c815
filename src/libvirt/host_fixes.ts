/**
 * Mending what `host_checks.ts` found: Debian packages through apt-get, then single commands, as root
 * or through sudo. What is to be done is a value, so that it can be shown and asked about first.
 */
import { RumError } from "../base/errors.ts";
import { type Check, missingNeeds } from "./host_checks.ts";

export interface Fixes {
  readonly packages: readonly string[];
  readonly commands: readonly (readonly string[])[];
}

export function planFixes(checks: readonly Check[]): Fixes {
  const failed = checks.filter((check) => !check.ok);
  return {
    packages: [...new Set(failed.flatMap((check) => check.packages ?? []))],
    commands: failed.flatMap((check) => check.commands ?? []),
  };
}

/** The command lines, as they will be run. */
export function fixCommands({ packages, commands }: Fixes): string[][] {
  const apt = packages.length === 0 ? [] : [
    ["apt-get", "update", "-q"],
    ["apt-get", "install", "-q", "-y", "--no-install-recommends", ...packages],
  ];
  return [...apt, ...commands.map((command) => [...command])];
}

/**
 * Runs them in order. A useful package that this release does not have must not keep the needed ones
 * out, so packages that apt does not know are left out first.
 *
 * @throws {RumError} `host_prerequisite` with the failing command's last words
 */
export async function applyFixes(
  checks: readonly Check[],
  options: {
    readonly uid: number;
    readonly say: (line: string) => void;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const fixes = planFixes(checks);
  const needed = new Set(missingNeeds(checks).flatMap((check) => check.packages ?? []));
  if (fixes.packages.length > 0) await run(["apt-get", "update", "-q"], options);
  const packages: string[] = [];
  for (const name of fixes.packages) {
    if (needed.has(name) || await isKnown(name)) packages.push(name);
  }
  for (const command of fixCommands({ ...fixes, packages })) {
    if (command[1] !== "update") await run(command, options);
  }
}

async function isKnown(name: string): Promise<boolean> {
  const { success, stdout } = await new Deno.Command("apt-cache", {
    args: ["show", "--quiet=2", name],
    stdin: "null",
    stderr: "null",
  }).output();
  return success && stdout.length > 0;
}

async function run(
  command: readonly string[],
  { uid, say, signal }: {
    readonly uid: number;
    readonly say: (line: string) => void;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const [program, ...args] = uid === 0
    ? command
    : ["sudo", "--preserve-env=DEBIAN_FRONTEND", ...command];
  say(`Running: ${[program, ...args].join(" ")}`);
  let output: Deno.CommandOutput;
  try {
    output = await new Deno.Command(program, {
      args,
      stdin: uid === 0 ? "null" : "inherit",
      stdout: "piped",
      stderr: "piped",
      env: { DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" },
      signal,
    }).output();
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) throw cause;
    throw new RumError(
      "host_prerequisite",
      `Cannot mend this host: there is no ${program} (rum installs packages on Debian and Ubuntu)`,
      { cause, hint: "rum doctor" },
    );
  }
  signal.throwIfAborted();
  if (output.success) return;
  const text = new TextDecoder().decode(output.stderr) || new TextDecoder().decode(output.stdout);
  throw new RumError(
    "host_prerequisite",
    `Cannot mend this host: ${command.join(" ")} failed: ${
      text.trim().split("\n").slice(-3).join("; ")
    }`,
    { hint: command.join(" ") },
  );
}
