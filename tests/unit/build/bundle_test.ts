import assert from "node:assert/strict";
import { bundle, bundleAgent, bundleRum, ROOT } from "../../../src/build/bundle.ts";
import { RUNTIME_FLAGS } from "../../../src/base/runtime_flags.ts";
import { selfExtractingHeader } from "../../../src/build/self_extracting.ts";
import { VERSION } from "../../../src/base/version.ts";
import { lastingCommand, selfCommand } from "../../../src/daemon/self_command.ts";

/** What rum loads lazily from npm, found in its sources. */
async function lazyPackages(): Promise<string[]> {
  const found = new Set<string>();
  const visit = async (folder: string): Promise<void> => {
    for await (const entry of Deno.readDir(folder)) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory) await visit(path);
      else if (entry.name.endsWith(".ts")) {
        const text = await Deno.readTextFile(path);
        for (const [, name] of text.matchAll(/\bimport\("([^."][^"]*)"\)/g)) found.add(name);
      }
    }
  };
  await visit(`${ROOT}src`);
  return [...found].filter((name) => !name.startsWith("node:")).sort();
}

Deno.test("in the bundle a lazily imported package has every name that it has under Deno", async () => {
  const folder = await Deno.makeTempDir({ prefix: "rum-bundle-" });
  try {
    await bundleRum(folder, { form: "compiled", commit: "abc", agentDigest: "d" });
    const files = [...Deno.readDirSync(folder)].map((entry) => entry.name);
    assert.ok(files.includes("rum.js") && files.includes("libvirt_worker.js"), files.join(" "));
    const chunks = await Promise.all(
      files.filter((name) => name !== "libvirt_worker.js").map((name) =>
        import(`file://${folder}/${name}?finished`)
      ),
    );
    const packages = await lazyPackages();
    assert.ok(packages.includes("ssh2") && packages.includes("saxes"), packages.join(" "));
    for (const name of packages) {
      const wanted = Object.keys(await import(name)).filter((key) =>
        key !== "module.exports" && key !== "__esModule"
      );
      assert.ok(
        chunks.some((chunk) => wanted.every((key) => key in chunk)),
        `${name}: no chunk has ${wanted.join(", ")}`,
      );
    }
    const stamped = files.filter((name) =>
      Deno.readTextFileSync(`${folder}/${name}`).includes('"agentDigest":"d"')
    );
    assert.equal(stamped.length, 1);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the agent is one file that imports nothing but what is built in", async () => {
  const folder = await Deno.makeTempDir({ prefix: "rum-bundle-" });
  try {
    await bundleAgent(folder);
    assert.deepEqual([...Deno.readDirSync(folder)].map((entry) => entry.name), ["rum-agent.js"]);
    const text = await Deno.readTextFile(`${folder}/rum-agent.js`);
    const imported = [...text.matchAll(/\bfrom\s*"([^"]+)"|\bimport\("([^"]+)"\)/g)]
      .map((match) => match[1] ?? match[2]);
    assert.deepEqual(imported.filter((name) => !name.startsWith("node:")), []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("deno.json carries the version of src/base/version.ts", async () => {
  const { version } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  assert.equal(version, VERSION);
});

Deno.test("the header is as long as it says, whatever stands in it", () => {
  for (const version of ["0", "1.0.0-rc.1", "ü".repeat(9)]) {
    const text = selfExtractingHeader({ name: "rum", version, digest: "0".repeat(64) });
    const start = Number(/^start=(\d+) *$/m.exec(text)![1]);
    assert.equal(new TextEncoder().encode(text).length + 1, start);
    assert.ok(text.endsWith('"$@"\n'));
  }
});

Deno.test("rum is started with the same flags by its header and by itself", () => {
  const header = selfExtractingHeader({ name: "rum", version: "1", digest: "d" });
  assert.ok(header.includes(` run ${RUNTIME_FLAGS.join(" ")} "$dir/app/rum.js"`));
  const self = { form: "self-extracting", executable: "/d", program: "/p" } as const;
  assert.deepEqual(selfCommand(["x"], self), ["/d", "run", ...RUNTIME_FLAGS, "/p", "x"]);
});

Deno.test("a file that outlives this build names the packed file, not what it unpacked", () => {
  const self = { form: "self-extracting", executable: "/d", program: "/p" } as const;
  assert.deepEqual(lastingCommand(["x"], "/usr/bin/rum", self), ["/usr/bin/rum", "x"]);
  assert.deepEqual(lastingCommand(["x"], undefined, self), selfCommand(["x"], self));
  const compiled = { form: "compiled", executable: "/usr/bin/rum", program: "" } as const;
  assert.deepEqual(lastingCommand(["x"], undefined, compiled), ["/usr/bin/rum", "x"]);
});

Deno.test("what is opened by using is given back in the bundle too, however little it is used", async () => {
  const folder = await Deno.makeTempDir({ prefix: "rum-bundle-" });
  try {
    await Deno.writeTextFile(`${folder}/in.ts`, USING);
    await bundle([`${folder}/in.ts`], `${folder}/out`, []);
    const { given, wanted } = await import(`file://${folder}/out/in.js`);
    assert.deepEqual(given, wanted);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** The shapes that the sources have: never named again, named once, in a loop, asynchronous. */
const USING = `export const given: string[] = [];
class Thing {
  constructor(readonly name: string) {}
  use() { return Promise.resolve(this.name); }
  [Symbol.dispose]() { given.push(this.name); }
  async [Symbol.asyncDispose]() { await 0; given.push("async " + this.name); }
}
const open = (name: string) => Promise.resolve(new Thing(name));
async function never() { using _unused = new Thing("never"); await 0; }
async function once() { using thing = await open("once"); await thing.use(); }
async function returned() { using thing = new Thing("returned"); return await thing.use(); }
async function parameter(thing: Thing) { using _thing = thing; await 0; }
async function loop() { for (const n of [1, 2]) { using thing = new Thing("loop " + n); await thing.use(); } }
async function later() { await using thing = await open("later"); return await thing.use(); }
function plain() { using thing = new Thing("plain"); thing.use(); }
await never();
await once();
await returned();
await parameter(new Thing("parameter"));
await loop();
await later();
plain();
export const wanted = [
  "never", "once", "returned", "parameter", "loop 1", "loop 2", "async later", "plain",
];
`;
