/**
 * `env_file` of a service: NAME=value lines, read on the host at every hand-over and never kept. The
 * content reaches the guest by the agent's link and nothing else; errors tell places, not content.
 *
 * The path was made canonical when rum.toml was read, and approved then where it lies outside the
 * project. Inside, a guest may have put a link in its place since: what is opened must still be that
 * very path.
 */
import { RumError } from "../base/errors.ts";
import type { ServiceConfig } from "../config/types.ts";
import type { ServiceSpec } from "../protocol/services.ts";

const MAX_BYTES = 1024 * 1024;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** What rum.toml says of a service, with its secrets, as the agent takes it. */
export async function serviceSpecOf(service: ServiceConfig): Promise<ServiceSpec> {
  const { envFile, ...rest } = service;
  const fromFile = envFile === undefined
    ? {}
    : parseEnvFile(await readEnvFile(envFile, service.name), envFile);
  return {
    ...rest,
    command: [...rest.command],
    after: [...rest.after],
    // What stands in rum.toml wins, as everywhere where a file has defaults.
    env: { ...fromFile, ...rest.env },
    shutdown: rest.shutdown as ServiceSpec["shutdown"],
  };
}

/** @throws {RumError} `config_invalid` with the number of the line */
export function parseEnvFile(text: string, path: string): Record<string, string> {
  const env = new Map<string, string>();
  for (const [index, line] of text.replace(/^\uFEFF/, "").split(/\r?\n/).entries()) {
    const plain = line.trimStart();
    if (plain === "" || plain.startsWith("#")) continue;
    const equals = plain.indexOf("=");
    const name = plain.slice(0, equals);
    if (equals < 0 || !NAME.test(name) || plain.includes("\0")) {
      throw new RumError("config_invalid", `Line ${index + 1} of ${path} is not NAME=value`, {
        hint: "rum config check",
      });
    }
    env.set(name, plain.slice(equals + 1));
  }
  // So that a variable named __proto__ is only a variable.
  return Object.fromEntries(env);
}

async function readEnvFile(path: string, service: string): Promise<string> {
  const doing = `Cannot read env_file "${path}" of service "${service}"`;
  const refuse = (why: string, cause?: unknown) =>
    new RumError("config_unreadable", `${doing}: ${why}`, { cause, hint: "rum config check" });
  try {
    // A fifo would keep `open` waiting for ever.
    if (!(await Deno.lstat(path)).isFile) throw refuse("it is not a regular file any more");
    using file = await Deno.open(path);
    const [opened, named, real] = [
      await file.stat(),
      await Deno.lstat(path),
      await Deno.realPath(path),
    ];
    if (real !== path || named.ino !== opened.ino || named.dev !== opened.dev) {
      throw refuse("a link stands in its place since rum.toml was read");
    }
    if (opened.size > MAX_BYTES) throw refuse(`it is larger than ${MAX_BYTES} bytes`);
    const bytes = new Uint8Array(MAX_BYTES + 1);
    let fill = 0;
    for (;;) {
      const count = await file.read(bytes.subarray(fill));
      if (count === null || count === 0) break;
      fill += count;
    }
    return new TextDecoder().decode(bytes.subarray(0, fill));
  } catch (cause) {
    if (cause instanceof RumError) throw cause;
    throw refuse((cause as Error).message, cause);
  }
}
