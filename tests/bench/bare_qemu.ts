/**
 * The peer of `rum up -d`: bare QEMU booting the same image with an ordinary NoCloud seed to its
 * first ssh answer. Nothing of rum runs here. Disk and seed are made inside the measured time, as
 * rum makes its own; keys are not.
 */
import assert from "node:assert/strict";

export interface BareOptions {
  readonly image: string;
  readonly kvm: boolean;
  readonly cpus: number;
  readonly memoryMiB: number;
}

export interface BareBoot {
  readonly totalMs: number;
  /** From the beginning, as the console and the network show them. */
  readonly phases: Readonly<Record<string, number>>;
}

const DEADLINE_MS = 300_000;

export async function bareBoot(options: BareOptions): Promise<BareBoot> {
  const folder = await Deno.makeTempDir({ prefix: "rum-bare-" });
  try {
    await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", `${folder}/key`]);
    const key = (await Deno.readTextFile(`${folder}/key.pub`)).trim();
    const user = { name: "ada", sudo: "ALL=(ALL) NOPASSWD:ALL", ssh_authorized_keys: [key] };
    const begun = performance.now();
    const phases: Record<string, number> = {};
    const mark = (phase: string) => phases[phase] ??= Math.round(performance.now() - begun);
    await Deno.writeTextFile(
      `${folder}/user-data`,
      `#cloud-config\n${JSON.stringify({ users: [user] })}`,
    );
    await Deno.writeTextFile(`${folder}/meta-data`, "instance-id: i-1\nlocal-hostname: bare\n");
    const files = [`${folder}/user-data`, `${folder}/meta-data`];
    await run("genisoimage", [
      "-quiet",
      "-V",
      "cidata",
      "-J",
      "-R",
      "-o",
      `${folder}/seed`,
      ...files,
    ]);
    const disk = `${folder}/disk`;
    await run("qemu-img", [
      ...["create", "-q", "-f", "qcow2", "-b", options.image, "-F", "qcow2", disk, "8G"],
    ]);
    mark("disk and seed made");
    const port = freePort();
    const qemu = new Deno.Command("qemu-system-x86_64", {
      args: [
        ...["-M", "q35", "-smp", String(options.cpus), "-m", String(options.memoryMiB)],
        ...(options.kvm ? ["-accel", "kvm", "-cpu", "host"] : ["-accel", "tcg", "-cpu", "max"]),
        ...["-display", "none", "-serial", `file:${folder}/serial`, "-device", "virtio-rng-pci"],
        ...["-drive", `file=${disk},if=virtio,format=qcow2`],
        ...["-drive", `file=${folder}/seed,if=virtio,format=raw,readonly=on`],
        ...["-netdev", `user,id=n,hostfwd=tcp:127.0.0.1:${port}-:22`],
        ...["-device", "virtio-net-pci,netdev=n"],
      ],
      stdin: "null",
      stdout: "null",
      stderr: "inherit",
    }).spawn();
    let off = false;
    const ended = qemu.status.then(() => off = true);
    try {
      for (;;) {
        if ((await serial(folder)).includes("Linux version")) mark("kernel");
        if (await sshAnswers(folder, port)) break;
        assert.ok(!off, "QEMU ended before ssh answered");
        assert.ok(performance.now() - begun < DEADLINE_MS, "no ssh within 300 s");
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
      mark("ssh answered");
      return { totalMs: phases["ssh answered"], phases };
    } finally {
      if (!off) qemu.kill("SIGKILL");
      await ended;
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function serial(folder: string): Promise<string> {
  return await Deno.readTextFile(`${folder}/serial`).catch(() => "");
}

async function sshAnswers(folder: string, port: number): Promise<boolean> {
  const options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=5"];
  const { success } = await new Deno.Command("ssh", {
    args: [
      ...["-q", "-i", `${folder}/key`, "-p", String(port)],
      ...options.flatMap((option) => ["-o", option]),
      ...["ada@127.0.0.1", "true"],
    ],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).output();
  return success;
}

async function run(program: string, args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args: [...args] }).output();
  assert.ok(success, `${program}: ${new TextDecoder().decode(stderr)}`);
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
