/** Every way a download or an image can be bad: one code, one clear sentence, nothing left behind. */
import assert from "node:assert/strict";
import { lookUpEntry, sourceFor } from "../../src/image/catalogue.ts";
import { addPin } from "../../src/store/rum_lock.ts";
import { bench, failure, fetchImage, makeImage, qemuImg, sha256, site } from "./image_support.ts";

Deno.test("a wrong checksum: image_checksum, nothing left behind", async () => {
  await using b = await bench();
  await using s = site();
  s.put("/x.qcow2", await makeImage(b.folder));
  const wanted = "0".repeat(64);
  const error = await failure(
    fetchImage(b, { base: s.url("/x.qcow2"), sha256: wanted }),
    "image_checksum",
    /SHA256 is [0-9a-f]{64}, and image\.sha256 wants 0{64}/,
  );
  assert.equal(error.exitCode, 12);
  assert.deepEqual(await b.left(), []);
});

Deno.test("plain http without a checksum: refused before a byte is asked for", async () => {
  await using b = await bench();
  await using s = site();
  s.put("/x.qcow2", await makeImage(b.folder));
  await failure(
    fetchImage(b, { base: s.url("/x.qcow2") }),
    "image_download",
    /plain http without image\.sha256/,
  );
  assert.deepEqual(s.requests, []);
  assert.deepEqual(await b.left(), []);
});

Deno.test("plain http with only a pin in rum.lock: refused, because a guest may have written it", async () => {
  await using b = await bench();
  await using s = site();
  const image = await makeImage(b.folder);
  s.put("/x.qcow2", image);
  const lockFile = `${b.folder}/rum.lock`;
  await addPin(lockFile, s.url("/x.qcow2"), sha256(image));
  await failure(
    fetchImage(b, { base: s.url("/x.qcow2") }, { lockFile }),
    "image_download",
    /plain http without image\.sha256/,
  );
  assert.deepEqual(s.requests, []);
});

Deno.test("a redirect from https to plain http without a checksum: refused", async () => {
  await using b = await bench();
  await using s = site();
  s.put("/x.qcow2", "", { redirect: s.url("/y.qcow2") });
  s.put("/y.qcow2", await makeImage(b.folder));
  await failure(
    fetchImage(b, { base: "https://images.example/x.qcow2" }, { fetch: s.fetch }),
    "image_download",
    /it redirects to http:.*plain http/,
  );
  assert.deepEqual(s.requests, ["GET /x.qcow2"]);
  assert.deepEqual(await b.left(), []);
});

for (
  const [title, type] of [["called one", "text/html"], [
    "called a disk",
    "application/octet-stream",
  ]]
) {
  Deno.test(`a web page instead of an image, ${title}: image_corrupt, nothing left behind`, async () => {
    await using b = await bench();
    await using s = site();
    s.put("/x.qcow2", "<!DOCTYPE html><html><body>Please log in</body></html>".padEnd(5000), {
      type,
    });
    await failure(
      fetchImage(b, { base: "https://images.example/x.qcow2" }, { fetch: s.fetch }),
      "image_corrupt",
      /answered with a web page instead of an image/,
    );
    assert.deepEqual(await b.left(), []);
  });
}

Deno.test("a body that keeps breaking off: image_corrupt, and the part is kept and resumed", async () => {
  await using b = await bench();
  await using s = site();
  const image = await makeImage(b.folder);
  s.put("/x.qcow2", image, { cutAfter: 100_000 });
  const config = { base: s.url("/x.qcow2"), sha256: sha256(image) };
  await failure(
    fetchImage(b, config),
    "image_corrupt",
    /is truncated: it broke off again and again/,
  );
  const left = await b.left();
  assert.equal(left.length, 2, left.join());
  assert.ok(left.every((path) => path.startsWith("partial/")), left.join());
  s.put("/x.qcow2", image);
  assert.equal((await fetchImage(b, config)).digest, sha256(image));
  assert.match(s.requests.at(-1)!, /^GET \/x\.qcow2 bytes=[1-9]\d*-$/);
  assert.deepEqual((await b.left()).filter((path) => path.startsWith("partial/")), []);
});

Deno.test("a connection that breaks once is resumed within the same pull", async () => {
  await using b = await bench();
  await using s = site();
  const image = await makeImage(b.folder);
  s.put("/x.qcow2", image, { cutAfter: image.length / 2 });
  await fetchImage(b, { base: s.url("/x.qcow2"), sha256: sha256(image) }, { retries: 5 });
  assert.equal(s.requests[0], "GET /x.qcow2");
  assert.ok(s.requests.length >= 2 && s.requests.slice(1).every((r) => / bytes=\d+-$/.test(r)));
});

