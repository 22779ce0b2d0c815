import assert from "node:assert/strict";
import { agentBed } from "../../support/agent_in_process.ts";
import type { TreeEntry } from "../../../src/protocol/agent.ts";
import type { TreeSource } from "../../../src/guest/agent_files.ts";

async function* once(...chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("a written file has its bytes, mode and time, and is read back the same", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const path = `${bed.options.state}/file`;
  const params = { path, mode: 0o751, mtimeMs: 1_600_000_000_123 };
  await client.writeFile(params, once(bytes("one "), bytes("two")));
  assert.equal(await Deno.readTextFile(path), "one two");
  const stat = await client.stat(path);
  assert.deepEqual([stat.mode, stat.mtimeMs, stat.size], [0o751, 1_600_000_000_123, 7]);
  let back = "";
  const digest = await client.readFile(path, {
    meta: (meta) => assert.equal(meta.mode, 0o751),
    data: (chunk) => void (back += new TextDecoder().decode(chunk)),
    zeros: () => assert.fail("no hole here"),
  });
  assert.equal(back, "one two");
  assert.equal(digest.bytes, 7);
});

Deno.test("a hole is announced, not sent, and stays a hole", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const path = `${bed.options.state}/sparse`;
  const size = 64 * 1024 * 1024;
  const chunk = new Uint8Array(65536);
  async function* content() {
    yield bytes("start".padEnd(4096, "."));
    for (let at = 4096; at < size; at += chunk.length) {
      yield chunk.subarray(0, Math.min(chunk.length, size - at));
    }
  }
  await client.writeFile({ path }, content());
  const stat = await Deno.stat(path);
  assert.equal(stat.size, size);
  assert.ok(stat.blocks! * 512 < 1024 * 1024, `${stat.blocks} blocks`);
  let data = 0;
  let zeros = 0;
  await client.readFile(path, {
    meta() {},
    data: (each) => void (data += each.length),
    zeros: (count) => void (zeros += count),
  });
  assert.equal(data + zeros, size);
  assert.ok(data < 100_000, `${data} bytes were sent`);
});

Deno.test("a copy that breaks off leaves the old file and no other", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const folder = `${bed.options.state}/f`;
  await Deno.mkdir(folder);
  await Deno.writeTextFile(`${folder}/file`, "old");
  const cancel = new AbortController();
  async function* content() {
    yield bytes("half");
    cancel.abort(new Error("pulled the plug"));
    await new Promise(() => {});
  }
  await assert.rejects(
    client.writeFile({ path: `${folder}/file` }, content(), { signal: cancel.signal }),
    /pulled the plug/,
  );
  while ([...Deno.readDirSync(folder)].length > 1) await new Promise((r) => setTimeout(r, 5));
  assert.equal(await Deno.readTextFile(`${folder}/file`), "old");
});

for (
  const [what, path, code] of [
    ["a file that is not there", "/no/such/file", "no_such_file"],
    ["a folder", "/etc", "invalid_params"],
    ["a relative path", "etc/passwd", "invalid_params"],
  ] as const
) {
  Deno.test(`reading ${what} is refused as ${code}`, async () => {
    await using bed = await agentBed();
    const client = await bed.connect();
    const sink = { meta() {}, data() {}, zeros() {} };
    await assert.rejects(client.readFile(path, sink), { code });
  });
}

Deno.test("a write that the guest refuses is answered before everything was sent", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  async function* endless() {
    for (;;) yield new Uint8Array(65536).fill(1);
  }
  await assert.rejects(client.writeFile({ path: "/no/such/folder/x" }, endless()), {
    code: "no_such_file",
  });
});

Deno.test("a tree goes there and back: folders, files, links, modes and times", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const path = `${bed.options.state}/tree`;
  const base = { uid: 0, gid: 0, mtimeMs: 1_500_000_000_000 };
  const folder = { ...base, type: "folder" as const, size: 0, mode: 0o750 };
  const file = { ...base, type: "file" as const, size: 3, mode: 0o640 };
  async function* sources(): AsyncGenerator<TreeSource> {
    yield { entry: { path: "", meta: folder } };
    yield { entry: { path: "a", meta: folder } };
    yield { entry: { path: "a/f", meta: file }, content: once(bytes("abc")) };
    yield {
      entry: { path: "l", meta: { ...base, type: "link", size: 0, mode: 0o777, target: "a/f" } },
    };
  }
  const wrote = await client.writeTree({ path }, sources());
  assert.deepEqual(wrote, { entries: 4, bytes: 3 });

  const entries: TreeEntry[] = [];
  let content = "";
  const read = await client.readTree(path, {
    entry: (entry) => void entries.push(entry),
    data: (chunk) => void (content += new TextDecoder().decode(chunk)),
    zeros() {},
    fileEnd() {},
    refused: (why) => assert.fail(why),
  });
  assert.deepEqual(read, { entries: 4, bytes: 3 });
  assert.equal(content, "abc");
  assert.deepEqual(entries.map((each) => [each.path, each.meta.type, each.meta.mode]), [
    ["", "folder", 0o750],
    ["a", "folder", 0o750],
    ["a/f", "file", 0o640],
    ["l", "link", 0o777],
  ]);
  assert.equal(entries[1].meta.mtimeMs, base.mtimeMs);
  assert.equal(entries[3].meta.target, "a/f");
});
