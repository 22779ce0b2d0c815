/** What is a mistake in rum.toml, and where it is said to be. */
import assert from "node:assert/strict";
import { renderDiagnostics } from "../../../src/config/render.ts";
import { BASE, check, good, places, PROJECT } from "./fake_reader.ts";

const IMAGE = '[image]\nbase = "debian-12"\n';

/** Text (after a good [image], which takes lines 1 and 2) → diagnostics. */
const MISTAKES: readonly (readonly [name: string, text: string, ...wanted: string[]])[] = [
  ["an unknown table", "[imgae]\n", "3:2 unknown_key imgae"],
  [
    "an unknown key in an inline table",
    "resources = { cpu = 1 }",
    "3:1 unknown_key image.resources",
  ],
  [
    "every unknown key of one table",
    "[user]\na=1\nb=2\nc=3",
    "4:1 unknown_key user.a",
    "5:1 unknown_key user.b",
    "6:1 unknown_key user.c",
  ],
  ["a key named as Object's own", "[user]\nconstructor = 1", "4:1 unknown_key user.constructor"],
  [
    "a service named as Object's own",
    '[services.constructor]\ncommand=["x"]',
    "3:2 wrong_value services.constructor",
  ],
  ["a list where a table belongs", "[[resources]]", "3:3 wrong_type resources"],
  ["a date where a table belongs", "[drives]\ndata = 1979-05-27", "4:8 wrong_type drives.data"],
  [
    "a table where a list of tables belongs",
    '[mounts]\nsource="."\ntarget="/a"',
    "3:2 wrong_type mounts",
  ],
  ["a number that is not whole", "[resources]\ncpus = 1.5", "4:8 wrong_value resources.cpus"],
  ["a number that is none", "[resources]\ncpus = nan", "4:8 wrong_type resources.cpus"],
  ["infinite memory", "[resources]\nmemory = inf", "4:10 wrong_value resources.memory"],
  ["memory below 256M", '[resources]\nmemory = "255M"', "4:10 wrong_value resources.memory"],
  [
    "memory twice",
    '[resources]\nmemory = "1G"\nmemory_mb = 1024',
    "5:1 conflict resources.memory_mb",
  ],
  ["a size of another kind", "[resources]\ndisk = true", "4:8 wrong_type resources.disk"],
  ["a script without text", "[provision.system]\ntimeout='1s'", "3:2 missing_key provision.system"],
  [
    "a script twice",
    "[provision.boot]\nscript='a'\nfile='b'",
    "3:2 conflict provision.boot",
    "5:6 unreadable provision.boot.file",
  ],
  [
    "a script file that is a folder",
    "[provision.boot]\nfile='.'",
    "4:6 unreadable provision.boot.file",
  ],
  ["a mount without target", "[[mounts]]\nsource='.'", "3:3 missing_key mounts[0]"],
  [
    "a mount of nothing",
    "[[mounts]]\nsource='gone'\ntarget='/a'",
    "4:8 unreadable mounts[0].source",
  ],
  [
    "git where there is no work tree",
    "[[mounts]]\nsource='git'\ntarget='/a'",
    "4:8 unreadable mounts[0].source",
  ],
  [
    "a target over the whole guest",
    "[[mounts]]\nsource='.'\ntarget='//'",
    "5:8 wrong_value mounts[0].target",
  ],
  [
    "a target with ..",
    "[[mounts]]\nsource='.'\ntarget='/a/../b'",
    "5:8 wrong_value mounts[0].target",
  ],
  [
    "equal targets, spelled differently",
    "[[mounts]]\nsource='.'\ntarget='/a'\n[[mounts]]\nsource='.'\ntarget='/a//'",
    "8:8 conflict mounts[1].target",
  ],
  [
    "a file system around a mount",
    "[[mounts]]\nsource='.'\ntarget='/a/b'\n[drives.d]\nsize='1G'\n[[fs.xfs]]\ndrive='d'\ntarget='/a'",
    "10:8 conflict fs.xfs[0].target",
  ],
  [
    "two default mounts",
    "[[mounts]]\nsource='.'\ntarget='/a'\ndefault=true\n[[mounts]]\nsource='.'\ntarget='/b'\ndefault=true",
    "10:9 conflict mounts[1].default",
  ],
  [
    "two mounts of one tag",
    "[[mounts]]\nsource='.'\ntarget='/a'\ntag='t'\n[[mounts]]\nsource='.'\ntarget='/b'\ntag='t'",
    "10:5 conflict mounts[1].tag",
  ],
  [
    "a drive that is not defined",
    "[[fs.ext4]]\ndrive='d'\ntarget='/d'",
    "4:7 unknown_name fs.ext4[0].drive",
  ],
  [
    "a drive used twice",
    "[drives.d]\nsize='1G'\n[[fs.ext4]]\ndrive='d'\ntarget='/d'\n[[fs.zfs]]\ndrives=['d']\ntarget='/e'",
    "9:9 conflict fs.zfs[0].drives[0]",
  ],
  ["no drive", "[[fs.ext4]]\ntarget='/d'", "3:3 missing_key fs.ext4[0]"],
  [
    "several drives for ext4",
    "[drives.a]\nsize='1G'\n[drives.b]\nsize='1G'\n[[fs.ext4]]\ndrives=['a','b']\ntarget='/d'",
    "8:8 conflict fs.ext4[0].drives",
  ],
  [
    "a pool without ZFS",
    "[drives.a]\nsize='1G'\n[[fs.xfs]]\ndrive='a'\npool='p'\ntarget='/d'",
    "7:1 conflict fs.xfs[0].pool",
  ],
  ["a bad name of a drive", "[drives.Data]\nsize='1G'", "3:2 wrong_value drives.Data"],
  [
    "an interface with half an address",
    "[[network.interfaces]]\nnetwork='lab'\nip='10.0.0'",
    "5:4 wrong_value network.interfaces[0].ip",
  ],
  [
    "a loopback address on a network",
    "[[network.interfaces]]\nnetwork='lab'\nip='127.0.0.1'",
    "5:4 wrong_value network.interfaces[0].ip",
  ],
  [
    "the first address of a /24",
    "[[network.interfaces]]\nnetwork='lab'\nip='10.5.6.0'",
    "5:4 wrong_value network.interfaces[0].ip",
  ],
  [
    "the last address of a /24",
    "[[network.interfaces]]\nnetwork='lab'\nip='10.5.6.255'",
    "5:4 wrong_value network.interfaces[0].ip",
  ],
  [
    "two networks in one /24",
    "[[network.interfaces]]\nnetwork='a'\nip='10.5.6.3'\n" +
    "[[network.interfaces]]\nnetwork='b'\nip='10.5.6.4'",
    "8:4 conflict network.interfaces[1].ip",
  ],
  [
    "one network twice",
    "[[network.interfaces]]\nnetwork='lab'\n[[network.interfaces]]\nnetwork='lab'",
    "6:9 conflict network.interfaces[1].network",
  ],
  [
    "one host port twice",
    "[[ports]]\nhost=80\nguest=1\n[[ports]]\nhost=80\nguest=2",
    "7:6 conflict ports[1].host",
  ],
  [
    "a host port under a wildcard",
    "[[ports]]\nhost=80\nguest=1\nbind='0.0.0.0'\n[[ports]]\nhost=80\nguest=2",
    "8:6 conflict ports[1].host",
  ],
  [
    "a bind that is no address",
    "[[ports]]\nhost=80\nguest=1\nbind='1.2.3'",
    "6:6 wrong_value ports[0].bind",
  ],
  [
    "a host name for a bind",
    "[[ports]]\nhost=80\nguest=1\nbind='localhost'",
    "6:6 wrong_value ports[0].bind",
  ],
  [
    "automatic ports below 1024",
    "[auto_ports]\nrange='80-2000'",
    "4:7 wrong_value auto_ports.range",
  ],
  [
    "a service after itself",
    "[services.a]\ncommand=['x']\nafter=['a']",
    "5:8 conflict services.a.after[0]",
  ],
  [
    "a circle of services",
    "[services.a]\ncommand=['x']\nafter=['b']\n[services.b]\ncommand=['x']\nafter=['a']",
    "8:8 conflict services.b.after[0]",
  ],
  [
    "a service after none",
    "[services.web]\ncommand=['x']\n[services.b]\ncommand=['x']\nafter=['wbe']",
    "7:8 unknown_name services.b.after[0]",
  ],
  [
    "a health check of no kind",
    "[services.a]\ncommand=['x']\n[services.a.health]\ninterval='1s'",
    "5:2 missing_key services.a.health",
  ],
  [
    "a health check of two kinds",
    "[services.a]\ncommand=['x']\nhealth={tcp=1,http='http://x/'}",
    "5:1 conflict services.a.health",
  ],
  [
    "an unknown key in a restart table",
    "[services.a]\ncommand=['x']\n[services.a.restart]\nmaximum=3",
    "6:1 unknown_key services.a.restart.maximum",
  ],
  [
    "a restart that is neither",
    "[services.a]\ncommand=['x']\nrestart=3",
    "5:9 wrong_type services.a.restart",
  ],
  ["a hook on nothing", "[on.reday]\nexec=['x']", "3:2 wrong_value on.reday"],
  ["a command with a NUL", '[ready]\nexec=["a\\u0000"]', "4:7 wrong_value ready.exec[0]"],
  [
    "a private key",
    "[ssh]\nauthorized_keys=['-----BEGIN']",
    "4:18 wrong_value ssh.authorized_keys[0]",
  ],
  ["a tiny period", "[tasks.screenshot]\nevery='1ms'", "4:7 wrong_value tasks.screenshot.every"],
  ["a period past every timer", "[ready]\ntimeout='9999h'", "4:9 wrong_value ready.timeout"],
  [
    "a URI that is none",
    "[advanced]\nlibvirt_uri='system'",
    "4:13 wrong_value advanced.libvirt_uri",
  ],
  [
    "a URI of a hypervisor that is not QEMU",
    "[advanced]\nlibvirt_uri='xen:///system'",
    "4:13 wrong_value advanced.libvirt_uri",
  ],
  [
    "a URI of no door of QEMU's",
    "[advanced]\nlibvirt_uri='qemu:///sytem'",
    "4:13 wrong_value advanced.libvirt_uri",
  ],
  [
    "a disk and drives larger than a disk can be",
    "[resources]\ndisk='16.1T'\n[drives]\na={size='20T'}\nb={size=17592186044417}",
    "4:6 wrong_value resources.disk",
    "6:9 wrong_value drives.a.size",
    "7:9 wrong_value drives.b.size",
  ],
  ...["/var", "/var/lib/", "/run", "/var/run", "/run/rum/x", "/", "/dev"].map((target) =>
    [
      `a mount on ${target}, which hides what is the guest's own`,
      `[[mounts]]\nsource='.'\ntarget='${target}'`,
      "5:8 wrong_value mounts[0].target",
    ] as const
  ),
];

