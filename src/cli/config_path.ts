/**
 * Where the rum.toml of this call is, without reading it: what `status` or `exec` need of the
 * configuration is its path alone, and the checker with its libraries would cost them more than
 * everything else they do.
 */
import { findConfig } from "../config/find.ts";
import type { Context } from "./verb.ts";

/** Absolute; links not resolved. @throws {RumError} `config_not_found` */
export function nearestConfigPath(
  context: Pick<Context, "cwd" | "globals" | "env">,
): Promise<string> {
  return findConfig({
    cwd: context.cwd,
    explicit: context.globals.config ?? context.env.RUM_CONFIG,
    kind,
  });
}

async function kind(path: string): Promise<"file" | "folder" | "other" | undefined> {
  try {
    const info = await Deno.stat(path);
    return info.isFile ? "file" : info.isDirectory ? "folder" : "other";
  } catch {
    return undefined;
  }
}
