/** What the `flags` of an option row say: `-e, --env <pair>` → its words, its attribute, its value. */
import type { OptionSpec } from "./verb.ts";

export interface OptionWords {
  /** `-e`, `--env`. */
  readonly names: readonly string[];
  /** The long one, or the only one: how messages call it. */
  readonly shown: string;
  /** `env`, `noInput` as `input`: the key in `VerbCall.options`. */
  readonly attribute: string;
  readonly value: "none" | "required" | "optional";
  readonly negated: boolean;
}

export function optionWords({ flags }: OptionSpec): OptionWords {
  const names = flags.split(/[ ,]+/).filter((word) => word.startsWith("-"));
  const shown = names.find((name) => name.startsWith("--")) ?? names[0];
  const negated = shown.startsWith("--no-");
  const bare = shown.replace(/^--?/, "").replace(/^no-/, "");
  return {
    names,
    shown,
    attribute: bare.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase()),
    value: flags.includes("<") ? "required" : flags.includes("[") ? "optional" : "none",
    negated,
  };
}
