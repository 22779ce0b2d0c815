/** `rum dump-iso`: the files of the machine's seed, or one of them on stdout, byte for byte. */
import { EXIT, RumError } from "../base/errors.ts";
import { nearest } from "../base/typo.ts";
import { formatSize } from "../base/units.ts";
import { type IsoEntry, readIsoFolder } from "../image/iso9660_read.ts";
import type { MachinePaths } from "../plan/paths.ts";
import { writeFully } from "./exec_streams.ts";
import { table } from "./table.ts";
import { targetOf } from "./target.ts";
import type { Context, VerbCall } from "./verb.ts";

const PIECE = 1024 * 1024;

export async function run(context: Context, call: VerbCall): Promise<number> {
  const target = await targetOf(context);
  const path = await seedOf(target.paths);
  using file = await Deno.open(path, { read: true });
  const files = await readIsoFolder((offset, length) => readAt(file, offset, length));
  const [wanted] = call.operands;
  if (wanted !== undefined) {
    await extract(file, find(files, wanted));
    return EXIT.ok;
  }
  const rows = files.map(({ name, mode, sizeBytes }) => ({ name, mode, bytes: sizeBytes }));
  context.out.document("seed", { id: target.id, path, files: rows }, () =>
    table(
      ["NAME", "MODE", "SIZE"],
      rows.map(({ name, mode, bytes }) => [
        name,
        `0${mode.toString(8).padStart(3, "0")}`,
        formatSize(bytes),
      ]),
    ));
  return EXIT.ok;
}

/** The newest, should a crash have left two. @throws {RumError} `no_such_file` */
async function seedOf(paths: MachinePaths): Promise<string> {
  let newest: { path: string; at: number } | undefined;
  try {
    for await (const { name, isFile } of Deno.readDir(paths.folder)) {
      if (!isFile || !/^seed-[0-9a-f]+\.iso$/.test(name)) continue;
      const path = `${paths.folder}/${name}`;
      const at = (await Deno.stat(path)).mtime?.getTime() ?? 0;
      if (newest === undefined || at > newest.at) newest = { path, at };
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  if (newest !== undefined) return newest.path;
  throw new RumError("no_such_file", "There is no seed: the machine was never started", {
    hint: "rum up -d",
  });
}

function find(files: readonly IsoEntry[], wanted: string): IsoEntry {
  const found = files.find(({ name }) => name === wanted);
  if (found !== undefined) return found;
  const guess = nearest(wanted, files.map(({ name }) => name));
  throw new RumError(
    "no_such_file",
    `The seed has no file "${wanted}"${guess === undefined ? "" : `; did you mean "${guess}"?`}`,
    { hint: "rum dump-iso" },
  );
}

async function extract(file: Deno.FsFile, entry: IsoEntry): Promise<void> {
  for (let at = 0; at < entry.sizeBytes; at += PIECE) {
    const length = Math.min(PIECE, entry.sizeBytes - at);
    await writeFully(Deno.stdout, await readAt(file, entry.offset + at, length));
  }
}

async function readAt(file: Deno.FsFile, offset: number, length: number): Promise<Uint8Array> {
  await file.seek(offset, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const n = await file.read(bytes.subarray(filled));
    if (n === null) break;
    filled += n;
  }
  return bytes.subarray(0, filled);
}
