import assert from "node:assert/strict";
import fc from "fast-check";
import {
  bridgeName,
  driveSerial,
  identityOf,
  machineId,
  machineUuid,
  macOf,
  networkName,
} from "../../../src/plan/identity.ts";

Deno.test("identity depends on the config path and on nothing else, and never changes", () => {
  // Fixed for ever: a released rum must find the machines of an older one.
  assert.deepEqual(identityOf("/home/ann/shop/rum.toml"), {
    id: "00b779d4",
    uuid: "72709c21-2e14-5f09-bba8-8df1f477a435",
  });
});

Deno.test("uuidOf gives RFC 9562 version 5 UUIDs, one for each path", () => {
  fc.assert(fc.property(fc.string(), fc.string(), (a, b) => {
    const uuid = identityOf(a).uuid;
    assert.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(uuid === identityOf(b).uuid, a === b);
  }));
});

Deno.test("machineUuid of a path's next id is another one, and of its first the one it always had", () => {
  const path = "/home/ann/shop/rum.toml";
  const ids = [0, 1, 2].map((n) => machineId(path, n));
  assert.equal(new Set(ids).size, 3);
  const uuids = ids.map((id) => machineUuid(path, id));
  assert.equal(uuids[0], identityOf(path).uuid);
  assert.equal(new Set(uuids).size, 3);
});

Deno.test("macOf stays in QEMU's prefix, unicast, and differs from card to card", () => {
  fc.assert(fc.property(fc.string(), (path) => {
    const { id } = identityOf(path);
    const macs = Array.from({ length: 8 }, (_, i) => macOf(id, i));
    for (const mac of macs) assert.match(mac, /^52:54:00(:[0-9a-f]{2}){3}$/);
    assert.equal(new Set(macs).size, macs.length);
  }));
});

Deno.test("driveSerial fits the 20 bytes of virtio and keeps long names apart", () => {
  assert.equal(driveSerial("data"), "rum-data");
  const name = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,62}$/);
  fc.assert(fc.property(name, name, (a, b) => {
    assert.ok(driveSerial(a).length <= 20);
    assert.equal(driveSerial(a) === driveSerial(b), a === b);
  }));
});

Deno.test("bridgeName fits an interface name of the host", () => {
  assert.ok(bridgeName("01234567", 99).length <= 15);
  assert.equal(networkName("01234567", "nat"), "rum-01234567-nat");
});
