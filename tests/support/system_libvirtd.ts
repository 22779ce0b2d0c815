/**
 * A system libvirtd of the test's own, with the distribution's stock configuration, beside whatever
 * runs on the host: in a mount and a network namespace, its state on tmpfs, its socket in a folder
 * that both sides see. Can be killed without warning and started again. Needs root.
 */
import { withDeadline } from "../../src/base/deadline.ts";
import { systemClock } from "../../src/base/clock.ts";

const NAMESPACE = `set -eu
for d in /run/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt; do
  mkdir -p $d; mount -t tmpfs -o mode=0755 tmpfs $d
done
mkdir -p /var/log/libvirt/qemu /etc/libvirt
conf=$(mktemp -d); cp -a /etc/libvirt/. $conf/
mount -t tmpfs -o mode=0755 tmpfs /etc/libvirt; cp -a $conf/. /etc/libvirt/; rm -r $conf
rm -f /etc/libvirt/qemu/networks/autostart/*
# As udev does on a stock host: where QEMU's user cannot open it, libvirt probes again and again.
if [ -c /dev/kvm ] && getent group kvm >/dev/null; then
  mknod -m 0660 /run/libvirt/kvm c 10 232; chgrp kvm /run/libvirt/kvm
  mount --bind /run/libvirt/kvm /dev/kvm
fi
ip link set lo up 2>/dev/null || true
virtlogd --pid-file /run/libvirt/virtlogd.pid --daemon
echo ready
exec sleep 86400
`;

export interface SystemLibvirtd extends AsyncDisposable {
  readonly uri: string;
  /** For disks: everybody may pass through. */
  readonly folder: string;
  kill(): Promise<void>;
  stop(): void;
  cont(): void;
  start(): Promise<void>;
}

export async function startSystemLibvirtd(): Promise<SystemLibvirtd> {
  const folder = await Deno.makeTempDir({ prefix: "rum-sys-" });
  await Deno.chmod(folder, 0o755);
  await Deno.mkdir(`${folder}/sock`);
  await Deno.writeTextFile(
    `${folder}/libvirtd.conf`,
    `unix_sock_dir = "${folder}/sock"\nauth_unix_rw = "none"\nunix_sock_rw_perms = "0700"\n`,
  );
  const holder = new Deno.Command("unshare", {
    args: ["--mount", "--net", "sh", "-c", NAMESPACE],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = holder.stdout.getReader();
  const { done } = await reader.read();
  if (done) throw new Error("The namespace for libvirtd could not be made");
  const inside = holder.pid;
  let daemon: Deno.ChildProcess | undefined;

  const libvirtd = {
    uri: `qemu:///system?socket=${folder}/sock/libvirt-sock`,
    folder,
    async start() {
      daemon = new Deno.Command("nsenter", {
        args: [
          `--target=${inside}`,
          "--mount",
          "--net",
          "libvirtd",
          "--config",
          `${folder}/libvirtd.conf`,
          // Its own place for that is outside of what the namespace has for itself.
          "--pid-file",
          `${folder}/libvirtd.pid`,
        ],
        stdin: "null",
        stdout: "null",
        stderr: "null",
      }).spawn();
      await answers(`${folder}/sock/libvirt-sock`);
    },
    async kill() {
      daemon?.kill("SIGKILL");
      await daemon?.status;
      daemon = undefined;
    },
    stop: () => daemon?.kill("SIGSTOP"),
    cont: () => daemon?.kill("SIGCONT"),
    async [Symbol.asyncDispose]() {
      await libvirtd.kill();
      endEverythingIn(await Deno.readLink(`/proc/${inside}/ns/mnt`));
      await reader.cancel();
      await holder.status;
      await Deno.remove(folder, { recursive: true });
    },
  };
  await libvirtd.start();
  return libvirtd;
}

/** virtlogd, the namespace's holder, and what a failed test left: nobody else is in there. */
function endEverythingIn(mountNamespace: string): void {
  for (const { name } of Deno.readDirSync("/proc")) {
    const pid = Number(name);
    if (!(pid > 0)) continue;
    try {
      if (Deno.readLinkSync(`/proc/${pid}/ns/mnt`) === mountNamespace) Deno.kill(pid, "SIGKILL");
    } catch {
      // It ended by itself.
    }
  }
}

async function answers(path: string): Promise<void> {
  await withDeadline({ waitingFor: "libvirtd to listen", timeoutMs: 60_000 }, async (signal) => {
    while (true) {
      try {
        (await Deno.connect({ transport: "unix", path })).close();
        return;
      } catch {
        await systemClock.sleep(50, { signal });
      }
    }
  });
}
