/**
 * tree.read, tree.write: a folder as entries, parents before children, each file's bytes right after
 * its entry. Devices, sockets and pipes are told and not read. Links are passed as links.
 *
 *   event {path, meta}   then for a file: data / zeros …, end {sha256, bytes}   … final
 *
 * Reading answers one `event` with `digest` after each file, because only the host sends `end`.
 *
 * Below its top a tree is walked by open folders, never by path: somebody in the guest who swaps a
 * folder for a link meanwhile leads nobody anywhere, and names need not be UTF-8.
 */
import { Folder, FolderWalk } from "../../ffi/folders.ts";
import { RumError } from "../../src/base/errors.ts";
import {
  type FileMeta,
  pathParams,
  treeEntry,
  type TreeResult,
  type WriteParams,
  writeParams,
} from "../../src/protocol/agent.ts";
import { KIND } from "../../src/protocol/calls.ts";
import { parseJson } from "../../src/wire/json.ts";
import type { Call } from "../call.ts";
import { metaOf, metaOfHeld } from "../files/meta.ts";
import { dress, receiveFile, receiveInto, temporaryName } from "../files/receive.ts";
import { sendFile } from "../files/send.ts";
import { absolute, asRumError, ownerByName, ownerOver } from "./files.ts";

const MAX_DEPTH = 256;

export async function treeRead(call: Call): Promise<TreeResult> {
  const { path } = call.params(pathParams);
  return await asRumError(`read "${path}"`, async () => {
    const result = { entries: 0, bytes: 0 };
    const meta = await metaOf(absolute(path), true);
    await tell(call, "", meta, path, result);
    if (meta.type === "folder") {
      using top = Folder.open(path);
      await sendFolder(call, top, "", result, 1);
    }
    return result;
  });
}

/** One entry, and a file's bytes; `from` is where they are read. */
async function tell(
  call: Call,
  path: string,
  meta: FileMeta,
  from: string,
  result: { entries: number; bytes: number },
): Promise<void> {
  result.entries++;
  await call.event({ path, meta });
  if (meta.type !== "file") return;
  const digest = await sendFile(call, from);
  result.bytes += digest.bytes;
  await call.event({ path, digest });
}

async function sendFolder(
  call: Call,
  folder: Folder,
  path: string,
  result: { entries: number; bytes: number },
  depth: number,
): Promise<void> {
  if (depth > MAX_DEPTH) {
    throw new RumError("invalid_params", `The tree is deeper than ${MAX_DEPTH} folders`);
  }
  for (const name of folder.names().sort()) {
    const below = path === "" ? name : `${path}/${name}`;
    try {
      using held = folder.held(name);
      const meta = await metaOfHeld(held);
      await tell(call, below, meta, held.path, result);
      if (meta.type !== "folder") continue;
      using inner = folder.folder(name);
      await sendFolder(call, inner, below, result, depth + 1);
    } catch (error) {
      // It went away while we walked.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

export async function treeWrite(call: Call): Promise<TreeResult> {
  const params = await ownerByName(call.params(writeParams));
  return await asRumError(`write "${params.path}"`, async () => {
    using writer = new TreeWriter(absolute(params.path), params);
    try {
      await takeEntries(call, writer);
    } catch (error) {
      // The copy that is done again leaves the folders as it finds them.
      await writer.finish().catch(() => {});
      throw error;
    }
    return await writer.finish();
  });
}

async function takeEntries(call: Call, writer: TreeWriter): Promise<void> {
  for (;;) {
    const record = await call.records.next();
    if (record === undefined) {
      throw new RumError("protocol_error", "A tree ended without its end");
    }
    if (record.kind === KIND.end) return;
    if (record.kind !== KIND.params) {
      throw new RumError("protocol_error", `A record of kind ${record.kind} between two entries`);
    }
    const { path, meta } = treeEntry(parseJson(record.payload, "An entry"), "");
    if (path === "") await writer.top(call, meta);
    else await writer.entry(call, inside(path), meta);
  }
}

class TreeWriter implements Disposable {
  readonly #top: string;
  readonly #owner: Pick<WriteParams, "uid" | "gid">;
  readonly #ownerOfNew: boolean;
  readonly #result = { entries: 0, bytes: 0 };
  // Those that were there keep what they have. A folder's time and mode last: writing into it changes
  // the one and may need the other.
  readonly #made: { path: string; mode: number; mtimeMs: number }[] = [];
  #walk?: FolderWalk;

  constructor(top: string, { uid, gid, ownerOfNew = false }: WriteParams) {
    this.#top = top;
    this.#owner = { uid, gid };
    this.#ownerOfNew = ownerOfNew;
  }

  async top(call: Call, meta: FileMeta): Promise<void> {
    this.#result.entries++;
    const { mode, mtimeMs } = meta;
    if (meta.type === "file") {
      const params = { path: this.#top, mode, mtimeMs, ...this.#owner };
      this.#result.bytes += (await receiveFile(call, params)).bytes;
    } else if (meta.type === "folder") {
      try {
        await Deno.mkdir(this.#top);
        this.#made.push({ path: "", mode, mtimeMs });
      } catch (error) {
        ignoreExisting(error);
      }
    } else throw new RumError("protocol_error", `A tree's top is a ${meta.type}`);
  }

  async entry(call: Call, path: string, meta: FileMeta): Promise<void> {
    this.#result.entries++;
    this.#walk ??= new FolderWalk(Folder.open(this.#top));
    const { folder, name } = this.#walk.place(path);
    const { mode, mtimeMs } = meta;
    if (meta.type === "folder") {
      try {
        folder.makeFolder(name, 0o700);
        this.#made.push({ path, mode, mtimeMs });
      } catch (error) {
        ignoreExisting(error);
        folder.folder(name)[Symbol.dispose]();
      }
    } else if (meta.type === "file" || meta.type === "link") {
      const temporary = temporaryName();
      try {
        if (meta.type === "link") folder.makeLink(temporary, meta.target ?? "");
        else {
          const place = `${folder.path}/${temporary}`;
          this.#result.bytes += (await receiveInto(call, place)).bytes;
          await dress(place, { mode, mtimeMs, ...await this.#ownerAt(folder, name) });
        }
        folder.rename(temporary, name);
      } catch (error) {
        folder.remove(temporary);
        throw error;
      }
    }
  }

  async #ownerAt(folder: Folder, name: string): Promise<Pick<WriteParams, "uid" | "gid">> {
    try {
      using there = folder.held(name);
      const info = await Deno.stat(there.path);
      if (info.isFile) return ownerOver(info, { ...this.#owner, ownerOfNew: this.#ownerOfNew });
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    return this.#owner;
  }

  async finish(): Promise<TreeResult> {
    for (const { path, mode, mtimeMs } of this.#made.reverse()) {
      this.#walk ??= new FolderWalk(Folder.open(this.#top));
      const folder = path === "" ? this.#walk.top : this.#walk.at(path.split("/"));
      await dress(folder.path, { mode, mtimeMs, ...this.#owner });
    }
    return this.#result;
  }

  [Symbol.dispose](): void {
    this.#walk?.[Symbol.dispose]();
  }
}

function inside(path: string): string {
  if (path.split("/").some((part) => part === "" || part === "." || part === "..")) {
    throw new RumError("protocol_error", `The entry "${path}" leads out of its tree`);
  }
  return path;
}

function ignoreExisting(error: unknown): void {
  if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
}
