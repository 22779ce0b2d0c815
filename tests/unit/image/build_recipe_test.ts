import assert from "node:assert/strict";
import {
  assembleArguments,
  bootstrapPercent,
  BUILD_PACKAGES,
  BUILD_TOOLS,
  buildRecipe,
  buildTarget,
  DISK_BYTES,
  mmdebstrapArguments,
} from "../../../src/image/build_recipe.ts";
import { CUSTOMIZE } from "../../../src/image/build_customize.ts";

const mirror = {
  archive: "http://mirror.example/debian",
  security: "http://mirror.example/debian-security",
};
const recipe = buildRecipe(buildTarget("debian-13"), mirror, "/keys.gpg");

Deno.test("a recipe takes suite, mirror and keys into its sources, security included", () => {
  assert.deepEqual(recipe.sources, [
    "deb [signed-by=/keys.gpg] http://mirror.example/debian trixie main",
    "deb [signed-by=/keys.gpg] http://mirror.example/debian trixie-updates main",
    "deb [signed-by=/keys.gpg] http://mirror.example/debian-security trixie-security main",
  ]);
});

Deno.test("the fingerprint changes with whatever changes the tree, and with nothing else", () => {
  const again = buildRecipe(buildTarget("debian-13"), { ...mirror }, "/keys.gpg");
  assert.equal(again.fingerprint, recipe.fingerprint);
  const others = [
    buildRecipe(buildTarget("debian-12"), mirror, "/keys.gpg"),
    buildRecipe(buildTarget("debian-13"), { archive: mirror.archive }, "/keys.gpg"),
  ];
  for (const other of others) assert.notEqual(other.fingerprint, recipe.fingerprint);
});

Deno.test("mmdebstrap is told the mode, the suite, the output and the sources, in its order", () => {
  const args = mmdebstrapArguments(recipe, { mode: "unshare", output: "/o.tar" });
  assert.ok(args.includes("--mode=unshare"));
  const suite = args.indexOf("trixie");
  assert.deepEqual(args.slice(suite), ["trixie", "/o.tar", ...recipe.sources]);
  const include = args.find((arg) => arg.startsWith("--include="))!.slice(10).split(",");
  // Each of these is a trap of its own when it is missing (a disk that does not grow, no ACPI, …).
  for (
    const name of ["e2fsprogs", "libpam-systemd", "dbus", "cloud-guest-utils", "systemd-resolved"]
  ) {
    assert.ok(include.includes(name), name);
  }
});

Deno.test("the shell accepts the scripts of the recipe", async () => {
  for (const script of [CUSTOMIZE, assembleArguments("/t", "/d", 1048576)[1]]) {
    const { success, stderr } = await new Deno.Command("sh", { args: ["-n", "-c", script] })
      .output();
    assert.ok(success, new TextDecoder().decode(stderr));
  }
});

Deno.test("the file system fills the disk behind the gap and no more", () => {
  const kib = Number(assembleArguments("/t", "/d", 1048576).at(-1));
  assert.equal(kib * 1024, DISK_BYTES - 1048576);
});

Deno.test("a name that cannot be built is refused with one that can", () => {
  assert.throws(() => buildTarget("debain-12"), {
    code: "image_not_found",
    message: /did you mean "debian-12"\?/,
    hint: "rum image build debian-12",
  });
  assert.throws(() => buildTarget("fedora-42"), /rum builds debian-12 and debian-13/);
});

Deno.test("mmdebstrap's own words become a percentage that only grows", () => {
  const lines = [
    "I: running apt-get update...",
    "I: downloading packages with apt...",
    "I: extracting archives...",
    "I: installing essential packages...",
    "I: installing remaining packages inside the chroot...",
    "I: running --customize-hook in shell",
    "I: creating tarball...",
    "I: success in 43.4435 seconds",
  ];
  const percents = lines.map((line) => bootstrapPercent(line)!);
  assert.deepEqual(percents, [...percents].sort((a, b) => a - b));
  assert.equal(percents.at(-1), 100);
  assert.equal(bootstrapPercent("Setting up libc6"), undefined);
});

Deno.test("every tool that a Debian package brings is in the list for doctor", () => {
  const base = new Set(["tar", "util-linux"]);
  for (const name of Object.values(BUILD_TOOLS)) {
    assert.ok(base.has(name) || BUILD_PACKAGES.includes(name), name);
  }
});
