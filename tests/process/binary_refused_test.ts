/** Where the self-extracting file will not unpack, and what it says then. Needs root. */
import assert from "node:assert/strict";
import { type Packed, packed } from "../support/packed.ts";

const ELSEWHERE: readonly { readonly what: string; readonly arrange: (rum: Packed) => string }[] = [
  { what: "a read-only home", arrange: (rum) => `chown root:root ${rum.home}` },
  {
    what: "a cache folder on a read-only file system",
    arrange: (rum) => `mkdir -p ${rum.base}; mount -t tmpfs -o ro tmpfs ${rum.base}`,
  },
  {
    what: "a cache folder on a file system without programs",
    arrange: (rum) =>
      `mkdir -p ${rum.base}; mount -t tmpfs -o noexec,mode=0700,uid=${rum.uid} tmpfs ${rum.base}`,
  },
  {
    what: "a cache folder that belongs to somebody else",
    arrange: (rum) =>
      `mkdir -p ${rum.base}; chown -R 65534 ${rum.home}/.cache; chmod 777 ${rum.base}`,
  },
  {
    what: "a folder above that belongs to somebody else",
    arrange: (rum) =>
      `mkdir -p ${rum.base}; chown -R ${rum.uid} ${rum.home}; chown 65534 ${rum.home}/.cache`,
  },
  {
    what: "a cache folder that others may write",
    arrange: (rum) =>
      `mkdir -p ${rum.base}; chown -R ${rum.uid} ${rum.home}; chmod 777 ${rum.base}`,
  },
  {
    what: "a link in the cache folder's place",
    arrange: (rum) =>
      `mkdir -p ${rum.home}/x ${rum.base}; rmdir ${rum.base}; ln -s ../../x ${rum.base}; ` +
      `chown -R ${rum.uid} ${rum.home}`,
  },
];

for (const { what, arrange } of ELSEWHERE) {
  Deno.test(`it unpacks below /tmp, in a folder of its own, instead of into ${what}`, async () => {
    await using rum = await packed();
    const before = arrange(rum);
    const first = await rum.run([], { before });
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.facts.folder, new RegExp(`^/tmp/rum-${rum.uid}/bin/[0-9a-f]{64}$`));
    assert.equal((await Deno.stat(`/tmp/rum-${rum.uid}`)).mode! & 0o777, 0o700);
    const { ino } = await Deno.stat(first.facts.folder);
    await rum.run([], { before });
    assert.equal((await Deno.stat(first.facts.folder)).ino, ino, "unpacked twice");
  });
}

interface Refusal {
  readonly what: string;
  readonly says: RegExp;
  readonly before?: (rum: Packed) => string;
  readonly env?: (rum: Packed) => Record<string, string>;
  readonly change?: (rum: Packed) => Promise<void>;
}

const REFUSALS: readonly Refusal[] = [
  {
    what: "somebody else's folder below /tmp",
    says: /\/tmp\/rum-\d+\/bin (belongs to another user|cannot be made).*RUM_UNPACK_DIR/,
    before: (rum) =>
      `chown 0 ${rum.home}; mkdir -p /tmp/rum-${rum.uid}/bin; chmod 777 /tmp/rum-${rum.uid}/bin`,
  },
  {
    what: "a link below /tmp",
    says: /\/tmp\/rum-\d+\/bin (belongs to another user|cannot be)/,
    before: (rum) =>
      `chown 0 ${rum.home}; mkdir -p ${rum.folder}/trap/bin; chmod -R 777 ${rum.folder}/trap; ` +
      `ln -sfn ${rum.folder}/trap /tmp/rum-${rum.uid}`,
  },
  {
    what: "a changed payload",
    says: /rum is damaged \(its payload hashes to [0-9a-f]{64}, wanted [0-9a-f]{64}\)/,
    async change(rum) {
      using file = await Deno.open(rum.file, { write: true });
      await file.seek(-100, Deno.SeekMode.End);
      await file.write(new Uint8Array([1, 2, 3]));
    },
  },
  {
    what: "a truncated file",
    says: /rum is damaged/,
    change: async (rum) => await Deno.truncate(rum.file, (await Deno.stat(rum.file)).size - 1000),
  },
  {
    what: "a full disk",
    says: /is there room for/,
    before: (rum) =>
      `mkdir -p ${rum.base}; mount -t tmpfs -o size=32k,mode=0700,uid=${rum.uid} tmpfs ${rum.base}`,
  },
  {
    what: "a relative RUM_UNPACK_DIR",
    says: /RUM_UNPACK_DIR is "here", wanted an absolute path/,
    env: () => ({ RUM_UNPACK_DIR: "here" }),
  },
  {
    what: "a RUM_UNPACK_DIR of somebody else, without looking elsewhere",
    says: /elsewhere belongs to another user/,
    before: (rum) => `mkdir ${rum.folder}/elsewhere; chmod 777 ${rum.folder}/elsewhere`,
    env: (rum) => ({ RUM_UNPACK_DIR: `${rum.folder}/elsewhere` }),
  },
];

for (const { what, says, before, env, change } of REFUSALS) {
  Deno.test(`it refuses, with one sentence and exit 12: ${what}`, async () => {
    await using rum = await packed();
    await change?.(rum);
    const options = { before: before?.(rum), env: env?.(rum) };
    const plain = await rum.run(["status"], options);
    assert.equal(plain.code, 12, plain.stdout + plain.stderr);
    assert.equal(plain.stdout, "");
    assert.match(plain.stderr, says);
    assert.match(plain.stderr, /^error: [^\n]+\n$/);
    await Deno.remove(`${rum.folder}/elsewhere`, { recursive: true }).catch(() => {});

    const json = await rum.run(["status", "-o", "json"], options);
    const document = JSON.parse(json.stderr);
    assert.deepEqual(
      [json.code, document.v, document.type, document.code, document.exit],
      [12, 1, "error", "host_prerequisite", 12],
    );
    assert.match(document.message, says);
    const left = await Array.fromAsync(Deno.readDir(rum.base)).catch(() => []);
    assert.deepEqual(left.filter((entry) => entry.name !== ".lock"), []);
  });
}

Deno.test("RUM_UNPACK_DIR names another place, and root's own folder is fine for root", async () => {
  await using rum = await packed();
  const place = `${rum.folder}/own`;
  const said = await rum.run([], { uid: 0, env: { RUM_UNPACK_DIR: place } });
  assert.equal(said.code, 0, said.stderr);
  assert.ok(said.facts.folder.startsWith(`${place}/`), said.facts.folder);
});

Deno.test("root does not unpack into an ordinary user's cache folder", async () => {
  await using rum = await packed();
  const cache = `${rum.home}/.cache`;
  await Deno.mkdir(cache);
  await Deno.chown(cache, rum.uid, rum.uid);
  const said = await rum.run([], {
    uid: 0,
    env: { XDG_CACHE_HOME: cache },
    // The real one of this host stays as it is.
    before: "mount -t tmpfs tmpfs /tmp && mkdir -p /tmp",
    file: undefined,
  });
  assert.ok(!said.facts.folder?.startsWith(cache), `${said.facts.folder} ${said.stderr}`);
});
