/** What the cache promises once an image is in it. */
import assert from "node:assert/strict";
import { formatPins, readPins } from "../../src/store/rum_lock.ts";
import { listImages, pruneImages, removeImage } from "../../src/store/image_cache.ts";
import { describeHolder, tryFlock } from "../../src/store/flock.ts";
import { inUse } from "../../src/store/image_in_use.ts";
import { verifyInBackground } from "../../src/store/image_ensure.ts";
import {
  type Bench,
  bench,
  failure,
  fetchImage,
  makeImage,
  qemuImg,
  sha256,
  sha512,
  site,
} from "./image_support.ts";

async function cached(b: Bench, forMachine = false) {
  await Deno.writeFile(`${b.folder}/local.qcow2`, await makeImage(b.folder));
  return await fetchImage(b, { base: `${b.folder}/local.qcow2`, kind: "path" }, { forMachine });
}

/** A machine's folder with a disk on that base, as `up` makes it. */
async function machine(b: Bench, id: string, base: string): Promise<string> {
  const folder = `${b.paths.data}/${id}`;
  await Deno.mkdir(folder, { recursive: true });
  await qemuImg(
    "create",
    "-q",
    "-f",
    "qcow2",
    "-b",
    base,
    "-F",
    "qcow2",
    `${folder}/overlay.qcow2`,
  );
  return folder;
}

Deno.test("an image in the cache is read-only and named by its bytes", async () => {
  await using b = await bench();
  const image = await cached(b);
  const { mode } = await Deno.stat(image.path);
  assert.equal(mode! & 0o777, 0o444);
  assert.equal(sha256(await Deno.readFile(image.path)), image.digest);
  const folders = [b.paths.cache, b.paths.images];
  const modes = await Promise.all(
    folders.map(async (path) => (await Deno.stat(path)).mode! & 0o777),
  );
  assert.deepEqual(modes, Deno.uid() === 0 ? [0o711, 0o711] : [0o700, 0o700]);
});

Deno.test("a path is copied once; a changed original is copied again, the old copy stays", async () => {
  await using b = await bench();
  const first = await cached(b);
  const again = await fetchImage(b, { base: `${b.folder}/local.qcow2`, kind: "path" });
  assert.deepEqual([first.cached, again.cached, again.digest], [false, true, first.digest]);
  const second = await cached(b);
  assert.equal(second.cached, false);
  assert.notEqual(second.digest, first.digest);
  assert.equal((await listImages(b.paths)).length, 2);
});

Deno.test("what a check remembers waits for its turn, and keeps that a machine was given the image", async () => {
  await using b = await bench();
  const image = await cached(b);
  const record = async () =>
    JSON.parse(await Deno.readTextFile(`${b.paths.images}/blobs/${image.digest}.json`));
  const before = await record();
  let checking: Promise<void>;
  {
    await using lock = await tryFlock(
      `${b.paths.images}/locks/blobs.lock`,
      await describeHolder({ role: "one-shot", operation: "hand out" }),
    );
    assert.ok(lock);
    checking = verifyInBackground(b.paths, image);
    // Longer than the hash of a small image takes.
    await new Promise((later) => setTimeout(later, 300));
    assert.equal((await record()).hashed_at, before.hashed_at);
    const given = { ...before, handed_out_at: "2026-11-27T00:00:00.000Z" };
    await Deno.writeTextFile(`${b.paths.images}/blobs/${image.digest}.json`, JSON.stringify(given));
  }
  await checking;
  const after = await record();
  assert.equal(after.handed_out_at, "2026-11-27T00:00:00.000Z");
  assert.ok(after.hashed_at > before.hashed_at);
});

Deno.test("a raw image with holes is copied with its holes", async () => {
  await using b = await bench();
  const path = `${b.folder}/disk.raw`;
  {
    using file = await Deno.open(path, { write: true, createNew: true });
    const sector = new Uint8Array(512);
    sector.set([0x55, 0xaa], 510);
    await file.write(sector);
    await file.truncate(256 * 2 ** 20);
  }
  const image = await fetchImage(b, { base: path, kind: "path" });
  assert.equal(image.format, "raw");
  assert.equal(image.size, 256 * 2 ** 20);
  assert.ok((await Deno.stat(image.path)).blocks! * 512 < 8 * 2 ** 20);
});

Deno.test("a flipped byte is caught: at the next use when the file's stamp changed", async () => {
  await using b = await bench();
  const image = await cached(b);
  await flip(image.path);
  await failure(
    fetchImage(b, { base: `${b.folder}/local.qcow2`, kind: "path" }),
    "image_checksum",
    /has changed: its SHA-256 is/,
  );
});

