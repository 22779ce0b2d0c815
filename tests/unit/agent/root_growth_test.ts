import assert from "node:assert/strict";
import { rootGrowthWait } from "../../../agent/provision/root_growth.ts";

const GIB = 2 ** 30;

Deno.test("scripts wait until cloud-init has given the root file system its whole disk", async () => {
  await using guest = await fakeGuest();
  const wait = rootGrowthWait("", guest.places);
  assert.match(await wait.look() ?? "", /has not grown/);
  await guest.partition(20 * GIB - 2 ** 20);
  assert.match(await wait.look() ?? "", /has not grown/, "the partition alone is not the room");
  guest.fileSystem = 19.6 * GIB;
  assert.equal(await wait.look(), undefined);
});

Deno.test("nothing is waited for that will not come", async (t) => {
  await using guest = await fakeGuest();
  const looks = () => rootGrowthWait("", guest.places).look();
  await t.step("cloud-init's stage is over, whatever it did", async () => {
    assert.match(await looks() ?? "", /has not grown/);
    await guest.status({ v1: { init: { finished: null } } });
    assert.match(await looks() ?? "", /has not grown/);
    await guest.status({ v1: { init: { finished: 1764286775.5 } } });
    assert.equal(await looks(), undefined);
    await Deno.remove(`${guest.places.cloudInit}/status.json`);
  });
  await t.step("no cloud-init in this boot", async () => {
    await Deno.remove(`${guest.places.cloudInit}/enabled`);
    assert.equal(await looks(), undefined);
    await Deno.writeTextFile(`${guest.places.cloudInit}/enabled`, "");
  });
  await t.step("a root that is no partition of a disk", async () => {
    for (const source of ["/dev/mapper/vg-root", "overlay"]) {
      const places = { ...guest.places, source: () => Promise.resolve(source) };
      assert.equal(await rootGrowthWait("", places).look(), undefined, source);
    }
  });
  await t.step("a small file system that was whole from the beginning", async () => {
    await guest.partition(20 * GIB - 2 ** 20);
    guest.fileSystem = GIB;
    assert.equal(await looks(), undefined);
  });
});

/** A guest's disk of 20 GiB whose root partition has two of them, in files as the kernel shows it. */
async function fakeGuest() {
  const folder = await Deno.makeTempDir({ prefix: "rum-growth-" });
  const disk = `${folder}/devices/vda`;
  await Deno.mkdir(`${disk}/vda1`, { recursive: true });
  for (const name of ["blocks", "cloud-init"]) await Deno.mkdir(`${folder}/${name}`);
  await Deno.symlink(`${disk}/vda1`, `${folder}/blocks/vda1`);
  await Deno.writeTextFile(`${disk}/size`, `${20 * GIB / 512}\n`);
  await Deno.writeTextFile(`${disk}/vda1/start`, "2048\n");
  await Deno.writeTextFile(`${folder}/cloud-init/enabled`, "");
  const guest = {
    fileSystem: 2 * GIB,
    places: {
      cloudInit: `${folder}/cloud-init`,
      blocks: `${folder}/blocks`,
      source: () => Promise.resolve("/dev/vda1"),
      bytes: () => Promise.resolve(guest.fileSystem),
    },
    partition: (bytes: number) =>
      Deno.writeTextFile(`${disk}/vda1/size`, `${Math.floor(bytes / 512)}\n`),
    status: (told: unknown) =>
      Deno.writeTextFile(`${folder}/cloud-init/status.json`, JSON.stringify(told)),
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
  await guest.partition(2 * GIB);
  return guest;
}
