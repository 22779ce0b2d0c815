import assert from "node:assert/strict";
import { AGENT_UNIT, BOOT_SCRIPT, START_SCRIPT } from "../../../src/cloudinit/boot_script.ts";
import { makeSeed, type SeedOptions } from "../../../src/cloudinit/seed.ts";
import { makePlan } from "../../../src/plan/plan.ts";
import type { Plan } from "../../../src/plan/types.ts";
import { withFolder } from "../../support/folder.ts";
import { richConfig, richFacts } from "../plan/sample.ts";

const plan = makePlan(richConfig(), richFacts());
const options: SeedOptions = {
  open: () => Promise.resolve(ReadableStream.from([new Uint8Array(3)])),
  machineKey: "ssh-ed25519 AAAAmachine rum\n",
  token: "0".repeat(64),
};

Deno.test("seed: these files and modes, and the token readable by root alone", async () => {
  const { files } = await makeSeed(plan, options);
  assert.deepEqual(files.map((f) => `${f.name} ${f.mode.toString(8)}`), [
    "meta-data 644",
    "user-data 644",
    "network-config 644",
    "rum-agent.digest 644",
    "rum-agent.service 644",
    "rum-boot.sh 644",
    "rum-start.sh 644",
    "rum-agent 755",
    "token 600",
  ]);
});

Deno.test("seed: no script of rum.toml, no service's environment and no password is on it", async () => {
  const { files } = await makeSeed(plan, options);
  const text = files.map((f) =>
    f.content instanceof Uint8Array ? new TextDecoder().decode(f.content) : ""
  ).join("\n");
  for (const secret of ["apt-get", "hunter2", "nginx"]) assert.ok(!text.includes(secret));
  assert.ok(text.includes("AAAAmachine"));
});

const changes: [string, Partial<Plan>, Partial<SeedOptions>, boolean][] = [
  ["nothing", {}, {}, true],
  ["the token", {}, { token: "1".repeat(64) }, true],
  ["memory, ports, scripts", { memoryBytes: 1, ports: [], scripts: [] }, {}, true],
  ["the hostname", { hostname: "other" }, {}, false],
  ["a key", { ssh: { ...plan.ssh, authorizedKeys: [] } }, {}, false],
  ["the machine's key", {}, { machineKey: "ssh-ed25519 other" }, false],
  ["the agent", { agent: { ...plan.agent, digest: "b".repeat(64) } }, {}, false],
  ["autologin", { autologin: true }, {}, false],
  ["no cards", { nics: [] }, {}, false],
];
for (const [name, planChange, optionChange, same] of changes) {
  Deno.test(`seed hash ${same ? "stays" : "changes"} when ${name} changed`, async () => {
    const before = await makeSeed(plan, options);
    const after = await makeSeed({ ...plan, ...planChange }, { ...options, ...optionChange });
    assert.equal(after.hash === before.hash, same);
    assert.match(after.hash, /^[0-9a-f]{16}$/);
  });
}

Deno.test("rum-boot.sh installs once, then changes nothing, and starts the unit without waiting", async () => {
  await withFolder(async (root) => {
    const guest = await fakeGuest(root);
    await guest.sh(BOOT_SCRIPT);
    const unit = `${root}/etc/systemd/system/rum-agent.service`;
    assert.equal(await Deno.readTextFile(unit), AGENT_UNIT);
    assert.equal((await Deno.stat(`${root}/lib/agent/start`)).mode! & 0o777, 0o755);
    const wanted = `${root}/etc/systemd/system/multi-user.target.wants/rum-agent.service`;
    assert.equal(await Deno.readLink(wanted), "../rum-agent.service");
    await guest.sh(BOOT_SCRIPT);
    await Deno.writeTextFile(`${root}/seed/rum-autologin.conf`, "[Service]\n");
    await guest.sh(BOOT_SCRIPT);
    const autologin = `${root}/etc/systemd/system/serial-getty@.service.d/rum-autologin.conf`;
    await Deno.stat(autologin);
    await Deno.remove(`${root}/seed/rum-autologin.conf`);
    await guest.sh(BOOT_SCRIPT);
    await assert.rejects(Deno.stat(autologin), Deno.errors.NotFound);
    await Deno.writeTextFile(`${root}/seed/rum-agent.service`, `${AGENT_UNIT}# of a later rum\n`);
    await guest.sh(BOOT_SCRIPT);
    const start = "start --no-block rum-agent.service";
    const reloaded = ["daemon-reload", start];
    assert.deepEqual(await guest.systemctlCalls(), [
      // A new unit, no change, autologin wanted, no longer wanted, another unit.
      start,
      start,
      ...reloaded,
      ...reloaded,
      ...reloaded,
    ]);
  });
});

