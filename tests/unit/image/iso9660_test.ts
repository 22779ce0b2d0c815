import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { type IsoFile, isoImage, isoSizeBytes } from "../../../src/image/iso9660.ts";
import { withFolder } from "../../support/folder.ts";

const LABEL = { label: "cidata" };
const text = (s: string) => new TextEncoder().encode(s);
const seed: IsoFile[] = [
  { name: "user-data", mode: 0o644, content: text("#cloud-config\n") },
  { name: "meta-data", mode: 0o644, content: text("instance-id: x\n") },
  { name: "token", mode: 0o600, content: text("secret") },
  { name: "rum-agent", mode: 0o755, content: crypto.getRandomValues(new Uint8Array(10_000)) },
  { name: "empty", mode: 0o644, content: new Uint8Array() },
];

Deno.test("isoImage: isoinfo sees the names as written, the modes and the label", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/seed.iso`;
    await write(path, seed);
    assert.equal((await Deno.stat(path)).size, isoSizeBytes(seed, LABEL));
    assert.match(await run("isoinfo", "-d", "-i", path), /Volume id: cidata\n[^]*Rock Ridge/);
    const lines = (await run("isoinfo", "-l", "-R", "-i", path)).split("\n");
    const listed = lines.filter((l) => l.startsWith("-")).map((l) => {
      const words = l.trim().split(/\s+/);
      return [words[0], words[4], words[words.length - 1]].join(" ");
    });
    assert.deepEqual(listed, [
      "-rw-r--r-- 0 empty",
      "-rw-r--r-- 15 meta-data",
      "-rwxr-xr-x 10000 rum-agent",
      "-rw------- 6 token",
      "-rw-r--r-- 14 user-data",
    ]);
  });
});

Deno.test("isoImage: xorriso gives back every byte, for any files", async () => {
  await withFolder(async (folder) => {
    const name = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/);
    const file = fc.record({
      name,
      mode: fc.constantFrom(0o600, 0o644, 0o755),
      content: fc.uint8Array({ maxLength: 5000 }),
    });
    const files = fc.uniqueArray(file, { selector: (f) => f.name, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(files, async (some) => {
        const path = `${folder}/any.iso`;
        await write(path, some);
        const out = `${folder}/out`;
        await run("xorriso", "-osirrox", "on", "-indev", path, "-extract", "/", out);
        const found = [...Deno.readDirSync(out)].map((e) => e.name).sort();
        assert.deepEqual(found, some.map((f) => f.name).sort());
        for (const f of some) {
          assert.deepEqual(await Deno.readFile(`${out}/${f.name}`), new Uint8Array(f.content));
          assert.equal((await Deno.stat(`${out}/${f.name}`)).mode! & 0o777, f.mode);
        }
        await run("chmod", "-R", "u+w", out);
        await Deno.remove(out, { recursive: true });
      }),
      { numRuns: Deno.env.get("FULL") === "1" ? 100 : 6 },
    );
  });
});

Deno.test({
  name:
    "isoImage: the kernel mounts it and shows names, modes and bytes (root, a kernel with iso9660)",
  ignore: !await canLoopMount(),
  async fn() {
    await withFolder(async (folder) => {
      const path = `${folder}/seed.iso`;
      await write(path, seed);
      const at = `${folder}/at`;
      await Deno.mkdir(at);
      await run("mount", "-o", "loop,ro", path, at);
      try {
        for (const f of seed) {
          assert.deepEqual(await Deno.readFile(`${at}/${f.name}`), f.content);
          assert.equal((await Deno.stat(`${at}/${f.name}`)).mode! & 0o777, f.mode);
        }
      } finally {
        await run("umount", at);
      }
    });
  },
});

Deno.test("isoImage: 200 MiB pass through in pieces, the same bytes come out, little memory is held", async () => {
  await withFolder(async (folder) => {
    const pieces = 3200;
    const piece = crypto.getRandomValues(new Uint8Array(65536));
    let waiting = 0;
    let mostWaiting = 0;
    const big: IsoFile = {
      name: "rum-agent",
      mode: 0o755,
      content: {
        sizeBytes: pieces * piece.length,
        open: () =>
          ReadableStream.from((function* () {
            for (let i = 0; i < pieces; i++) {
              mostWaiting = Math.max(mostWaiting, ++waiting);
              yield piece;
            }
          })()),
      },
    };
    const path = `${folder}/big.iso`;
    using file = await Deno.open(path, { write: true, create: true });
    for await (
      const chunk of isoImage([...seed.filter((f) => f.name !== "rum-agent"), big], LABEL)
    ) {
      waiting = 0;
      for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
    }
    // Pulled one by one: nothing piles up between the source and the file.
    assert.ok(mostWaiting <= 4, `${mostWaiting} pieces were waiting`);
    const expected = createHash("sha256");
    for (let i = 0; i < pieces; i++) expected.update(piece);
    const found = createHash("sha256");
    const reader = new Deno.Command("isoinfo", {
      args: ["-R", "-i", path, "-x", "/rum-agent"],
      stdout: "piped",
    }).spawn();
    for await (const chunk of reader.stdout) found.update(chunk);
    assert.equal((await reader.status).code, 0);
    assert.equal(found.digest("hex"), expected.digest("hex"));
  });
});

Deno.test("isoImage: the same files give the same bytes, in whatever order they come", async () => {
  const bytes = async (files: IsoFile[]) =>
    new Uint8Array(await new Response(isoImage(files, LABEL)).arrayBuffer());
  assert.deepEqual(await bytes(seed), await bytes([...seed].reverse()));
});

Deno.test("isoImage refuses names and labels that do not fit", () => {
  const one = (name: string) => [{ name, mode: 0o644, content: new Uint8Array() }];
  for (const name of ["", ".", "..", "a/b", "a b", "é", "a".repeat(129)]) {
    assert.throws(() => isoImage(one(name), LABEL), { code: "invalid_params" });
  }
  assert.throws(() => isoImage([...one("a"), ...one("a")], LABEL), { code: "invalid_params" });
  assert.throws(() => isoImage([], { label: "x".repeat(33) }), { code: "invalid_params" });
});

Deno.test("isoImage: a source that is not as long as it said ends the stream with an error", async () => {
  for (const length of [9, 11]) {
    const open = () => ReadableStream.from([new Uint8Array(length)]);
    const files: IsoFile[] = [{ name: "a", mode: 0o644, content: { sizeBytes: 10, open } }];
    await assert.rejects(
      new Response(isoImage(files, LABEL)).arrayBuffer(),
      /10 bytes were promised/,
    );
  }
});

async function write(path: string, files: readonly IsoFile[]): Promise<void> {
  await Deno.writeFile(path, isoImage(files, LABEL));
}

async function canLoopMount(): Promise<boolean> {
  if (Deno.uid() !== 0 || !/\biso9660\b/.test(await Deno.readTextFile("/proc/filesystems"))) {
    return false;
  }
  const { success, stdout } = await new Deno.Command("losetup", { args: ["-f"] }).output();
  return success && await Deno.stat(new TextDecoder().decode(stdout).trim()).then(
    () => true,
    () => false,
  );
}

async function run(command: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args }).output();
  const decoder = new TextDecoder();
  assert.ok(success, decoder.decode(stdout) + decoder.decode(stderr));
  return decoder.decode(stdout);
}
