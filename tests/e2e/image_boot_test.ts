/**
 * The image that `rum image build debian-12` makes, booted as anybody would: plain QEMU and SeaBIOS,
 * an ordinary NoCloud seed by genisoimage, OpenSSH. Nothing of rum runs here but the build.
 *
 * In the default suite it boots the image that the shared test cache holds; where that has none, it
 * is built first with FULL=1 and the test is skipped without.
 */
import assert from "node:assert/strict";
import { rumPaths } from "../../src/plan/paths.ts";
import { buildImage } from "../../src/store/image_build.ts";
import { listImages } from "../../src/store/image_cache.ts";
import { sharedCache } from "../support/rum.ts";

const FULL = Deno.env.get("FULL") === "1";
const BOOTS = FULL ? 5 : 1;
/** Single boots under emulation vary twofold, and the machine may be busy. */
const DEADLINE_MS = 240_000;

const paths = rumPaths({ uid: Deno.uid() ?? 0, home: "/", xdgCacheHome: sharedCache() });

async function builtImage(): Promise<string | undefined> {
  const images = await listImages(paths);
  const built = images.find((image) =>
    image.sources.some((source) => source.source === "built:debian-12/x86_64")
  );
  if (built !== undefined) return built.path;
  return FULL ? (await buildImage({ name: "debian-12", arch: "x86_64", paths })).path : undefined;
}

async function run(program: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args }).output();
  assert.ok(success, `${program}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

async function seed(folder: string, key: string): Promise<string> {
  const user = { name: "ada", sudo: "ALL=(ALL) NOPASSWD:ALL", ssh_authorized_keys: [key] };
  // JSON is YAML: this seed is written without any of rum's own code.
  await Deno.writeTextFile(
    `${folder}/user-data`,
    `#cloud-config\n${JSON.stringify({ users: [user] })}`,
  );
  await Deno.writeTextFile(`${folder}/meta-data`, "instance-id: i-1\nlocal-hostname: lovelace\n");
  const iso = `${folder}/seed.iso`;
  await run(
    ...["genisoimage", "-quiet", "-V", "cidata", "-J", "-R", "-o", iso] as [string, ...string[]],
    `${folder}/user-data`,
    `${folder}/meta-data`,
  );
  return iso;
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Boots, answers with the milliseconds until ssh worked and what `script` printed, powers off. */
async function boot(image: string, script: string): Promise<{ sshMs: number; said: string }> {
  const folder = await Deno.makeTempDir({ prefix: "rum-boot-" });
  try {
    await run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", `${folder}/key`);
    const iso = await seed(folder, (await Deno.readTextFile(`${folder}/key.pub`)).trim());
    const disk = `${folder}/disk.qcow2`;
    await run("qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "qcow2", disk, "10G");
    const port = freePort();
    const begun = performance.now();
    const qemu = new Deno.Command("qemu-system-x86_64", {
      args: [
        ...["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024"],
        ...["-display", "none", "-serial", `file:${folder}/serial`],
        ...["-drive", `file=${disk},if=virtio,format=qcow2`],
        ...["-drive", `file=${iso},if=virtio,format=raw,readonly=on`],
        ...["-netdev", `user,id=n,hostfwd=tcp:127.0.0.1:${port}-:22`],
        ...[
          "-device",
          "virtio-net-pci,netdev=n",
          "-device",
          "virtio-rng-pci",
          "-device",
          "pvpanic",
        ],
      ],
      stdin: "null",
    }).spawn();
    let off = false;
    const ended = qemu.status.then(() => off = true);
    const ssh = async (command: string) => {
      const options = [
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "ConnectTimeout=5",
      ];
      const { success, stdout } = await new Deno.Command("ssh", {
        args: [
          ...["-q", "-i", `${folder}/key`, "-p", String(port)],
          ...options.flatMap((option) => ["-o", option]),
          "ada@127.0.0.1",
          command,
        ],
        stdin: "null",
      }).output();
      return success ? new TextDecoder().decode(stdout) : undefined;
    };
    try {
      while (await ssh("true") === undefined) {
        const late = performance.now() - begun >= DEADLINE_MS;
        if (off || late) {
          const tail = (await Deno.readTextFile(`${folder}/serial`).catch(() => "")).slice(-2000);
          assert.fail(`${off ? "QEMU ended" : "no answer"} before ssh; console: ${tail}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 300));
      }
      const sshMs = performance.now() - begun;
      const said = await ssh(script);
      assert.ok(said !== undefined, "the script failed");
      await ssh("sudo systemctl poweroff");
      const timer = setTimeout(() => qemu.kill("SIGKILL"), 60_000);
      await ended;
      clearTimeout(timer);
      assert.equal((await qemu.status).signal, null, "the guest did not power off by itself");
      return { sshMs, said };
    } finally {
      if (!off) qemu.kill("SIGKILL");
      await ended;
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const CHECKS = `
cloud-init status --wait >/dev/null
echo failed=$(systemctl list-units --failed --no-legend | wc -l)
echo hostname=$(hostname)
echo keys=$(ls /etc/ssh/ssh_host_*_key | tr '\\n' ' ')
echo machine-id=$(wc -c < /etc/machine-id)
echo root-gib=$(df --output=size -BG / | tail -1 | tr -dc 0-9)
echo resolved=$(systemctl is-active systemd-resolved) $(readlink /etc/resolv.conf)
echo logind=$(systemctl is-active systemd-logind)
echo sudo=$(sudo id -u)
echo panic=$(lsmod | grep -c '^pvpanic')
echo apt=$(sudo apt-get check >/dev/null 2>&1 && echo ok)
`;

const image = await builtImage();

Deno.test({
  name: `the built debian-12 boots with an ordinary NoCloud seed and answers ssh (${BOOTS} boots)`,
  ignore: image === undefined,
  async fn() {
    const times: number[] = [];
    for (let i = 0; i < BOOTS; i++) {
      const { sshMs, said } = await boot(image!, CHECKS);
      times.push(Math.round(sshMs / 100) / 10);
      const facts = Object.fromEntries(
        said.trim().split("\n").map((
          line,
        ) => [line.split("=")[0], line.slice(line.indexOf("=") + 1)]),
      );
      assert.equal(facts.failed, "0", said);
      assert.equal(facts.hostname, "lovelace");
      assert.equal(facts.keys.trim(), "/etc/ssh/ssh_host_ed25519_key");
      assert.equal(facts["machine-id"], "33");
      assert.ok(Number(facts["root-gib"]) >= 9, `the root file system did not grow: ${said}`);
      assert.match(facts.resolved, /^active .*stub-resolv\.conf$/);
      assert.equal(facts.logind, "active");
      assert.equal(facts.sudo, "0");
      assert.notEqual(facts.panic, "0");
      assert.equal(facts.apt, "ok");
    }
    console.log(`start to ssh: ${times.join(", ")} s`);
  },
});