Deno.test("a file that changed on the server is fetched anew, not stitched together", async () => {
  await using b = await bench();
  await using s = site();
  const [old, now] = [await makeImage(b.folder), await makeImage(b.folder)];
  s.put("/x.qcow2", old, { cutAfter: 100_000 });
  await failure(
    fetchImage(b, { base: s.url("/x.qcow2"), sha256: sha256(now) }, { retries: 0 }),
    "image_corrupt",
    /truncated/,
  );
  s.put("/x.qcow2", now);
  const got = await fetchImage(b, { base: s.url("/x.qcow2"), sha256: sha256(now) });
  assert.equal(got.digest, sha256(now));
});

Deno.test("a truncated image without any checksum is found by its own tables", async () => {
  await using b = await bench();
  await using s = site();
  const image = await makeImage(b.folder);
  s.put("/x.qcow2", image.subarray(0, image.length - 200_000), { withoutLength: true });
  await failure(
    fetchImage(b, { base: "https://images.example/x.qcow2" }, { fetch: s.fetch }),
    "image_corrupt",
    /it is truncated: \d+ bytes .* of at least \d+/,
  );
  assert.deepEqual(await b.left(), []);
});

Deno.test("no byte for the stall time: image_stalled, the part is kept", async () => {
  await using b = await bench();
  await using s = site();
  const image = await makeImage(b.folder);
  s.put("/x.qcow2", image, { hangAfter: 65_536 });
  const error = await failure(
    fetchImage(b, { base: s.url("/x.qcow2"), sha256: sha256(image) }, { stallMs: 1500 }),
    "image_stalled",
    /stalled: no byte for/,
  );
  assert.match(error.hint!, /goes on where it stopped/);
  assert.ok((await b.left()).some((path) => path.endsWith(".part")));
});

for (
  const [title, how] of [
    ["is not answered", { silent: true }],
    ["stops half-way", { hangAfter: 100 }],
  ] as const
) {
  Deno.test(`a checksum file that ${title}: image_stalled, and the image is free for others`, async () => {
    await using b = await bench();
    await using s = site();
    const { checksumUrls } = sourceFor(lookUpEntry("debian-12"), "x86_64");
    s.put(new URL(checksumUrls[0]).pathname, "0".repeat(5000), how);
    const options = { fetch: s.fetch, stallMs: 1500, signal: AbortSignal.timeout(30_000) };
    for (let time = 0; time < 2; time++) {
      const error = await failure(
        fetchImage(b, { base: "debian-12", kind: "name" }, options),
        "image_stalled",
        /The download of https:\/\/cloud\.debian\.org\/.*SHA512SUMS stalled: no byte for/,
      );
      assert.equal(error.hint, "run it again");
    }
    assert.deepEqual(await b.left(), []);
  });
}

Deno.test("a server that has no such range for whoever asks for none: said so, not asked again and again", async () => {
  await using b = await bench();
  await using s = site();
  const image = await makeImage(b.folder);
  const config = { base: s.url("/x.qcow2"), sha256: sha256(image) };
  const options = { retries: 0, signal: AbortSignal.timeout(30_000) };
  const refused = /answers HTTP 416/;
  s.put("/x.qcow2", "", { status: 416 });
  await failure(fetchImage(b, config, options), "image_download", refused);
  assert.deepEqual(s.requests, ["GET /x.qcow2"]);
  // With a part there is a range to ask for; without it once more, and that is all.
  s.put("/x.qcow2", image, { cutAfter: 100_000 });
  await failure(fetchImage(b, config, options), "image_corrupt", /truncated/);
  s.put("/x.qcow2", "", { status: 416 });
  await failure(fetchImage(b, config, options), "image_download", refused);
  assert.match(s.requests.slice(2).join(), /^GET \/x\.qcow2 bytes=[1-9]\d*-,GET \/x\.qcow2$/);
  assert.deepEqual(await b.left(), []);
});

Deno.test("an abort ends a download at once with the caller's own reason", async () => {
  await using b = await bench();
  await using s = site();
  const image = await makeImage(b.folder);
  s.put("/x.qcow2", image, { hangAfter: 65_536 });
  const stop = new AbortController();
  const reason = new Error("Ctrl+C");
  const work = fetchImage(b, { base: s.url("/x.qcow2"), sha256: sha256(image) }, {
    signal: stop.signal,
    progress: ({ bytes }) => bytes > 0 && stop.abort(reason),
  });
  assert.equal(await work.catch((error) => error), reason);
});

Deno.test("no network: the host is named, and an image that can be built is offered", async () => {
  await using b = await bench();
  const offline = () =>
    Promise.reject(new TypeError("client error (Connect): dns error: failed to lookup"));
  const error = await failure(
    fetchImage(b, { base: "debian-12", kind: "name" }, { fetch: offline }),
    "image_download",
    /Cannot reach cloud\.debian\.org .*no network\?/,
  );
  assert.equal(error.hint, "rum image build debian-12");
  assert.deepEqual(await b.left(), []);
});

