/**
 * What a machine's rum.toml says, for verbs that tell of a machine and need no good one: the checker
 * is loaded only here, and whatever is wrong is an answer.
 */
import { toRumError } from "../base/errors.ts";
import type { Target } from "./target.ts";

export type Configured =
  | { readonly kind: "good"; readonly name: string }
  | { readonly kind: "mistake" }
  /** Not there, not readable, or nobody knows where it is. */
  | { readonly kind: "unknown" };

export async function configured(
  { configPath }: Pick<Target, "configPath">,
  { home }: { readonly home: string },
): Promise<Configured> {
  if (configPath === undefined) return { kind: "unknown" };
  const { checkFile } = await import("../config/load.ts");
  try {
    const result = await checkFile(configPath, { home });
    return result.kind === "ok" ? { kind: "good", name: result.config.name } : { kind: "mistake" };
  } catch (thrown) {
    if (toRumError(thrown).code.startsWith("config_")) return { kind: "unknown" };
    throw thrown;
  }
}
