/** The embedded root: its configuration, and the capability files that machines share. */
import assert from "node:assert/strict";
import { embedRootOf, prepareEmbedRoot, shareCapabilities } from "../../../src/libvirt/embed.ts";
import { embedUri } from "../../../src/plan/uri.ts";

const WHOLE = "<qemuCaps>\n</qemuCaps>\n";

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "rum-embed-" });
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("embedRootOf is the way back from embedUri, whatever the folder is called", () => {
  for (const root of ["/var/lib/rum/0a1b2c3d/embed", "/a b/ü&?#%/e"]) {
    assert.equal(embedRootOf(embedUri(root)), root);
  }
  assert.throws(() => embedRootOf("qemu:///embed"), { code: "invalid_params" });
  assert.throws(() => embedRootOf("qemu:///embed?root=relative"), { code: "invalid_params" });
});

Deno.test("a root for root tells libvirt that nothing is around it; an equal file is left alone", async () => {
  await inFolder(async (folder) => {
    const options = { root: `${folder}/r`, asRoot: true };
    await prepareEmbedRoot(options);
    const conf = `${folder}/r/etc/qemu.conf`;
    const text = await Deno.readTextFile(conf);
    for (const line of ['user = "root"', "namespaces = []", 'stdio_handler = "file"']) {
      assert.ok(text.includes(line), text);
    }
    const before = await Deno.stat(conf);
    await prepareEmbedRoot(options);
    assert.equal((await Deno.stat(conf)).mtime?.getTime(), before.mtime?.getTime());
  });
});

Deno.test("what one root learned the next one has, but never a half-written file", async () => {
  await inFolder(async (folder) => {
    const cache = `${folder}/cache`;
    const first = { root: `${folder}/1`, asRoot: false, cache };
    await prepareEmbedRoot(first);
    const learned = `${folder}/1/cache/qemu/capabilities`;
    await Deno.mkdir(learned, { recursive: true });
    await Deno.writeTextFile(`${learned}/whole.xml`, WHOLE);
    await Deno.writeTextFile(`${learned}/half.xml`, "<qemuCaps>\n  <qemu");
    await shareCapabilities(first);

    await prepareEmbedRoot({ root: `${folder}/2`, asRoot: false, cache });
    const names = [...Deno.readDirSync(`${folder}/2/cache/qemu/capabilities`)].map((e) => e.name);
    assert.deepEqual(names, ["whole.xml"]);
  });
});

Deno.test("an unreadable cache costs time and nothing else", async () => {
  await inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/cache`, "a file where a folder should be");
    await prepareEmbedRoot({ root: `${folder}/r`, asRoot: false, cache: `${folder}/cache` });
    assert.ok((await Deno.stat(`${folder}/r/etc/qemu.conf`)).isFile);
  });
});