Deno.test("a flipped byte is caught: alongside the boot when the stamp was faked", async () => {
  await using b = await bench();
  const image = await cached(b);
  const { atime, mtime } = await Deno.stat(image.path);
  await flip(image.path);
  await Deno.utime(image.path, atime!, mtime!);
  const again = await fetchImage(b, { base: `${b.folder}/local.qcow2`, kind: "path" });
  assert.equal(again.cached, true);
  await failure(verifyInBackground(b.paths, again), "image_checksum", /has changed/);
});

Deno.test("prune and rm keep what any machine's disk stands on", async () => {
  await using b = await bench();
  const used = await cached(b);
  const beside = await cached(b);
  const mentioned = await cached(b);
  const free = await cached(b);
  const folder = await machine(b, "0123abcd", used.path);
  await qemuImg(
    "create",
    "-q",
    "-f",
    "qcow2",
    "-b",
    beside.path,
    "-F",
    "qcow2",
    `${folder}/overlay.new.qcow2`,
  );
  await Deno.mkdir(`${b.paths.data}/89abcdef`);
  await Deno.writeTextFile(`${b.paths.data}/89abcdef/state.json`, `{"base":"${mentioned.digest}"}`);
  const users = await inUse(b.paths);
  assert.deepEqual(users.get(used.digest), ["0123abcd"]);
  const [listed] = (await listImages(b.paths)).filter((image) => image.digest === used.digest);
  const error = await failure(
    removeImage(b.paths, listed),
    "image_in_use",
    /machine 0123abcd stands on it/,
  );
  assert.equal(error.hint, "rum -m 0123abcd destroy");
  const { removed, kept, freedBytes } = await pruneImages(b.paths);
  assert.deepEqual(removed.map((image) => image.digest), [free.digest]);
  assert.deepEqual(
    kept.map((image) => image.digest).sort(),
    [used.digest, beside.digest, mentioned.digest].sort(),
  );
  assert.ok(freedBytes >= free.size);
  await Deno.stat(used.path);
  await assert.rejects(Deno.stat(free.path), Deno.errors.NotFound);
});

Deno.test("prune leaves an image alone that a machine was given a moment ago", async () => {
  await using b = await bench();
  const image = await cached(b, true);
  assert.deepEqual((await pruneImages(b.paths)).removed, []);
  await Deno.stat(image.path);
});

Deno.test("an image that a prune takes while a machine is being given it is fetched once more", async () => {
  await using b = await bench();
  const before = await cached(b);
  const holder = await describeHolder({ role: "one-shot", operation: "prune" });
  const pruning = (await tryFlock(`${b.paths.images}/locks/blobs.lock`, holder))!;
  const given = fetchImage(b, { base: `${b.folder}/local.qcow2`, kind: "path" }, {
    forMachine: true,
  });
  // Long enough to have found it in the cache; where not, it is not found there and copied anew too.
  await new Promise((resolve) => setTimeout(resolve, 100));
  await Deno.remove(`${b.paths.images}/blobs/${before.digest}.json`);
  await Deno.remove(before.path);
  await pruning.release();
  const image = await given;
  assert.equal(sha256(await Deno.readFile(image.path)), image.digest);
  assert.deepEqual((await pruneImages(b.paths)).removed, []);
});

Deno.test("prune removes parts of downloads that nobody is at", async () => {
  await using b = await bench();
  await using s = site();
  const image = await makeImage(b.folder);
  s.put("/x.qcow2", image, { cutAfter: 100_000 });
  await failure(
    fetchImage(b, { base: s.url("/x.qcow2"), sha256: sha256(image) }, { retries: 0 }),
    "image_corrupt",
    /truncated/,
  );
  assert.notDeepEqual(await b.left(), []);
  await pruneImages(b.paths);
  assert.deepEqual(await b.left(), []);
});

Deno.test("a short name is checked against the distributor's file, then served from the cache", async () => {
  await using b = await bench();
  await using s = site();
  const image = await makeImage(b.folder);
  const folder = "/images/cloud/bookworm/latest";
  s.put(`${folder}/debian-12-genericcloud-amd64.qcow2`, image);
  s.put(
    `${folder}/SHA512SUMS`,
    `${sha512(image)}  debian-12-genericcloud-amd64.qcow2\n${"0".repeat(128)}  other\n`,
  );
  const config = { base: "debian-12", kind: "name" } as const;
  const got = await fetchImage(b, config, { fetch: s.fetch });
  assert.deepEqual([got.verifiedBy, got.cached], ["distributor", false]);
  const before = s.requests.length;
  const again = await fetchImage(b, config, { fetch: s.fetch });
  assert.deepEqual([again.verifiedBy, again.cached, s.requests.length], [
    "distributor",
    true,
    before,
  ]);
  s.put(`${folder}/SHA512SUMS`, `${"0".repeat(128)}  debian-12-genericcloud-amd64.qcow2\n`);
  await failure(
    fetchImage(b, config, { fetch: s.fetch, refresh: true }),
    "image_checksum",
    /SHA512 is .*checksum file wants 0{128}/,
  );
});

