/**
 * tree.read, tree.write: a folder as entries, parents before children, each file's bytes right after
 * its entry. Devices, sockets and pipes are told and not read. Links are passed as links.
 *
 *   event {path, meta}   then for a file: data / zeros …, end {sha256, bytes}   … final
 *
 * Reading answers one `event` with `digest` after each file, because only the host sends `end`.
 */
import { RumError } from "../../src/base/errors.ts";
import { pathParams, treeEntry, type TreeResult, writeParams } from "../../src/protocol/agent.ts";
import { KIND } from "../../src/protocol/calls.ts";
import { parseJson } from "../../src/wire/json.ts";
import type { Call } from "../call.ts";
import { metaOf } from "../files/meta.ts";
import { dress, receiveFile } from "../files/receive.ts";
import { sendFile } from "../files/send.ts";
import { absolute, asRumError, ownerByName } from "./files.ts";

const MAX_DEPTH = 256;

export async function treeRead(call: Call): Promise<TreeResult> {
  const { path } = call.params(pathParams);
  return await asRumError(`read "${path}"`, async () => {
    const result = { entries: 0, bytes: 0 };
    await sendEntry(call, absolute(path), "", result, 0);
    return result;
  });
}

async function sendEntry(
  call: Call,
  top: string,
  path: string,
  result: { entries: number; bytes: number },
  depth: number,
): Promise<void> {
  if (depth > MAX_DEPTH) {
    throw new RumError("invalid_params", `The tree is deeper than ${MAX_DEPTH} folders`);
  }
  const full = path === "" ? top : `${top}/${path}`;
  const meta = await metaOf(full, path === "").catch((error) => {
    // It went away while we walked; the top must be there.
    if (path === "" || !(error instanceof Deno.errors.NotFound)) throw error;
  });
  if (meta === undefined) return;
  result.entries++;
  await call.event({ path, meta });
  if (meta.type === "file") {
    const digest = await sendFile(call, full);
    result.bytes += digest.bytes;
    await call.event({ path, digest });
  } else if (meta.type === "folder") {
    const names: string[] = [];
    for await (const entry of Deno.readDir(full)) names.push(entry.name);
    for (const name of names.sort()) {
      await sendEntry(call, top, path === "" ? name : `${path}/${name}`, result, depth + 1);
    }
  }
}

export async function treeWrite(call: Call): Promise<TreeResult> {
  const params = await ownerByName(call.params(writeParams));
  return await asRumError(`write "${params.path}"`, async () => {
    const top = absolute(params.path);
    const result = { entries: 0, bytes: 0 };
    // A folder's time and mode last: writing into it changes the one and may need the other.
    const folders: { path: string; mode: number; mtimeMs: number }[] = [];
    for (;;) {
      const record = await call.records.next();
      if (record === undefined) {
        throw new RumError("protocol_error", "A tree ended without its end");
      }
      if (record.kind === KIND.end) break;
      if (record.kind !== KIND.params) {
        throw new RumError("protocol_error", `A record of kind ${record.kind} between two entries`);
      }
      const { path, meta } = treeEntry(parseJson(record.payload, "An entry"), "");
      const full = path === "" ? top : `${top}/${inside(path)}`;
      const owner = { uid: params.uid, gid: params.gid };
      if (meta.type === "file") {
        const { mode, mtimeMs } = meta;
        result.bytes += (await receiveFile(call, { path: full, mode, mtimeMs, ...owner })).bytes;
      } else if (meta.type === "folder") {
        await Deno.mkdir(full).catch(ignoreExisting(full));
        folders.push({ path: full, mode: meta.mode, mtimeMs: meta.mtimeMs });
      } else if (meta.type === "link") {
        await replaceLink(full, meta.target ?? "");
      }
      result.entries++;
    }
    for (const { path, mode, mtimeMs } of folders.reverse()) {
      await dress(path, { mode, mtimeMs, uid: params.uid, gid: params.gid });
    }
    return result;
  });
}

function inside(path: string): string {
  if (path.split("/").some((part) => part === "" || part === "." || part === "..")) {
    throw new RumError("protocol_error", `The entry "${path}" leads out of its tree`);
  }
  return path;
}

function ignoreExisting(path: string): (error: unknown) => void {
  return (error) => {
    if (!(error instanceof Deno.errors.AlreadyExists) || !Deno.statSync(path).isDirectory) {
      throw error;
    }
  };
}

async function replaceLink(path: string, target: string): Promise<void> {
  const temporary = `${path}.rum-${crypto.randomUUID().slice(0, 8)}`;
  await Deno.symlink(target, temporary);
  await Deno.rename(temporary, path).catch(async (error) => {
    await Deno.remove(temporary);
    throw error;
  });
}
