/** The rum.toml that this call is about (-c, RUM_CONFIG, or the nearest upward), found and checked. */
import * as posix from "../base/posix_path.ts";
import { RumError, toRumError } from "../base/errors.ts";
import type { CheckResult } from "../config/load.ts";
import { invalid } from "../config/render.ts";
import type { Config } from "../config/types.ts";
import { nearestConfigPath } from "./config_path.ts";
import type { Target } from "./target.ts";
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
 * `machine`: the one whose rum.toml it is, which may have been named by -m.
 *
 * @throws {RumError} `config_not_found`, `config_unreadable`, `config_invalid`
 */
export async function nearestConfig(
  context: Context,
  machine?: Pick<Target, "id" | "configPath">,
): Promise<Config> {
  const { result, shownAs } = await checkNearest(context, machine?.configPath).catch((thrown) => {
    const error = toRumError(thrown);
    if (error.code !== "config_not_found" || machine?.configPath === undefined) throw error;
    // A new file would be another machine's; this one's has moved, or its project is gone.
    throw new RumError(
      error.code,
      `${error.message}; in the folder where it is now, rum adopt binds machine ${machine.id} to it`,
      { hint: `rum adopt ${machine.id}`, cause: error },
    );
  });
  if (result.kind === "ok") return result.config;
  throw invalid(result.diagnostics, { shownAs, colour: context.out.colour });
}

/** Relative below the working directory, where an editor can open it as it is written. */
function shortPath(cwd: string, path: string): string {
  const relative = posix.relative(cwd, path);
  return relative === "" || relative.startsWith("..") ? path : relative;
}
