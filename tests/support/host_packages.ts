/**
 * Debian packages that the tests need, installed by apt-get as root (or sudo) when missing. A bare
 * machine has none of them; `deno task demo` needs the first group only.
 */
export const RUN_PACKAGES = [
  "qemu-system-x86",
  "qemu-utils",
  "libvirt0",
  "libvirt-daemon",
  "libvirt-daemon-driver-qemu",
  "openssh-client",
] as const;

export const IMAGE_PACKAGES = [
  "mmdebstrap",
  "debian-archive-keyring",
  "e2fsprogs",
  "fdisk",
  "uidmap",
] as const;

export const TEST_PACKAGES = [
  "libvirt-clients",
  "dnsmasq-base",
  "nftables",
  "iptables",
  "genisoimage",
  "xorriso",
  "libxml2-utils",
  "netcat-openbsd",
  "openssh-server",
  "rsync",
  "tmux",
  "sudo",
  "procps",
  "python3",
  "python3-yaml",
  "util-linux",
  "inotify-tools",
] as const;

const QUIET_ENV = { DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" };

export async function missingPackages(wanted: readonly string[]): Promise<string[]> {
  const { stdout } = await new Deno.Command("dpkg-query", {
    args: ["-W", "-f", "${Package} ${db:Status-Status}\n", ...wanted],
    stderr: "null",
    env: QUIET_ENV,
  }).output();
  const installed = new Set(
    new TextDecoder().decode(stdout).split("\n").filter((l) => l.endsWith(" installed")).map((l) =>
      l.split(" ")[0]
    ),
  );
  return wanted.filter((name) => !installed.has(name));
}

/** Installs what is missing and says what; throws with apt's last lines when it cannot. */
export async function installPackages(
  wanted: readonly string[],
  say: (line: string) => void,
): Promise<void> {
  const missing = await missingPackages(wanted);
  if (missing.length === 0) return;
  say(`Installing ${missing.length} Debian packages: ${missing.join(" ")}`);
  await aptGet(["update", "-q"]);
  await aptGet(["install", "-q", "-y", "--no-install-recommends", ...missing]);
}

async function aptGet(args: readonly string[]): Promise<void> {
  const [command, ...prefix] = Deno.uid() === 0
    ? ["apt-get"]
    : ["sudo", "--preserve-env=DEBIAN_FRONTEND,LC_ALL", "apt-get"];
  const child = await new Deno.Command(command, {
    args: [...prefix, "-o", "Dpkg::Options::=--force-confold", ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env: QUIET_ENV,
  }).output();
  if (!child.success) {
    const text = new TextDecoder().decode(child.stdout) + new TextDecoder().decode(child.stderr);
    throw new Error(
      `apt-get ${args[0]} exited with ${child.code}:\n${text.split("\n").slice(-15).join("\n")}`,
    );
  }
}