Deno.test("a release that moved to the archive is found there", async () => {
  await using b = await bench();
  await using s = site();
  const image = await makeImage(b.folder);
  const file = "Fedora-Cloud-Base-Generic-41-1.4.x86_64.qcow2";
  const folder = "/pub/archive/fedora/linux/releases/41/Cloud/x86_64/images";
  s.put(`${folder}/${file}`, image);
  s.put(`${folder}/Fedora-Cloud-41-1.4-x86_64-CHECKSUM`, `SHA256 (${file}) = ${sha256(image)}\n`);
  const got = await fetchImage(b, { base: "fedora-41", kind: "name" }, { fetch: s.fetch });
  assert.equal(got.digest, sha256(image));
});

Deno.test("a URL is pinned in rum.lock at first use, and its pin is enforced", async () => {
  await using b = await bench();
  await using s = site();
  const [image, other] = [await makeImage(b.folder), await makeImage(b.folder)];
  const lockFile = `${b.folder}/rum.lock`;
  const config = { base: "https://images.example/x.qcow2" };
  s.put("/x.qcow2", image);
  const first = await fetchImage(b, config, { fetch: s.fetch, lockFile });
  assert.equal(first.verifiedBy, "first_use");
  assert.deepEqual([...await readPins(lockFile)], [[config.base, sha256(image)]]);
  await Deno.remove(b.paths.cache, { recursive: true });
  const second = await fetchImage(b, config, { fetch: s.fetch, lockFile });
  assert.equal(second.verifiedBy, "rum.lock");
  await Deno.remove(b.paths.cache, { recursive: true });
  s.put("/x.qcow2", other);
  await failure(
    fetchImage(b, config, { fetch: s.fetch, lockFile }),
    "image_checksum",
    /and the pin in .*rum\.lock wants/,
  );
  assert.deepEqual([...await readPins(lockFile)], [[config.base, sha256(image)]]);
});

Deno.test({
  name:
    "a rum.lock of somebody else's is read and left alone, and a URL that cannot be pinned is said",
  ignore: Deno.uid() !== 0,
  async fn() {
    await using b = await bench();
    await using s = site();
    const lockFile = `${b.folder}/rum.lock`;
    const pins = formatPins(new Map([["https://images.example/y.qcow2", "1".repeat(64)]]));
    await Deno.writeTextFile(lockFile, pins);
    await Deno.chown(lockFile, 1000, 1000);
    const image = await makeImage(b.folder);
    s.put("/x.qcow2", image);
    s.put("/y.qcow2", image);
    const options = { fetch: s.fetch, lockFile };
    const got = await fetchImage(b, { base: "https://images.example/x.qcow2" }, options);
    assert.equal(got.digest, sha256(image));
    assert.match(got.notes.join(), /x\.qcow2 could not be pinned.*belongs to uid 1000/);
    await failure(
      fetchImage(b, { base: "https://images.example/y.qcow2" }, options),
      "image_checksum",
      /and the pin in .*rum\.lock wants/,
    );
    assert.equal(await Deno.readTextFile(lockFile), pins);
  },
});

Deno.test("rum.lock is sorted, keeps other pins, and is refused when it is not ours", async () => {
  await using b = await bench();
  const [x, y] = ["1".repeat(64), "2".repeat(64)];
  const pins = new Map([['https://z.example/"q".img', x], ["https://a.example/a.img", y]]);
  const path = `${b.folder}/rum.lock`;
  await Deno.writeTextFile(path, formatPins(pins));
  assert.deepEqual(await readPins(path), new Map([...pins].sort()));
  assert.equal(formatPins(await readPins(path)), formatPins(pins));
  await Deno.writeTextFile(path, "version = 2\n");
  await failure(readPins(path), "config_invalid", /its version is 2/);
  await Deno.writeTextFile(path, "version = 1\n[[image]]\nsource = 'x'\nsha256 = 'y'\n");
  await failure(readPins(path), "config_invalid", /not 64 hex digits/);
  await Deno.remove(path);
  await Deno.symlink("/etc/passwd", path);
  await failure(readPins(path), "config_invalid", /not a regular file/);
});

Deno.test("a digest that is in the cache serves any source that wants it, without network", async () => {
  await using b = await bench();
  const local = await cached(b);
  const offline = () => assert.fail("the network was used");
  const config = { base: "https://images.example/x.qcow2", sha256: local.digest };
  const got = await fetchImage(b, config, { fetch: offline });
  assert.deepEqual([got.path, got.cached, got.verifiedBy], [local.path, true, "config"]);
});

async function flip(path: string): Promise<void> {
  await Deno.chmod(path, 0o600);
  using file = await Deno.open(path, { read: true, write: true });
  const byte = new Uint8Array(1);
  await file.seek(300_000, Deno.SeekMode.Start);
  await file.read(byte);
  byte[0] ^= 1;
  await file.seek(300_000, Deno.SeekMode.Start);
  await file.write(byte);
}
