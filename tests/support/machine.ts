/**
 * A real machine for the end-to-end tests: the image that rum builds itself, booted by QEMU.
 *
 * The image is built once into the shared cache. One machine is shared by all test files of a run:
 * `tests/run.ts` names its folder in RUM_E2E_HOME and destroys it at the end; a file run by itself
 * makes its own. Tests that need another life of a machine make their own sandbox.
 */
import assert from "node:assert/strict";
import { rumPaths } from "../../src/plan/paths.ts";
import { listImages } from "../../src/store/image_cache.ts";
import { type Sandbox, sandbox, sharedCache } from "./rum.ts";

/** RUM_TEST_IMAGE=debian-13 runs the same files on another image that rum builds. */
const IMAGE = Deno.env.get("RUM_TEST_IMAGE") ?? "debian-12";

/** The short name of an image that is in the cache now. */
export async function testImage(): Promise<string> {
  await using box = await sandbox({ prefix: "rum-image-" });
  const { json } = await box.ok(["image", "ls", "-o", "json"]);
  const there = json.images.some((image: { names?: string[]; name?: string }) =>
    image.name === IMAGE || image.names?.includes(IMAGE)
  );
  if (!there) {
    console.log(`building ${IMAGE} into ${sharedCache()} (a minute or two)`);
    await box.ok(["image", "build", IMAGE], { timeoutMs: 15 * 60_000 });
  }
  return IMAGE;
}

/** The file of that image, for tests that boot it without rum. */
export async function testImageFile(): Promise<string> {
  const name = await testImage();
  const paths = rumPaths({ uid: Deno.uid() ?? 0, home: "/", xdgCacheHome: sharedCache() });
  const built = (await listImages(paths)).find((image) =>
    image.sources.some((source) => source.source.startsWith(`built:${name}/`))
  );
  assert.ok(built !== undefined, `no built ${name} in ${sharedCache()}`);
  return built.path;
}

/** Of the shared machine: tells how often each boot ran it. */
const BOOT_SCRIPT = `[provision.boot]
script = "echo this is boot $(cat /proc/sys/kernel/random/boot_id) | tee -a /root/boots"
`;

export interface MachineOptions {
  /** Added below the common head. */
  readonly toml?: string;
  readonly name?: string;
  readonly memory?: string;
}

export async function machineToml(options: MachineOptions = {}): Promise<string> {
  return `name = "${options.name ?? "e2e"}"

[image]
base = "${await testImage()}"

[resources]
cpus = 2
memory = "${options.memory ?? "1G"}"
disk = "8G"

${options.toml ?? ""}`;
}

/** Ready comes while services of the boot are still to start; whatever counts or times wants them through. */
export async function bootOver(box: Sandbox): Promise<void> {
  await box.rum(["exec", "--timeout", "5m", "systemctl is-system-running --wait"], {
    timeoutMs: 310_000,
  });
}

/** The machine of this run, up and ready; the same one for every file. */
export async function sharedMachine(): Promise<Sandbox> {
  const home = Deno.env.get("RUM_E2E_HOME");
  const box = await sandbox(home === undefined ? { prefix: "rum-e2e-" } : { shared: home });
  try {
    const config = `${box.project}/rum.toml`;
    if (!await Deno.stat(config).then(() => true, () => false)) {
      await box.config(await machineToml({ name: "shared", toml: BOOT_SCRIPT }));
    }
    const up = await box.rum(["up", "-d"], { timeoutMs: 900_000 });
    assert.equal(up.code, 0, `${up.stdout}\n${up.stderr}`);
    return box;
  } catch (error) {
    await box[Symbol.asyncDispose]();
    throw error;
  }
}
