/** The rum.toml that this call is about (-c, RUM_CONFIG, or the nearest upward), found and checked. */
import * as posix from "../base/posix_path.ts";
import type { CheckResult } from "../config/load.ts";
import { invalid } from "../config/render.ts";
import type { Config } from "../config/types.ts";
import { nearestConfigPath } from "./config_path.ts";
import type { Context } from "./verb.ts";

export async function checkNearest(
  context: Context,
  given?: string,
): Promise<{ result: CheckResult; shownAs: string }> {
  const path = given ?? await nearestConfigPath(context);
  const shownAs = shortPath(context.cwd, path);
  // A missing rum.toml is told before the checker and its libraries are loaded.
  const { checkFile } = await import("../config/load.ts");
  const result = await checkFile(path, { home: context.host.home, shownAs });
  return { result, shownAs };
}

/**
 * `given`: the rum.toml of a machine that was named by -m.
 *
 * @throws {RumError} `config_not_found`, `config_unreadable`, `config_invalid`
 */
export async function nearestConfig(context: Context, given?: string): Promise<Config> {
  const { result, shownAs } = await checkNearest(context, given);
  if (result.kind === "ok") return result.config;
  throw invalid(result.diagnostics, { shownAs, colour: context.out.colour });
}

/** Relative below the working directory, where an editor can open it as it is written. */
function shortPath(cwd: string, path: string): string {
  const relative = posix.relative(cwd, path);
  return relative === "" || relative.startsWith("..") ? path : relative;
}
