import assert from "node:assert/strict";
import {
  AGENT_UNIT,
  BOOT_SCRIPT,
  BOOT_UNIT,
  GENERATOR_SCRIPT,
  START_SCRIPT,
} from "../../../src/cloudinit/boot_script.ts";
import { makeSeed, type SeedOptions } from "../../../src/cloudinit/seed.ts";
import { makePlan } from "../../../src/plan/plan.ts";
import type { Plan } from "../../../src/plan/types.ts";
import { withFolder } from "../../support/folder.ts";
import { richConfig, richFacts } from "../plan/sample.ts";

const plan = makePlan(richConfig(), richFacts());
const options: SeedOptions = {
  open: () => ReadableStream.from([new Uint8Array(3)]),
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
    "rum-generator 644",
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
    // bootcmd after rum-boot.service, in one boot; then another boot.
    await guest.sh(BOOT_SCRIPT);
    assert.equal((await guest.systemctlCalls()).length, 1);
    await guest.reboot();
    await Deno.writeTextFile(`${root}/run/seed/rum-autologin.conf`, "[Service]\n");
    await guest.reboot();
    const autologin = `${root}/etc/systemd/system/serial-getty@.service.d/rum-autologin.conf`;
    await Deno.stat(autologin);
    await Deno.remove(`${root}/run/seed/rum-autologin.conf`);
    await guest.reboot();
    await assert.rejects(Deno.stat(autologin), Deno.errors.NotFound);
    await Deno.writeTextFile(
      `${root}/run/seed/rum-agent.service`,
      `${AGENT_UNIT}# of a later rum\n`,
    );
    await guest.reboot();
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
      // A guest that is killed at once may have the file without its word.
      if (early) await Deno.truncate(`${root}/cloud/seed/nocloud/meta-data`);
      await guest.reboot();
      const folder = `${root}/cloud/seed/nocloud`;
      const generator = `${root}/etc/systemd/system-generators/rum-network-first`;
      if (!early) {
        for (const path of [folder, generator]) {
          await assert.rejects(Deno.stat(path), Deno.errors.NotFound);
        }
        return;
      }
      assert.equal((await Deno.stat(generator)).mode! & 0o777, 0o755);
      assert.equal(await Deno.readTextFile(`${folder}/meta-data`), "dsmode: net\n");
      // An instance-id there would be another machine's, or stop cloud-init from reading the seed.
      assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name).toSorted(), [
        "meta-data",
        "user-data",
      ]);
    });
  }
});

Deno.test("the generator lets the network of a later boot come before cloud-init, else leaves all as it is", async () => {
  await withFolder(async (root) => {
    const guest = await fakeGuest(root);
    const put = async (path: string, text = "") => {
      await Deno.mkdir(`${root}${path.slice(0, path.lastIndexOf("/"))}`, { recursive: true });
      await Deno.writeTextFile(root + path, text);
    };
    const local = "cloud-init-local.service";
    const made = `${root}/early/${local}`;
    const generate = async () => {
      await Deno.remove(`${root}/early`, { recursive: true }).catch(() => {});
      await Deno.mkdir(`${root}/early`);
      await guest.sh(`set -- ${root}/normal ${root}/early ${root}/late\n${GENERATOR_SCRIPT}`);
      return await Deno.readTextFile(made).catch(() => undefined);
    };
    await put(
      `/usr/lib/systemd/system/${local}`,
      "[Unit]\nDescription=first stage\nWants=network-pre.target\nAfter=systemd-remount-fs.service\n" +
        "Before=NetworkManager.service\nBefore=network-pre.target\nBefore=sysinit.target\n" +
        "[Service]\nExecStart=/usr/bin/cloud-init init --local\n",
    );
    await put("/cloud/instance/sem/config_ssh.once");
    assert.equal(await generate(), undefined, "networkd is not what makes the network here");
    await Deno.mkdir(`${root}/etc/systemd/system/multi-user.target.wants`, { recursive: true });
    await Deno.symlink(
      "/usr/lib/systemd/system/systemd-networkd.service",
      `${root}/etc/systemd/system/multi-user.target.wants/systemd-networkd.service`,
    );
    assert.equal(
      await generate(),
      "[Unit]\nAfter=systemd-networkd.service\nDescription=first stage\nWants=\n" +
        "After=systemd-remount-fs.service\nBefore=NetworkManager.service\nBefore=\n" +
        "Before=sysinit.target\n[Service]\nExecStart=/usr/bin/cloud-init init --local\n",
    );
    assert.equal(
      await Deno.readTextFile(`${root}/early/rum-agent.service.d/rum.conf`),
      "[Service]\nStartupCPUWeight=1000\n",
    );
    await put(`/etc/systemd/system/${local}.d/theirs.conf`);
    assert.equal(await generate(), undefined, "somebody changed the unit");
    await Deno.remove(`${root}/etc/systemd/system/${local}.d`, { recursive: true });
    await put("/usr/lib/systemd/system/cloud-init-main.service");
    assert.equal(await generate(), undefined, "a cloud-init that minds");
    await Deno.remove(`${root}/usr/lib/systemd/system/cloud-init-main.service`);
    await Deno.remove(`${root}/cloud/instance/sem/config_ssh.once`);
    assert.equal(await generate(), undefined, "cloud-init has not come to its modules yet");
  });
});

