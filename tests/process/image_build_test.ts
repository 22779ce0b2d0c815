/** `image build` without the minutes: the tools are stand-ins, everything around them is real. */
import assert from "node:assert/strict";
import { RumError } from "../../src/base/errors.ts";
import { buildImage } from "../../src/store/image_build.ts";
import { runTool } from "../../src/store/image_build_run.ts";
import { inspectImage } from "../../src/store/image_inspect.ts";
import { type Bench, bench, failure, fetchImage, sha256 } from "./image_support.ts";

const CHILD = new URL("./image_build_child.ts", import.meta.url).pathname;
const POINTS = Deno.env.get("FULL") === "1" ? 20 : 5;

function start(b: Bench, ...standStillAt: string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", CHILD, b.folder, ...standStillAt],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

async function finish(b: Bench): Promise<{ digest: string; path: string }> {
  const { success, stdout, stderr } = await start(b).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout).trim().split("\n").at(-1)!);
}

const calls = async (b: Bench) =>
  (await Deno.readTextFile(`${b.folder}/calls`).catch(() => "")).split("\n").filter(Boolean);

Deno.test("a build goes through its stages once, and leaves the image and its records only", async () => {
  await using b = await bench();
  const built = await finish(b);
  assert.deepEqual(await calls(b), ["mmdebstrap", "sh", "qemu-img"]);
  assert.equal(sha256(await Deno.readFile(built.path)), built.digest);
  assert.equal((await inspectImage(built.path, "x")).virtualSizeBytes, 2 * 2 ** 30);
  const left = (await b.left()).map((path) => path.split("/")[0]);
  assert.deepEqual(left.sort(), ["blobs", "index", `sha256-${built.digest}.qcow2`]);
});

Deno.test("a built image serves its short name without network, and says so", async () => {
  await using b = await bench();
  const built = await finish(b);
  const offline = () => assert.fail("the network was used");
  const got = await fetchImage(b, { base: "debian-12", kind: "name" }, { fetch: offline });
  assert.deepEqual([got.digest, got.verifiedBy], [built.digest, "built"]);
  assert.match(got.notes.join(), /is the image built on this host/);
});

Deno.test(`kill -9 at ${POINTS} points of a build: the next one ends well and leaves no leftovers`, async () => {
  await using b = await bench();
  let resumed = 0;
  for (let point = 0; point < POINTS; point++) {
    await Deno.remove(b.paths.cache, { recursive: true }).catch(() => {});
    await Deno.remove(`${b.folder}/calls`).catch(() => {});
    const stop =
      ["bootstrap 0", "assemble 0", "assemble 100", "convert 0", "convert 100"][point % 5];
    // Killed when its progress says where it is; the exact place inside the stage is chance, but for
    // one that waits, so that some build surely has its bootstrap behind it and not its end.
    const child = start(b, ...(point === 1 ? [stop] : []));
    const status = child.status;
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    for (let seen = ""; !seen.includes(`${stop}\n`);) {
      const { value, done } = await reader.read();
      if (done) break;
      seen += value;
    }
    try {
      child.kill("SIGKILL");
    } catch {
      // Done already.
    }
    await Promise.all([status, reader.cancel(), child.stderr.cancel()]);
    for (const path of await b.left()) {
      if (!path.startsWith("sha256-")) continue;
      const bytes = await Deno.readFile(`${b.paths.images}/${path}`);
      assert.equal(path, `sha256-${sha256(bytes)}.qcow2`, `after ${stop}`);
    }
    const built = await finish(b);
    assert.equal(sha256(await Deno.readFile(built.path)), built.digest);
    if ((await calls(b)).filter((name) => name === "mmdebstrap").length === 1) resumed++;
    assert.deepEqual((await b.left()).filter((path) => path.startsWith("stages/")), [], stop);
  }
  assert.ok(resumed > 0, "no build went on after its finished bootstrap");
});

Deno.test("a tool that fails: image_build with what it said; one that is missing too long: timeout", async () => {
  const error = await failure(
    runTool("sh", {
      args: ["-c", "echo 'E: no such suite' >&2; exit 3"],
      what: "x",
      timeoutMs: 5000,
    }),
    "image_build",
    /\(x\) failed with code 3: E: no such suite/,
  );
  assert.equal(error.exitCode, 12);
  await failure(
    runTool("sh", {
      args: ["-c", "echo 'cp: No space left on device'; exit 1"],
      what: "x",
      timeoutMs: 5000,
    }),
    "disk_full",
    /no space is left/,
  );
  await failure(
    runTool("sleep", { args: ["60"], what: "sleeping", timeoutMs: 100 }),
    "timeout",
    /The image build \(sleeping\) took longer than 100 ms/,
  );
});

Deno.test("a tool ends with the rum that started it", async () => {
  const folder = await Deno.makeTempDir();
  const program = `
    import { runTool } from ${
    JSON.stringify(new URL("../../src/store/image_build_run.ts", import.meta.url).href)
  };
    await runTool("sh", { args: ["-c", "echo $$; exec sleep 300"], what: "x", timeoutMs: 300_000, onLine: console.log });
  `;
  await Deno.writeTextFile(`${folder}/parent.ts`, program);
  const parent = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", `${folder}/parent.ts`],
    stdout: "piped",
  }).spawn();
  const reader = parent.stdout.getReader();
  const pid = Number(new TextDecoder().decode((await reader.read()).value));
  parent.kill("SIGKILL");
  await Promise.all([parent.status, reader.cancel()]);
  for (let alive = true; alive;) {
    alive = await Deno.stat(`/proc/${pid}`).then(() => true, () => false);
    const state = await Deno.readTextFile(`/proc/${pid}/stat`).catch(() => ") Z");
    if (/\) [ZX]/.test(state)) break;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await Deno.remove(folder, { recursive: true });
});

Deno.test("an image for another architecture is refused before anything is made", async () => {
  await using b = await bench();
  const work = buildImage({ name: "debian-12", arch: "aarch64", paths: b.paths });
  const error = await work.catch((thrown) => thrown);
  assert.ok(error instanceof RumError);
  assert.equal(error.code, "not_supported");
  assert.deepEqual(await b.left(), []);
});

Deno.test("a mirror that would say more than an address is refused", async () => {
  await using b = await bench();
  for (
    const mirror of [
      "http://x/debian bookworm main\ndeb http://evil",
      "file:///etc",
      "http://u:p@x/d",
    ]
  ) {
    await failure(
      buildImage({
        name: "debian-12",
        arch: "x86_64",
        paths: b.paths,
        mirror,
        run: () => assert.fail(),
      }),
      "invalid_params",
      /Cannot use the mirror/,
    );
  }
});
