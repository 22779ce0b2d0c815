/** Batches of a `sync` folder's changes, sent as the daemon sends them and carried out by the agent. */
import assert from "node:assert/strict";
import { FolderApply } from "../../../agent/folder_apply.ts";
import { FolderBase } from "../../../agent/folder_base.ts";
import type { Call } from "../../../agent/call.ts";
import { applyInGuest, openFolder } from "../../../src/guest/folder_call.ts";
import { SharedFolder } from "../../../src/guest/shared_folder.ts";
import { encodeJson, encodeRecord, KIND, RecordReader } from "../../../src/protocol/calls.ts";
import type { Op } from "../../../src/sync/tree.ts";
import { cpBed } from "../../support/cp_bed.ts";

const MIB = 1024 * 1024;

function arrival(host: string, path: string): Op {
  const { size, mtime, mode } = Deno.statSync(`${host}/${path}`);
  const rest = { size, mode: mode! & 0o7777, mtimeMs: mtime!.getTime() };
  return { op: "file", place: "new", entry: { type: "file", path, ...rest } };
}

// A small disk has to be mounted.
Deno.test("a large file that finds no room in the guest is named, and the rest arrives", {
  ignore: Deno.uid() !== 0,
}, async () => {
  await using bed = await cpBed();
  await using small = await bed.smallDisk(4);
  const chunk = new Uint8Array(64 * 1024).fill(7);
  for (const [name, mib] of [["a", 8], ["b", 0], ["c", 2], ["d", 8], ["e", 0]] as const) {
    using file = Deno.openSync(`${bed.host}/${name}`, { write: true, createNew: true });
    for (let n = 0; n < mib * 16; n++) file.writeSync(chunk);
    file.writeSync(new TextEncoder().encode(name));
  }
  const at = { source: bed.host, target: small.path };
  const { signal } = new AbortController();
  await openFolder(bed.client.mux, at, { signal });
  const ops = ["a", "b", "c", "d", "e"].map((path) => arrival(bed.host, path));
  using from = SharedFolder.open(bed.host);
  const { refused } = await applyInGuest(bed.client.mux, at, ops, { signal, from, took() {} });
  assert.deepEqual(refused.map(({ path, how }) => [path, how]), [["a", "failed"], ["d", "failed"]]);
  for (const { why } of refused) assert.match(why, /No space left/);
  // Nothing half-made is left of those that failed.
  assert.deepEqual(bed.names(small.path), ["b", "c", "e"]);
  for (const name of bed.names(small.path)) {
    assert.deepEqual(
      Deno.readFileSync(`${small.path}/${name}`),
      Deno.readFileSync(`${bed.host}/${name}`),
      name,
    );
  }
});

Deno.test("a large file that cannot even be begun leaves the next change where it is", async () => {
  const folder = await Deno.makeTempDir({ prefix: "rum-apply-" });
  const data = encodeRecord(KIND.data, new Uint8Array(1000));
  const sent = ReadableStream.from([
    data,
    encodeRecord(KIND.zeros, new Uint8Array([0, 0, 0, 0, 0, 32, 0, 0])),
    data,
    encodeJson(KIND.end, { sha256: "", bytes: 0 }),
    encodeJson(KIND.params, { op: "forget", path: "next" }),
  ]);
  const records = new RecordReader(sent);
  const base = await FolderBase.open(`${folder}/base.jsonl`);
  const stage = () => `${folder}/nowhere/staged`;
  const applying = new FolderApply({ base, top: folder, owner: {}, stage });
  const entry = { type: "file" as const, path: "big", mode: 0o644, size: 2 * MIB, mtimeMs: 0 };
  await applying.take({ op: "file", place: "new", entry }, { records } as Call);
  assert.deepEqual(applying.refused.map(({ path, how }) => [path, how]), [["big", "failed"]]);
  assert.equal((await records.next())?.kind, KIND.params);
  base[Symbol.dispose]();
  await Deno.remove(folder, { recursive: true });
});
