/**
 * The seed on disk: `seed-<hash>.iso`, streamed (it carries the agent, a hundred megabytes), made
 * beside its place and renamed. A seed of the same hash is left alone: the hash covers everything in
 * it but the token, and the token that matters is rotated at the first hello anyway. Only a new disk
 * asks for a seed of the same hash anew: it knows nothing but the token that it finds there.
 */
import { removeIfThere } from "./image_layout.ts";
import { faultPoint } from "../base/fault.ts";
import { SEED_LABEL } from "../cloudinit/boot_script.ts";
import type { Seed } from "../cloudinit/seed.ts";
import { isoImage } from "../image/iso9660.ts";
import type { MachinePaths } from "../plan/paths.ts";
import { syncFolder } from "./atomic.ts";
import { checkOwnFile, fileError } from "./ownership.ts";

const PIECE_BYTES = 1024 * 1024;
const NAME = /^seed-[0-9a-f]{16}\.iso$/;

/** @returns whether it had to be written */
export async function writeSeedFile(
  paths: MachinePaths,
  seed: Seed,
  options: { readonly replace?: boolean; readonly signal?: AbortSignal } = {},
): Promise<boolean> {
  const path = paths.seed(seed.hash);
  if (await checkOwnFile(path, { anyOwner: true }) && options.replace !== true) return false;
  const temporary = `${path}.pending`;
  const action = `Cannot write the seed "${path}"`;
  try {
    await checkOwnFile(temporary);
    await removeIfThere(temporary);
    using file = await Deno.open(temporary, { write: true, createNew: true, mode: 0o600 });
    for await (const piece of isoImage(seed.files, { label: SEED_LABEL })) {
      options.signal?.throwIfAborted();
      for (let at = 0; at < piece.length;) at += await file.write(piece.subarray(at));
    }
    await file.sync();
    await faultPoint("seed.written");
    await Deno.rename(temporary, path);
    await syncFolder(paths.folder);
    return true;
  } catch (error) {
    await removeIfThere(temporary);
    if (options.signal?.aborted) throw options.signal.reason;
    throw fileError(error, action);
  }
}

/** In one buffer: a file's own stream makes a new one for each 64 KiB, which costs more than the writing. */
export async function* bytesOfFile(path: string): AsyncGenerator<Uint8Array> {
  using file = await Deno.open(path);
  const buffer = new Uint8Array(PIECE_BYTES);
  for (;;) {
    const count = await file.read(buffer);
    if (count === null) return;
    yield buffer.subarray(0, count);
  }
}

/** Removes the seeds of other hashes, and what a killed writer left. */
export async function removeSeedsBut(paths: MachinePaths, hash: string | undefined): Promise<void> {
  const kept = hash === undefined ? undefined : paths.seed(hash).slice(paths.folder.length + 1);
  for await (const entry of Deno.readDir(paths.folder)) {
    const name = entry.name.replace(/\.pending$/, "");
    if (!NAME.test(name) || entry.name === kept || !entry.isFile) continue;
    await removeIfThere(`${paths.folder}/${entry.name}`);
  }
}
