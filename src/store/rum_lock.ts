/**
 * `rum.lock`, beside `rum.toml` and meant to be committed: the SHA-256 of every image URL that has
 * neither `image.sha256` nor a distributor's checksum file. Written at first use, enforced from then
 * on, so that a URL whose bytes change is noticed by everybody who works on the project.
 *
 * The guest may be able to write it (a read-write mount of the project). All it can do by that is to
 * make rum refuse an image: a pin never allows anything that was not asked for.
 */
import { RumError } from "../base/errors.ts";
import { writeFileAtomic } from "./atomic.ts";
import { fileError } from "./ownership.ts";

const MAX_BYTES = 256 * 1024;
const HEADER = "# Written by rum; commit it. What each image URL held at its first use.\n";

/** Source URL → SHA-256. */
export type Pins = ReadonlyMap<string, string>;

/** An absent file has no pins.
 * @throws {RumError} `config_invalid` when it is not a file that rum could have written */
export async function readPins(path: string): Promise<Pins> {
  let text: string;
  try {
    const info = await Deno.lstat(path);
    if (!info.isFile) throw invalid(path, "it is not a regular file");
    if (info.size > MAX_BYTES) throw invalid(path, `it has ${info.size} bytes`);
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return new Map();
    throw fileError(error, `Cannot read "${path}"`);
  }
  const { parse } = await import("smol-toml");
  let document: Record<string, unknown>;
  try {
    document = parse(text);
  } catch (error) {
    throw invalid(path, error instanceof Error ? error.message.split("\n")[0] : "no TOML");
  }
  if (document.version !== 1) {
    throw invalid(path, `its version is ${JSON.stringify(document.version)}, and this rum knows 1`);
  }
  const pins = new Map<string, string>();
  const rows = document.image ?? [];
  if (!Array.isArray(rows)) throw invalid(path, "`image` is not a list of tables");
  for (const row of rows as Partial<Record<string, unknown>>[]) {
    const { source, sha256 } = row ?? {};
    if (
      typeof source !== "string" || typeof sha256 !== "string" || !/^[0-9a-f]{64}$/.test(sha256)
    ) {
      throw invalid(path, "an [[image]] lacks `source`, or `sha256` is not 64 hex digits");
    }
    pins.set(source, sha256);
  }
  return pins;
}

/** Sorted by source: two people who pin the same images write the same file. */
export function formatPins(pins: Pins): string {
  const rows = [...pins].sort(([a], [b]) => a < b ? -1 : 1);
  // A JSON string is a TOML basic string as long as it holds no lone DEL.
  const quote = (text: string) => JSON.stringify(text).replaceAll("\x7f", "\\u007f");
  return `${HEADER}version = 1\n` +
    rows.map(([source, sha256]) =>
      `\n[[image]]\nsource = ${quote(source)}\nsha256 = ${quote(sha256)}\n`
    ).join("");
}

/** Adds one pin. Others that are there already stay. */
export async function addPin(path: string, source: string, sha256: string): Promise<void> {
  const pins = new Map(await readPins(path));
  if (pins.get(source) === sha256) return;
  pins.set(source, sha256);
  await writeFileAtomic(path, formatPins(pins), { mode: 0o644 });
}

function invalid(path: string, why: string): RumError {
  return new RumError("config_invalid", `Cannot use "${path}": ${why}`, { hint: `rm ${path}` });
}
