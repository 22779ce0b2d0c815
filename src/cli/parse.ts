/**
 * argv → which verb, with which options. Plain command lines are read by `quick_parse.ts`; help,
 * mistakes and everything unusual by commander, which is loaded only then. Both read the same rows.
 */
import { type Env, globalsOf, type Parsed } from "./globals.ts";
import { quickParse } from "./quick_parse.ts";

/** @throws {RumError} `usage` when the words do not parse */
export async function parseCommandLine(
  argv: readonly string[],
  env: Env,
  columns = 100,
): Promise<Parsed> {
  const quick = quickParse(argv);
  if (quick !== undefined) {
    const { spec, verb, operands, options, given } = quick;
    return { kind: "call", spec, call: { verb, operands, options }, ...globalsOf(given, env) };
  }
  const { parseFully } = await import("./full_parse.ts");
  return parseFully(argv, env, columns);
}
