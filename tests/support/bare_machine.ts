/**
 * A real guest for the tests of the links and of the built image, booted by QEMU without libvirt and
 * without rum: a copy-on-write disk over a cloud image, a NoCloud seed by genisoimage that has a user
 * and carries deno and a bundled program, a virtio-serial port on a Unix socket, OpenSSH on a port of
 * this host. Emulated, so that it runs anywhere.
 */
import { withDeadline } from "../../src/base/deadline.ts";

export interface BareMachine extends AsyncDisposable {
  readonly socketPath: string;
  /** When QEMU was started, on `performance.now()`'s clock. */
  readonly startedAt: number;
  readonly qemuPid: number;
  console(): Promise<string>;
  /** Runs a command by OpenSSH as the seed's user; undefined while that does not work. */
  ssh(command: string): Promise<string | undefined>;
  /** Until the guest powers itself off. */
  readonly off: Promise<Deno.CommandStatus>;
}

const USER = "ada";
const ROOT = new URL("../../", import.meta.url).pathname;

export async function bootBareMachine(image: string, folder: string): Promise<BareMachine> {
  const disk = `${folder}/disk.qcow2`;
  const socketPath = `${folder}/agent.sock`;
  const consolePath = `${folder}/console.log`;
  await run("qemu-img", ["create", "-q", "-f", "qcow2", "-b", image, "-F", "qcow2", disk, "10G"]);
  await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", `${folder}/key`]);
  const seed = await makeSeed(folder, (await Deno.readTextFile(`${folder}/key.pub`)).trim());
  const port = freePort();
  const args = [
    ...["-nodefaults", "-no-user-config", "-machine", "q35", "-accel", "tcg,tb-size=256"],
    ...["-cpu", "max", "-smp", "2", "-m", "1024", "-display", "none"],
    ...["-drive", `file=${disk},if=virtio,format=qcow2,cache=unsafe`],
    ...["-drive", `file=${seed},if=virtio,format=raw,readonly=on`],
    // Without any network card cloud-init's second stage, and so bootcmd, waits two minutes for one.
    ...[
      "-netdev",
      `user,id=net0,hostfwd=tcp:127.0.0.1:${port}-:22`,
      "-device",
      "virtio-net-pci,netdev=net0",
    ],
    ...["-serial", `file:${consolePath}`],
    ...["-device", "virtio-rng-pci", "-device", "virtio-serial-pci", "-device", "pvpanic"],
    ...["-chardev", `socket,id=agent,path=${socketPath},server=on,wait=off`],
    ...["-device", "virtserialport,chardev=agent,name=org.rum.agent.0"],
  ];
  const startedAt = performance.now();
  const qemu = new Deno.Command("qemu-system-x86_64", {
    args,
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
  }).spawn();
  return {
    socketPath,
    startedAt,
    qemuPid: qemu.pid,
    console: () => Deno.readTextFile(consolePath),
    off: qemu.status,
    async ssh(command) {
      const options = [
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        // For the whole of the handshake too, which an emulated guest takes its time for.
        "ConnectTimeout=60",
      ]
        .flatMap((option) => ["-o", option]);
      const { success, stdout } = await new Deno.Command("ssh", {
        args: [
          "-q",
          "-i",
          `${folder}/key`,
          "-p",
          `${port}`,
          ...options,
          `${USER}@127.0.0.1`,
          command,
        ],
        stdin: "null",
      }).output();
      return success ? new TextDecoder().decode(stdout) : undefined;
    },
    async [Symbol.asyncDispose]() {
      try {
        qemu.kill("SIGKILL");
      } catch {
        // Ended by itself.
      }
      await qemu.status;
    },
  };
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function makeSeed(folder: string, key: string): Promise<string> {
  const content = `${folder}/seed`;
  await Deno.mkdir(content);
  await run(Deno.execPath(), [
    ...["bundle", "--quiet", "-o", `${content}/guest.js`],
    `${ROOT}tests/support/mux_guest.ts`,
  ]);
  await Deno.copyFile(Deno.execPath(), `${content}/deno`);
  await Deno.writeTextFile(`${content}/meta-data`, "instance-id: i-1\nlocal-hostname: lovelace\n");
  await Deno.writeTextFile(
    `${content}/unit`,
    [
      "[Unit]",
      "DefaultDependencies=no",
      "After=local-fs.target",
      "[Service]",
      "Environment=DENO_DIR=/run/mux-cache HOME=/root",
      "ExecStart=/run/mux/deno run --quiet -A --unstable-vsock /run/mux/guest.js port:/dev/virtio-ports/org.rum.agent.0",
      "StandardError=journal+console",
      "Restart=always",
      "RestartSec=100ms",
      "",
    ].join("\n"),
  );
  const start = [
    "mkdir -p /run/mux",
    "mount -o ro /dev/disk/by-label/cidata /run/mux",
    "cp /run/mux/unit /run/systemd/system/mux-test.service",
    "modprobe -q vsock_loopback",
    "systemctl daemon-reload",
    "systemctl start --no-block mux-test.service",
  ].join("; ");
  const user = { name: USER, sudo: "ALL=(ALL) NOPASSWD:ALL", ssh_authorized_keys: [key] };
  // JSON is YAML: this seed is written without any of rum's own code.
  const config = { users: [user], bootcmd: [["sh", "-c", start]] };
  await Deno.writeTextFile(
    `${content}/user-data`,
    `#cloud-config
${JSON.stringify(config)}
`,
  );
  const iso = `${folder}/seed.iso`;
  await run("genisoimage", ["-quiet", "-J", "-R", "-V", "cidata", "-o", iso, content]);
  return iso;
}

async function run(command: string, args: readonly string[]): Promise<void> {
  await withDeadline({ waitingFor: command, timeoutMs: 60_000 }, async (signal) => {
    const { success, stderr } = await new Deno.Command(command, { args: [...args], signal })
      .output();
    if (!success) throw new Error(`${command} failed: ${new TextDecoder().decode(stderr)}`);
  });
}