Deno.test("nobody listens: the host is named", async () => {
  await using b = await bench();
  const base = "http://127.0.0.1:1/x.qcow2";
  await failure(
    fetchImage(b, { base, sha256: "0".repeat(64) }),
    "image_download",
    /Cannot reach 127\.0\.0\.1:1/,
  );
  assert.deepEqual(await b.left(), []);
});

for (
  const [status, code, sentence] of [
    [404, "image_not_found", /answers HTTP 404/],
    [403, "image_download", /answers HTTP 403/],
    [503, "image_download", /answers HTTP 503/],
  ] as const
) {
  Deno.test(`HTTP ${status}: ${code}`, async () => {
    await using b = await bench();
    await using s = site();
    s.put("/x.qcow2", "", { status });
    await failure(
      fetchImage(b, { base: s.url("/x.qcow2"), sha256: "0".repeat(64) }),
      code,
      sentence,
    );
    assert.deepEqual(await b.left(), []);
  });
}

Deno.test("an image larger than the disk: disk_full with both figures, before it is fetched", async () => {
  await using b = await bench();
  const huge = 2 ** 52;
  const head = (await makeImage(b.folder)).subarray(0, 65536);
  const answer = () =>
    Promise.resolve(new Response(head, { headers: { "content-length": String(huge) } }));
  const error = await failure(
    fetchImage(b, { base: "https://images.example/x.qcow2" }, { fetch: answer }),
    "disk_full",
    /TiB are wanted in .* are free/,
  );
  assert.equal(error.data!.wanted, huge);
  assert.deepEqual(await b.left(), []);
});

Deno.test("a disk that fills up under the download: disk_full, nothing left behind", async () => {
  await using b = await bench();
  await using s = site();
  const image = await makeImage(b.folder, 6 * 2 ** 20);
  s.put("/x.qcow2", image, { withoutLength: true });
  await Deno.mkdir(`${b.folder}/cache`);
  const mount = (...args: string[]) => new Deno.Command(args[0], { args: args.slice(1) }).output();
  const mounted = await mount(
    "mount",
    "-t",
    "tmpfs",
    "-o",
    "size=2m,mode=700",
    "none",
    `${b.folder}/cache`,
  );
  // Only root may mount a small disk; an ordinary user has the test above.
  if (!mounted.success) return;
  try {
    await failure(
      fetchImage(b, { base: s.url("/x.qcow2"), sha256: sha256(image) }),
      "disk_full",
      /no space is left on the disk/,
    );
    assert.deepEqual(await b.left(), []);
  } finally {
    await mount("umount", `${b.folder}/cache`);
  }
});

for (
  const [title, make, sentence] of [
    ["a backing file", async (folder: string) => {
      const path = `${folder}/b.qcow2`;
      await qemuImg(
        "create",
        "-q",
        "-f",
        "qcow2",
        "-u",
        "-b",
        "/etc/passwd",
        "-F",
        "raw",
        path,
        "1G",
      );
      return await Deno.readFile(path);
    }, /stands on a backing file \("\/etc\/passwd"\)/],
    ["an external data file", async (folder: string) => {
      const options = `data_file=${folder}/data.raw,data_file_raw=on`;
      await qemuImg("create", "-q", "-f", "qcow2", "-o", options, `${folder}/d.qcow2`, "1M");
      return await Deno.readFile(`${folder}/d.qcow2`);
    }, /its data is in another file/],
    ["a VMDK", async (folder: string) => {
      await qemuImg("create", "-q", "-f", "vmdk", `${folder}/v.vmdk`, "1M");
      return await Deno.readFile(`${folder}/v.vmdk`);
    }, /it is a VMDK disk, and rum takes qcow2 and raw/],
  ] as const
) {
  Deno.test(`${title}: image_refused, from a URL and from a path`, async () => {
    await using b = await bench();
    await using s = site();
    const bytes = await make(b.folder);
    s.put("/x.img", bytes);
    const config = { base: s.url("/x.img"), sha256: sha256(bytes) };
    await failure(fetchImage(b, config), "image_refused", sentence);
    await Deno.writeFile(`${b.folder}/x.img`, bytes);
    await failure(
      fetchImage(b, { base: `${b.folder}/x.img`, kind: "path" }),
      "image_refused",
      sentence,
    );
    assert.deepEqual(await b.left(), []);
  });
}

Deno.test("a path that is not there: image_not_found", async () => {
  await using b = await bench();
  await failure(
    fetchImage(b, { base: `${b.folder}/no.img`, kind: "path" }),
    "image_not_found",
    /Cannot find the image/,
  );
});