Deno.test("a file system may be as large as a disk can be, beside what is the guest's own", async () => {
  await good(
    `${IMAGE}[resources]\ndisk='16T'\n[drives.a]\nsize=17592186044416\n` +
      ["/home", "/srv", "/var/lib/docker", "/var/log", "/run/user", "/opt"]
        .map((target) => `[[mounts]]\nsource='.'\ntarget='${target}'\n`).join(""),
  );
});

Deno.test("a target that would hide the agent's folder names it", async () => {
  const result = await check(`${IMAGE}[[mounts]]\nsource='.'\ntarget='/var'`);
  assert.match(
    result.kind === "bad" ? result.diagnostics[0].message : "",
    /"\/var"; wanted a folder that does not hide the guest's own \/var\/lib\/rum/,
  );
});

for (const [name, text, ...wanted] of MISTAKES) {
  Deno.test(`config mistake: ${name}`, async () => {
    assert.deepEqual(await places(IMAGE + text), wanted);
  });
}

/** Whole files, for what is about the image or about syntax. */
const FILES: readonly (readonly [name: string, text: string, ...wanted: string[]])[] = [
  ["an empty file", "", "1:1 missing_key"],
  ["an image without base", "[image]\n", "1:2 missing_key image"],
  [
    "an image over http without a checksum",
    'image.base = "http://x/y"',
    "1:14 wrong_value image.base",
  ],
  ["a short name that is none", 'image.base = "debian-99"', "1:14 wrong_value image.base"],
  ["an image by ftp", 'image.base = "ftp://x/y"', "1:14 wrong_value image.base"],
  ["an image file that is not there", 'image.base = "./a.qcow2"', "1:14 unreadable image.base"],
  ["a bare word", "[image]\nbase = debian", "2:8 syntax"],
  [
    "two bare words and an unknown key",
    "[image]\nbase = debian\nx = 1\n[user]\nname = me",
    "2:8 syntax",
    "3:1 unknown_key image.x",
    "5:8 syntax",
  ],
  [
    "one unclosed list, told once",
    IMAGE + "[ready]\nexec = [\n 'a',\n 'b'\nport = 1\n[user]\nnmae = 'x'",
    "7:1 syntax",
    "9:1 unknown_key user.nmae",
  ],
  [
    "a broken header takes its own keys along",
    "[imag\nbase = 1\nx = 2\n[user]\nnmae = 'x'",
    "1:6 syntax",
    "5:1 unknown_key user.nmae",
  ],
  ["a table twice", IMAGE + "[image]\nsha256 = 'x'", "3:2 syntax"],
  ["mistakes behind a byte order mark", "\ufeff[image]\nbase = 1", "2:8 wrong_type image.base"],
  [
    "mistakes in a file of Windows lines",
    "[image]\r\nbase = 'debian-12'\r\nx = 1\r\n",
    "3:1 unknown_key image.x",
  ],
];

