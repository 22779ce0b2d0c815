/**
 * Which machines stand on which base image. Read from what is really there: the backing file in the
 * header of every qcow2 in a machine's folder (the disk, a disk being built beside it, drives), and
 * every digest its state mentions, which also covers a machine that is being made. Whatever cannot
 * be read stops the question: `prune` and `rm` then remove nothing.
 */
import { IMAGE_HEADER_BYTES, readImageHeader } from "../image/qcow2.ts";
import { RumError } from "../base/errors.ts";
import type { RumPaths } from "../plan/paths.ts";
import { digestInPath, namesIn } from "./image_layout.ts";
import { fileError } from "./ownership.ts";

const MACHINE = /^[0-9a-f]{8}$/;
const DIGEST = /[0-9a-f]{64}/g;
/** The state of a machine, whole or set aside as corrupt: both may name its base. */
const STATE = /^state\.json/;
const MAX_STATE = 16 * 1024 * 1024;

/** Digest → ids of the machines that stand on it. */
export async function inUse(paths: RumPaths): Promise<Map<string, string[]>> {
  const users = new Map<string, string[]>();
  for (const id of await namesIn(paths.data)) {
    if (!MACHINE.test(id)) continue;
    for (const digest of await digestsOf(`${paths.data}/${id}`)) {
      users.set(digest, [...users.get(digest) ?? [], id]);
    }
  }
  return users;
}

async function digestsOf(folder: string): Promise<Set<string>> {
  const found = new Set<string>();
  for (const name of await namesIn(folder)) {
    const path = `${folder}/${name}`;
    if (/\.qcow2/.test(name)) {
      const digest = await baseOf(path);
      if (digest !== undefined) found.add(digest);
    } else if (STATE.test(name)) {
      // Any 64 hex digits count: too many kept is harmless, one too few is not.
      for (const [digest] of (await head(path, MAX_STATE, "text")).matchAll(DIGEST)) {
        found.add(digest);
      }
    }
  }
  return found;
}

async function baseOf(overlay: string): Promise<string | undefined> {
  const bytes = await head(overlay, IMAGE_HEADER_BYTES, "bytes");
  try {
    const { backingFile } = readImageHeader(bytes);
    return backingFile === undefined ? undefined : digestInPath(backingFile);
  } catch (error) {
    // Half-written or broken: it stands on nothing that could be named.
    if (error instanceof RumError && error.code === "image_corrupt") return undefined;
    throw error;
  }
}

async function head(path: string, max: number, as: "bytes"): Promise<Uint8Array>;
async function head(path: string, max: number, as: "text"): Promise<string>;
async function head(path: string, max: number, as: "bytes" | "text"): Promise<Uint8Array | string> {
  try {
    // A planted link or pipe is not followed; a machine's own files are regular ones.
    if (!(await Deno.lstat(path)).isFile) return as === "text" ? "" : new Uint8Array();
    using file = await Deno.open(path, { read: true });
    const bytes = new Uint8Array(Math.min(max, (await file.stat()).size));
    let at = 0;
    while (at < bytes.length) {
      const n = await file.read(bytes.subarray(at));
      if (n === null) break;
      at += n;
    }
    return as === "text" ? new TextDecoder().decode(bytes.subarray(0, at)) : bytes.subarray(0, at);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return as === "text" ? "" : new Uint8Array();
    throw fileError(error, `Cannot find out which base image "${path}" stands on`);
  }
}