Deno.test("rum-boot.sh reloads where systemd does not find the new unit by itself", async () => {
  await withFolder(async (root) => {
    const guest = await fakeGuest(root);
    await Deno.writeTextFile(
      `${root}/bin/systemctl`,
      `#!/bin/sh\necho "$*" >> ${root}/calls\n` +
        `[ "$1" = daemon-reload ] || grep -q daemon-reload ${root}/calls\n`,
    );
    await guest.sh(BOOT_SCRIPT);
    const start = "start --no-block rum-agent.service";
    assert.deepEqual(await guest.systemctlCalls(), [start, "daemon-reload", start]);
  });
});

Deno.test("rum-boot.sh gives later boots their network first, where the first one had it last", async () => {
  for (const [base, early] of [["debian-12", true], ["fedora-43", false]] as const) {
    await withFolder(async (root) => {
      const guest = await fakeGuest(root, base);
      await guest.sh(BOOT_SCRIPT);
      await guest.sh(BOOT_SCRIPT);
      const folder = `${root}/cloud/seed/nocloud`;
      if (!early) return await assert.rejects(Deno.stat(folder), Deno.errors.NotFound);
      assert.equal(await Deno.readTextFile(`${folder}/meta-data`), "dsmode: net\n");
      // An instance-id there would be another machine's, or stop cloud-init from reading the seed.
      assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name).toSorted(), [
        "meta-data",
        "user-data",
      ]);
    });
  }
});

Deno.test("rum-start.sh becomes the kept agent, else the seed's, else says that there is none", async () => {
  await withFolder(async (root) => {
    const guest = await fakeGuest(root);
    assert.match(await guest.sh(START_SCRIPT, 1), /no agent/);
    const agent = (name: string) => `#!/bin/sh\necho ${name}\n`;
    await Deno.writeTextFile(`${root}/seed/rum-agent`, agent("from the seed"), { mode: 0o755 });
    assert.equal(await guest.sh(START_SCRIPT), "from the seed\n");
    await Deno.mkdir(`${root}/lib/agent`, { recursive: true });
    await Deno.writeTextFile(`${root}/lib/agent/current`, agent("kept"), { mode: 0o755 });
    assert.equal(await guest.sh(START_SCRIPT), "kept\n");
  });
});

/** The scripts' fixed places moved below a folder, and a systemctl that writes down its calls. */
async function fakeGuest(root: string, base = plan.image.base) {
  for (const folder of ["seed", "bin"]) await Deno.mkdir(`${root}/${folder}`);
  const { files } = await makeSeed({ ...plan, image: { ...plan.image, base } }, options);
  for (const { name, content } of files) {
    if (name !== "rum-agent") {
      await Deno.writeFile(`${root}/seed/${name}`, content as Uint8Array);
    }
  }
  await Deno.writeTextFile(
    `${root}/bin/systemctl`,
    `#!/bin/sh\necho "$*" >> ${root}/calls\n`,
    { mode: 0o755 },
  );
  return {
    async sh(script: string, wantedCode = 0): Promise<string> {
      const moved = script.replaceAll("/run/rum/seed", `${root}/seed`)
        .replaceAll("/etc/systemd", `${root}/etc/systemd`).replaceAll(
          "/var/lib/rum",
          `${root}/lib`,
        ).replaceAll("/var/lib/cloud", `${root}/cloud`);
      const { code, stdout, stderr } = await new Deno.Command("sh", {
        args: ["-c", moved],
        env: { PATH: `${root}/bin:/usr/bin:/bin` },
      }).output();
      const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
      assert.equal(code, wantedCode, text);
      return text;
    },
    async systemctlCalls(): Promise<string[]> {
      return (await Deno.readTextFile(`${root}/calls`)).trim().split("\n");
    },
  };
}
