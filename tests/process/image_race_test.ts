/** One download per image across processes, and kill -9 at any point of it. */
import assert from "node:assert/strict";
import { type Bench, bench, fetchImage, makeImage, sha256, site } from "./image_support.ts";

const CHILD = new URL("./image_pull_child.ts", import.meta.url).pathname;
const POINTS = Deno.env.get("FULL") === "1" ? 20 : 6;

function pull(b: Bench, base: string, digest: string): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--quiet",
      CHILD,
      JSON.stringify({ folder: b.folder, base, sha256: digest }),
    ],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

Deno.test("two processes that pull one image: one download, both get it", async () => {
  await using b = await bench();
  await using s = site();
  const image = await makeImage(b.folder);
  // Slow enough that the second comes while the first is at it.
  s.put("/x.qcow2", image, { slowMs: 20 });
  const children = [1, 2].map(() => pull(b, s.url("/x.qcow2"), sha256(image)));
  const outputs = await Promise.all(children.map((child) => child.output()));
  const answers = outputs.map(({ stdout, stderr, success }) => {
    assert.ok(success, new TextDecoder().decode(stderr));
    return JSON.parse(new TextDecoder().decode(stdout));
  });
  assert.deepEqual(s.requests, ["GET /x.qcow2"]);
  assert.deepEqual(answers.map((a) => a.digest), [sha256(image), sha256(image)]);
  assert.deepEqual(answers.map((a) => a.cached).sort(), [false, true]);
});

Deno.test(`kill -9 at ${POINTS} points of a pull: never a wrong image, the next pull succeeds`, async () => {
  await using b = await bench();
  await using s = site();
  const image = await makeImage(b.folder, 300_000);
  const config = { base: s.url("/x.qcow2"), sha256: sha256(image) };
  for (let point = 0; point < POINTS; point++) {
    await Deno.remove(b.paths.cache, { recursive: true }).catch(() => {});
    // From "hardly begun" to "renamed, not yet recorded": the server and the file's size decide how
    // far it gets, not a clock. Every third one is killed in full flow instead of at a standstill.
    const last = point === POINTS - 1;
    const bytes = last ? Infinity : Math.floor(image.length * (point + Math.random()) / POINTS);
    const { promise: reached, resolve } = Promise.withResolvers<void>();
    s.put("/x.qcow2", image, point % 3 === 2 ? { slowMs: 5 } : { hangAfter: bytes });
    const child = pull(b, config.base, config.sha256);
    const output = child.output();
    const watch = setInterval(async () => {
      const { part, done } = await progressOf(b);
      if (done || (part !== undefined && part >= bytes)) resolve();
    }, 2);
    await Promise.race([reached, output]);
    clearInterval(watch);
    try {
      child.kill("SIGKILL");
    } catch {
      // It was faster than the knife; then its image must be good, as below.
    }
    await output;
    await assertNothingWrong(b, image);
    s.put("/x.qcow2", image);
    const got = await fetchImage(b, config);
    assert.equal(sha256(await Deno.readFile(got.path)), sha256(image), `point ${point}`);
    assert.deepEqual((await b.left()).filter((path) => path.startsWith("partial/")), []);
  }
});

/** A name in the cache is a promise about the bytes, also right after a kill. */
async function assertNothingWrong(b: Bench, image: Uint8Array): Promise<void> {
  for (const path of await b.left()) {
    if (!path.startsWith("sha256-")) continue;
    assert.equal(path, `sha256-${sha256(image)}.qcow2`);
    assert.equal(sha256(await Deno.readFile(`${b.paths.images}/${path}`)), sha256(image));
  }
}

async function progressOf(b: Bench): Promise<{ part?: number; done: boolean }> {
  const names = await b.left();
  const part = names.find((name) => name.endsWith(".part"));
  const info = part === undefined
    ? undefined
    : await Deno.lstat(`${b.paths.images}/${part}`).catch(() => undefined);
  return { part: info?.size, done: names.some((name) => name.startsWith("sha256-")) };
}
