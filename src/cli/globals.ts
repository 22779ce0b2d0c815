/**
 * Global options as every verb gets them: flag, then environment, then default; and the words that
 * options share. No parser in here.
 */
import { RumError } from "../base/errors.ts";
import { parseDuration } from "../base/units.ts";
import type { Globals, VerbCall, VerbSpec } from "./verb.ts";

export type OutputChoice = "auto" | "interactive" | "plain" | "json";

export type Parsed =
  | {
    readonly kind: "call";
    readonly spec: VerbSpec;
    readonly call: VerbCall;
    readonly globals: Globals;
    readonly output: OutputChoice;
  }
  /** About the verb of this path; the empty one is rum itself. */
  | { readonly kind: "help"; readonly path: readonly string[] };

export type Env = Readonly<Record<string, string | undefined>>;

const OUTPUTS: readonly OutputChoice[] = ["auto", "interactive", "plain", "json"];

export function globalsOf(
  given: Readonly<Record<string, unknown>>,
  env: Env,
): { globals: Globals; output: OutputChoice } {
  const text = (name: string, variable: string): string | undefined => {
    const value = given[name];
    if (typeof value === "string") return value;
    const fromEnv = env[variable];
    return fromEnv === undefined || fromEnv === "" ? undefined : fromEnv;
  };
  const flag = (name: string, variable: string): boolean =>
    given[name] === true || switchOf(variable, env);
  /** The name under which a value was given, for sentences about it. */
  const asGiven = (name: string, variable: string) =>
    typeof given[name] === "string" ? `--${name}` : variable;
  const output = text("output", "RUM_OUTPUT") ?? "auto";
  if (!OUTPUTS.includes(output as OutputChoice)) {
    throw new RumError(
      "usage",
      `Cannot use ${asGiven("output", "RUM_OUTPUT")} "${output}": wanted one of ${
        OUTPUTS.join(", ")
      }`,
      { hint: "rum --help" },
    );
  }
  const timeout = text("timeout", "RUM_TIMEOUT");
  return {
    output: output as OutputChoice,
    globals: {
      config: text("config", "RUM_CONFIG"),
      machine: text("machine", "RUM_MACHINE"),
      verbose: flag("verbose", "RUM_VERBOSE"),
      quiet: flag("quiet", "RUM_QUIET"),
      noInput: given.input === false || switchOf("RUM_NO_INPUT", env),
      timeoutMs: timeout === undefined
        ? undefined
        : durationOption(asGiven("timeout", "RUM_TIMEOUT"), timeout),
    },
  };
}

/** A variable that stands for a flag. @throws {RumError} `usage` for a word that is neither yes nor no */
function switchOf(variable: string, env: Env): boolean {
  const word = env[variable] ?? "";
  if (/^(1|true|yes|on)$/i.test(word)) return true;
  if (/^(0|false|no|off)?$/i.test(word)) return false;
  throw new RumError("usage", `Cannot read ${variable} "${word}": wanted 1 or 0`, {
    hint: "rum --help",
  });
}

/** @throws {RumError} `usage` when the text is no duration */
export function durationOption(flag: string, text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined) return ms;
  throw new RumError(
    "usage",
    `Cannot read ${flag} "${text}": wanted a duration such as 250ms, 30s, 5m or 2h`,
  );
}
