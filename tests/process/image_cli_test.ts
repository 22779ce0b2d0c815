/** `rum image …` as a script calls it: exit codes and documents. */
import assert from "node:assert/strict";
import { sandbox } from "../support/rum.ts";
import { makeImage, sha256 } from "./image_support.ts";

Deno.test("rum image: pull a path, list, verify, find the flipped byte, remove", async () => {
  await using box = await sandbox();
  const env = { XDG_CACHE_HOME: `${box.home}/cache` };
  const bytes = await makeImage(box.home);
  const file = `${box.project}/mine.qcow2`;
  await Deno.writeFile(file, bytes);
  const rum = (...args: string[]) => box.rum(["-o", "json", "image", ...args], { env });

  const pulled = await rum("pull", "./mine.qcow2");
  assert.equal(pulled.code, 0, pulled.stderr);
  const { v, type, digest, path, verified_by } = pulled.json;
  assert.deepEqual([v, type, digest, verified_by], [1, "image", sha256(bytes), "local"]);

  const listed = await rum("ls");
  assert.deepEqual(listed.json.images.map((image: { names: string[] }) => image.names), [[file]]);

  assert.equal((await rum("verify")).code, 0);
  await Deno.chmod(path, 0o600);
  const changed = new Uint8Array(bytes);
  changed[300_000] ^= 1;
  await Deno.writeFile(path, changed);
  const verified = await rum("verify");
  assert.deepEqual([verified.code, verified.error.code], [12, "image_checksum"]);

  assert.equal((await rum("rm", digest.slice(0, 12))).code, 0);
  assert.deepEqual((await rum("ls")).json.images, []);
  const again = await rum("rm", digest.slice(0, 12));
  assert.deepEqual([again.code, again.error.code], [4, "image_not_found"]);
});

Deno.test("rum image: search knows the short names, pull says which was meant, prune of nothing is fine", async () => {
  await using box = await sandbox();
  const env = { XDG_CACHE_HOME: `${box.home}/cache` };
  const rum = (...args: string[]) => box.rum(["-o", "json", "image", ...args], { env });
  const found = await rum("search", "debian");
  assert.deepEqual(found.json.entries.map((entry: { name: string }) => entry.name), [
    "debian-12",
    "debian-13",
  ]);
  const misspelt = await rum("pull", "debain-12");
  assert.deepEqual([misspelt.code, misspelt.error.code], [4, "image_not_found"]);
  assert.match(misspelt.error.message, /did you mean "debian-12"/);
  const pruned = await rum("prune");
  assert.deepEqual([pruned.code, pruned.json.removed, pruned.json.freed], [0, [], 0]);
  const built = await rum("build", "fedora-42");
  assert.deepEqual([built.code, built.error.code], [4, "image_not_found"]);
});
