import assert from "node:assert/strict";
import { RumError } from "../../../src/base/errors.ts";
import {
  CATALOGUE,
  findEntry,
  lookUpEntry,
  searchCatalogue,
  sourceFor,
} from "../../../src/image/catalogue.ts";

function refusal(work: () => unknown): RumError {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof RumError, String(error));
    return error;
  }
  assert.fail("nothing was thrown");
}

Deno.test("every entry has https URLs for its architectures, each with a checksum beside it", () => {
  for (const { name, sources } of CATALOGUE) {
    assert.ok(Object.keys(sources).length > 0, name);
    for (const [arch, source] of Object.entries(sources)) {
      assert.equal(source.urls.length, source.checksumUrls.length, `${name} ${arch}`);
      for (const url of [...source.urls, ...source.checksumUrls]) {
        assert.equal(new URL(url).protocol, "https:", url);
      }
      for (const [i, url] of source.urls.entries()) {
        const folder = (text: string) => text.slice(0, text.lastIndexOf("/"));
        assert.equal(folder(url), folder(source.checksumUrls[i]), "checksum lies beside the image");
        assert.match(url, /\.(qcow2|img)$/);
      }
    }
  }
});

Deno.test("short names are unique, and every name in the manual is there", () => {
  const names = CATALOGUE.map((entry) => entry.name);
  assert.equal(new Set(names).size, names.length);
  for (
    const name of [
      ...["debian-12", "debian-13", "ubuntu-22.04", "ubuntu-24.04"],
      ...["fedora-41", "fedora-42", "fedora-43", "rocky-9", "rocky-10", "alma-9", "alma-10"],
      ...["opensuse-leap-15.6", "opensuse-tumbleweed", "arch"],
    ]
  ) assert.ok(findEntry(name), name);
});

Deno.test("an x86_64 and an aarch64 host get files of their own architecture", () => {
  const of = (name: string, arch: "x86_64" | "aarch64") =>
    sourceFor(lookUpEntry(name), arch).urls[0].split("/").at(-1);
  assert.equal(of("debian-12", "x86_64"), "debian-12-genericcloud-amd64.qcow2");
  assert.equal(of("debian-12", "aarch64"), "debian-12-genericcloud-arm64.qcow2");
  assert.equal(of("rocky-10", "aarch64"), "Rocky-10-GenericCloud-Base.latest.aarch64.qcow2");
});

Deno.test("a misspelt name is refused with the one that was meant", () => {
  const error = refusal(() => lookUpEntry("debain-12"));
  assert.equal(error.code, "image_not_found");
  assert.match(error.message, /did you mean "debian-12"\?/);
  assert.equal(error.hint, "rum image pull debian-12");
  assert.equal(refusal(() => lookUpEntry("windows-11")).hint, "rum image search");
  assert.equal(refusal(() => lookUpEntry("constructor")).code, "image_not_found");
});

Deno.test("an architecture that the distributor does not make is refused by name", () => {
  const error = refusal(() => sourceFor(lookUpEntry("arch"), "aarch64"));
  assert.equal(error.code, "image_not_found");
  assert.match(error.message, /arch for aarch64.*x86_64 only/);
});

Deno.test("an alias leads to its entry", () => {
  assert.equal(lookUpEntry("ubuntu-noble").name, "ubuntu-24.04");
  assert.equal(lookUpEntry("rockylinux-9").name, "rocky-9");
});

Deno.test("search matches all words, in name or title; nothing at all matches everything", () => {
  assert.deepEqual(searchCatalogue("debian").map((e) => e.name), ["debian-12", "debian-13"]);
  assert.deepEqual(searchCatalogue("Linux 10").map((e) => e.name), ["rocky-10", "alma-10"]);
  assert.equal(searchCatalogue("").length, CATALOGUE.length);
  assert.deepEqual(searchCatalogue("beos"), []);
});
