/**
 * Which rum.toml is meant: the one named by -c or RUM_CONFIG, else the nearest one upward from the
 * working directory. Several may share a folder; those are only ever named.
 */
import * as posix from "../base/posix_path.ts";
import { RumError } from "../base/errors.ts";
import { shellWord } from "../base/shell_word.ts";

export const CONFIG_NAME = "rum.toml";

export interface FindOptions {
  readonly cwd: string;
  /** From -c or RUM_CONFIG, -c first. A folder stands for the rum.toml in it. */
  readonly explicit?: string;
  readonly kind: (path: string) => Promise<"file" | "folder" | "other" | undefined>;
}

/**
 * The absolute path, links not yet resolved.
 *
 * @throws {RumError} `config_not_found`
 */
export async function findConfig(options: FindOptions): Promise<string> {
  const { cwd, explicit, kind } = options;
  if (explicit !== undefined) {
    const named = posix.resolve(cwd, explicit);
    const found = await kind(named);
    const path = found === "folder" ? posix.join(named, CONFIG_NAME) : named;
    if (found === undefined || (found === "folder" && await kind(path) === undefined)) {
      throw new RumError("config_not_found", `Configuration ${path} does not exist`, {
        hint: `rum -c ${shellWord(path)} init`,
      });
    }
    return path;
  }
  for (let folder = posix.resolve(cwd);; folder = posix.dirname(folder)) {
    const path = posix.join(folder, CONFIG_NAME);
    if (await kind(path) !== undefined) return path;
    if (folder === "/") break;
  }
  throw new RumError(
    "config_not_found",
    `No ${CONFIG_NAME} in ${cwd} or in any folder above`,
    { hint: "rum init" },
  );
}
