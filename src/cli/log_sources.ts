/**
 * Which logs a machine has on the host, and which of them `--source` means. Names are those of
 * rum.toml: a script's name, `boot` (the serial console), `daemon`. Logs of services are in the guest.
 * Pure but for one look into the folder of logs.
 */
import { RumError } from "../base/errors.ts";
import { nearest } from "../base/typo.ts";
import type { MachinePaths } from "../plan/paths.ts";

export interface LogSource {
  /** `system`, `boot`, `daemon`; `script:boot` for the script that is called so. */
  readonly name: string;
  readonly kind: "script" | "boot" | "daemon";
  readonly path: string;
}

/** Every log there is now: scripts by name, then boot and daemon. */
export async function logSources(paths: MachinePaths): Promise<LogSource[]> {
  const found: LogSource[] = [];
  try {
    for await (const { name } of Deno.readDir(paths.logs)) {
      const source = sourceOf(name, `${paths.logs}/${name}`);
      if (source !== undefined) found.push(source);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const order = ["script", "boot", "daemon"];
  return found.sort((a, b) =>
    order.indexOf(a.kind) - order.indexOf(b.kind) || (a.path < b.path ? -1 : 1)
  );
}

/** Words of `--source` that mean something else than a script. */
const RESERVED = /^(?:boot|daemon|agent|(?:script|service):.*)$/;

/** Of a log's present file; rotated ones (`.1`) are read through it. */
export function sourceOf(file: string, path: string): LogSource | undefined {
  if (file === "boot.log") return { name: "boot", kind: "boot", path };
  if (file === "daemon.log") return { name: "daemon", kind: "daemon", path };
  const script = /^script-(.+)\.log$/.exec(file);
  if (script !== null) {
    const name = RESERVED.test(script[1]) ? `script:${script[1]}` : script[1];
    return { name, kind: "script", path };
  }
  return undefined;
}

/**
 * Without a name: what scripts printed, and where there is none of it the console.
 * `boot` is the console, `script:boot` the script; any script may be named with that prefix.
 *
 * @throws {RumError} `log_not_found` with what there is
 */
export function chosenSources(
  all: readonly LogSource[],
  wanted: string | undefined,
): readonly LogSource[] {
  if (wanted === undefined) {
    const own = all.filter(({ kind }) => kind === "script");
    return own.length > 0 ? own : all.filter(({ kind }) => kind === "boot");
  }
  const found = all.filter(({ name, kind }) =>
    name === wanted || (kind === "script" && `script:${name}` === wanted)
  );
  if (found.length > 0) return found;
  const names = [...new Set(all.map(({ name }) => name))];
  const guess = nearest(wanted, names);
  throw new RumError(
    "log_not_found",
    `There is no log of "${wanted}"` +
      (guess === undefined ? "" : `; did you mean "${guess}"?`) +
      (names.length === 0 ? "" : `; there are ${names.join(", ")}`),
    { hint: "rum log --list" },
  );
}