Deno.test("rum-boot.service leaves a machine alone that has no seed, or somebody else's", async () => {
  const command = /ExecStart=\/bin\/sh -c '([^']+)'/.exec(BOOT_UNIT)![1]
    .replaceAll("\\\n", "").replaceAll("$$", "$");
  await withFolder(async (root) => {
    const guest = await fakeGuest(root);
    const program = (name: string, text: string) =>
      Deno.writeTextFile(`${root}/bin/${name}`, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    await program("umount", `echo umount "$@" >> ${root}/calls`);
    await program("mount", "exit 1");
    await guest.sh(command);
    assert.deepEqual(await guest.systemctlCalls(), ["start --no-block rum-agent.service"]);
    await Deno.remove(`${root}/run`, { recursive: true });
    await guest.sh(command);
    await program("mount", `for at; do :; done; echo > "$at/meta-data"`);
    await guest.sh(command);
    assert.deepEqual((await guest.systemctlCalls()).slice(1), [`umount ${root}/run/seed`]);
  });
});

Deno.test("rum-start.sh becomes the kept agent, else the seed's, else says that there is none", async () => {
  await withFolder(async (root) => {
    const guest = await fakeGuest(root);
    assert.match(await guest.sh(START_SCRIPT, 1), /no agent/);
    const agent = (name: string) => `#!/bin/sh\necho ${name}\n`;
    await Deno.writeTextFile(`${root}/run/seed/rum-agent`, agent("from the seed"), { mode: 0o755 });
    assert.equal(await guest.sh(START_SCRIPT), "from the seed\n");
    await Deno.mkdir(`${root}/lib/agent`, { recursive: true });
    await Deno.writeTextFile(`${root}/lib/agent/current`, agent("kept"), { mode: 0o755 });
    assert.equal(await guest.sh(START_SCRIPT), "kept\n");
  });
});

/** The scripts' fixed places moved below a folder, and a systemctl that writes down its calls. */
async function fakeGuest(root: string, base = plan.image.base) {
  const moved = (script: string) =>
    script.replaceAll("/run/rum", `${root}/run`)
      .replaceAll("/etc/systemd", `${root}/etc/systemd`)
      .replaceAll("/var/lib/rum", `${root}/lib`)
      .replaceAll("/var/lib/cloud", `${root}/cloud`)
      .replaceAll("/usr/lib/systemd", `${root}/usr/lib/systemd`);
  for (const folder of ["run/seed", "bin"]) {
    await Deno.mkdir(`${root}/${folder}`, { recursive: true });
  }
  const { files } = await makeSeed({ ...plan, image: { ...plan.image, base } }, options);
  for (const { name, content } of files) {
    if (name !== "rum-agent") {
      const text = new TextDecoder().decode(content as Uint8Array);
      const path = `${root}/run/seed/${name}`;
      await Deno.writeTextFile(path, name === "rum-boot.sh" ? moved(text) : text);
    }
  }
  await Deno.writeTextFile(
    `${root}/bin/systemctl`,
    `#!/bin/sh\necho "$*" >> ${root}/calls\n`,
    { mode: 0o755 },
  );
  return {
    async sh(script: string, wantedCode = 0): Promise<string> {
      const { code, stdout, stderr } = await new Deno.Command("sh", {
        args: ["-c", moved(script)],
        env: { PATH: `${root}/bin:/usr/bin:/bin` },
      }).output();
      const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
      assert.equal(code, wantedCode, text);
      return text;
    },
    /** The same script in another boot. */
    async reboot(): Promise<void> {
      await Deno.remove(`${root}/run/boot-done`);
      await this.sh(BOOT_SCRIPT);
    },
    async systemctlCalls(): Promise<string[]> {
      return (await Deno.readTextFile(`${root}/calls`)).trim().split("\n");
    },
  };
}