for (const [name, text, ...wanted] of FILES) {
  Deno.test(`config file: ${name}`, async () => {
    assert.deepEqual(await places(text), wanted);
  });
}

Deno.test("a known word near the wrong one is suggested, also from another table", async () => {
  const result = await check(`cpus = 2\n${IMAGE}[resources]\nmemroy = "1G"\n[[mounts]]\nsource = "."
target = "/a"\ntype = "virtiosf"\n[on.reday]\nexec = ["x"]\n`);
  assert.equal(result.kind, "bad");
  assert.deepEqual(
    result.kind === "bad" && result.diagnostics.map(({ suggestion }) => suggestion),
    ["resources.cpus", "memory", "virtiofs", "ready"],
  );
});

Deno.test("a string that ends with its line is said to be open, not to hold control characters", async () => {
  for (
    const [text, wanted] of [
      ['image.base = "debian-12\n', /not closed on this line/],
      ["image.base = 'debian-12\r\n", /not closed on this line/],
      ['image.base = "debian\u0001-12"\n', /[Cc]ontrol characters/],
    ] as const
  ) {
    const result = await check(text);
    assert.match(result.kind === "bad" ? result.diagnostics[0].message : "", wanted, text);
  }
});

Deno.test("control characters of the file never reach the terminal, and the caret stays", async () => {
  const result = await check('image.base = "debian-12"\n"\x1b[31m\u202ex" = 1\n');
  assert.equal(result.kind, "bad");
  if (result.kind !== "bad") return;
  const text = renderDiagnostics(result.diagnostics, { colour: false });
  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(text, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
});

Deno.test("defaults are those of the specification", async (t) => {
  const { config, hostKeys } = await good(IMAGE);
  assert.deepEqual(hostKeys, []);
  await t.step("name from the folder", () => assert.equal(config.name, "project"));
  assert.deepEqual(config.resources, {
    cpus: 2,
    memoryBytes: 2 * 2 ** 30,
    diskBytes: 20 * 2 ** 30,
  });
  assert.deepEqual(config.network, { nat: true, hostname: "project", interfaces: [] });
  assert.deepEqual(config.user, { name: "rum", groups: [], shell: "/bin/bash" });
  assert.deepEqual(config.ssh, { user: "rum", command: "ssh", authorizedKeys: [] });
  assert.deepEqual(config.ready, { timeoutMs: 120_000, services: true });
  assert.equal(config.recovery.onCrash, "none");
  assert.equal(config.autoPorts, undefined);
  assert.equal(config.advanced.shutdownTimeoutMs, 60_000);
  assert.equal(config.advanced.machine, "q35");
});

Deno.test("the work tree's top is found by walking up, and is canonical", async () => {
  const { config } = await good(`${IMAGE}[[mounts]]\nsource="git"\ntarget="/w"`, {
    ...BASE,
    "/home/u/.git": "gitdir: elsewhere",
  });
  assert.equal(config.mounts[0].source, "/home/u");
});

Deno.test("a script's file is read and its path kept", async () => {
  const { config } = await good(`${IMAGE}[provision.system]\nfile="s.sh"`, {
    ...BASE,
    [`${PROJECT}/s.sh`]: "echo hi\n",
  });
  assert.deepEqual(config.provision.system, {
    content: "echo hi\n",
    file: `${PROJECT}/s.sh`,
    timeoutMs: 3_600_000,
  });
});

Deno.test("a script file larger than 1 MiB is refused", async () => {
  const disk = { ...BASE, [`${PROJECT}/s.sh`]: "#".repeat(2 ** 20 + 1) };
  assert.deepEqual(await places(`${IMAGE}[provision.boot]\nfile="s.sh"`, disk), [
    "4:6 unreadable provision.boot.file",
  ]);
});

Deno.test("memory_mb is memory", async () => {
  const { config, effective } = await good(`${IMAGE}[resources]\nmemory_mb = 512`);
  assert.equal(config.resources.memoryBytes, 512 * 2 ** 20);
  assert.equal(effective.resources.memory, "512M");
});

Deno.test("one port on two addresses, in two protocols, and picked freely is no conflict", async () => {
  const port = (rest: string) => `[[ports]]\nguest=1\n${rest}\n`;
  await good(
    IMAGE + port("host=80") + port("host=80\nproto='udp'") + port("host=80\nbind='127.0.0.2'") +
      port("host=80\nbind='::1'") + port("host=0") + port("host=0"),
  );
});

Deno.test("what config show prints is a good file that means the same", async () => {
  const { stringify } = await import("smol-toml");
  const first = await good(`${IMAGE}[services.a]\ncommand=["x"]\nrestart="always"\n[[mounts]]
source="."\ntarget="/a/"\n[drives.d]\nsize=1073741824\n[[fs.btrfs]]\ndrives=["d"]\ntarget="/d"`);
  const second = await good(stringify(first.effective));
  assert.deepEqual(second.config, first.config);
});
