/**
 * rum.toml, key by key: the one source of the validator (shape.ts), of the JSON Schema that
 * editors use (json_schema.ts, docs/rum.schema.json), of `rum config show` and of every default.
 * SPEC section 3 is the reference. What one key alone cannot say (two targets that overlap, an
 * unknown drive) is in cross_checks.ts.
 */
import * as v from "valibot";
import { QCOW2_MAX_SIZE } from "../image/qcow2.ts";
import { HOOK_EVENTS } from "./hook_events.ts";
import {
  address,
  argv,
  driveName,
  duration,
  guestPath,
  hostName,
  hostPath,
  key,
  machineName,
  maybe,
  must,
  port,
  sha256,
  size,
  text,
  userName,
  whole,
} from "./schema_parts.ts";
import { services } from "./schema_services.ts";

const MIB = 2 ** 20;

const image = v.strictObject({
  base: must(
    hostPath,
    "A short name (debian-12, ubuntu-24.04, fedora-42, …), an https URL, or a path.",
  ),
  sha256: maybe(sha256, "The SHA-256 the image must have."),
});

const resources = v.strictObject({
  cpus: key(whole(1, 512), 2, "Virtual CPUs."),
  memory: key(size(256 * MIB), "2G", "Memory; at least 256M."),
  memory_mb: maybe(
    whole(256, 2 ** 24, "a number of MiB"),
    "Memory in MiB; another way to write `memory`.",
  ),
  disk: key(
    size(256 * MIB, QCOW2_MAX_SIZE),
    "20G",
    "Size of the root disk; growing it later grows the guest's.",
  ),
});

const networkInterface = v.strictObject({
  network: must(machineName, "Name of an isolated network, made and removed with the machine."),
  ip: maybe(address, "The IPv4 address reserved for this machine on it."),
});

const network = v.strictObject({
  nat: key(v.boolean(), true, "A route to the outside; false and no interfaces = none at all."),
  hostname: maybe(hostName, "The guest's host name; `name` when absent."),
  interfaces: key(v.array(networkInterface), [], "Isolated networks this machine is on."),
});

const script = v.strictObject({
  script: maybe(v.string(), "The script itself, run by sh."),
  file: maybe(hostPath, "A file that holds the script."),
  timeout: key(duration(), "1h", "A script that takes longer has failed."),
});

const provision = v.strictObject({
  system: maybe(script, "Runs once, at the first boot."),
  boot: maybe(script, "Runs at every boot."),
});

const user = v.strictObject({
  name: key(userName, "rum", "The guest user that is made; no password, sudo without one."),
  groups: key(v.array(userName), [], "Further groups of that user."),
  shell: key(guestPath, "/bin/bash", "Its login shell."),
});

const ssh = v.strictObject({
  user: maybe(userName, "Who `rum ssh` logs in as; `user.name` when absent."),
  command: key(hostPath, "ssh", "The ssh program on the host."),
  authorized_keys: key(
    v.array(
      text(
        /^(ssh-|ecdsa-|sk-)[A-Za-z0-9@.-]+ [A-Za-z0-9+/]+=*( [^\x00-\x1f\x7f]*)?$/,
        "a public key as in id_ed25519.pub",
      ),
    ),
    [],
    "Public keys that may log in, beside rum's own.",
  ),
});

const mount = v.strictObject({
  source: must(hostPath, "A host folder: a path, `.`, or `git` for the work tree's top."),
  target: must(guestPath, "Where it appears in the guest."),
  type: key(
    v.picklist(["auto", "virtiofs", "9p", "sync"]),
    "auto",
    "How; auto takes the first that host and guest can do.",
  ),
  readonly: key(v.boolean(), false, "The guest cannot write; enforced on the host or refused."),
  tag: maybe(
    text(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,30}$/, "at most 31 letters, digits, _ . and -"),
    "The mount's tag; made from the target when absent.",
  ),
  default: key(v.boolean(), false, "Login shells start here; at most one mount."),
  inotify: key(v.boolean(), false, "Pass the host's file changes on to watchers in the guest."),
});

const drive = v.strictObject({ size: must(size(MIB, QCOW2_MAX_SIZE), "Size of the disk.") });

const fileSystem = v.strictObject({
  drive: maybe(driveName, "The drive it is on."),
  drives: maybe(
    v.pipe(v.array(driveName), v.minLength(1, "a list of at least one drive")),
    "The drives it is on; several for btrfs and zfs.",
  ),
  target: must(guestPath, "Where it is mounted in the guest."),
  mode: maybe(text(/^0?[0-7]{3,4}$/, "a mode such as 0755"), "Mode of the mounted folder."),
  pool: maybe(
    text(/^[A-Za-z][A-Za-z0-9_.-]{0,63}$/, "a ZFS pool name"),
    "Name of the ZFS pool.",
  ),
});

const fileSystems = v.strictObject({
  ext4: maybe(v.array(fileSystem), "ext4 file systems."),
  xfs: maybe(v.array(fileSystem), "XFS file systems."),
  btrfs: maybe(v.array(fileSystem), "btrfs file systems."),
  zfs: maybe(v.array(fileSystem), "ZFS file systems."),
});

const forward = v.strictObject({
  host: must(whole(0, 65535, "a port"), "Port on the host; 0 picks a free one."),
  guest: must(port, "Port in the guest."),
  bind: key(address, "127.0.0.1", "Host address to listen on."),
  proto: key(v.picklist(["tcp", "udp"]), "tcp", "Protocol."),
  on_conflict: key(
    v.picklist(["fail", "next"]),
    "fail",
    "When the host port is taken: fail, or take the next free one.",
  ),
});

const autoPorts = v.strictObject({
  range: key(
    text(/^\d{1,5}-\d{1,5}$/, "a range such as 3000-9999"),
    "1024-65535",
    "Guest ports that are forwarded as they begin to listen.",
  ),
  bind: key(address, "127.0.0.1", "Host address to listen on."),
  ignore: key(v.array(port), [], "Ports left out."),
});

const ready = v.strictObject({
  exec: maybe(argv, "Ready once this command in the guest exits 0."),
  port: maybe(port, "Ready once this guest port accepts a connection."),
  timeout: key(duration(), "2m", "Past this, running but not ready: exit 124."),
  services: key(v.boolean(), true, "Ready only once all services run."),
});

const hook = v.strictObject({
  exec: must(argv, "A command on the host; the event is JSON on its stdin."),
  timeout: key(duration(), "30s", "A hook that takes longer is ended."),
});

const tasks = v.strictObject({
  screenshot: maybe(
    v.strictObject({
      every: must(duration(1000), "Time between screenshots; at least 1s."),
      keep: key(whole(1, 10_000), 100, "How many are kept."),
      folder: maybe(hostPath, "Where; the machine's own folder when absent."),
    }),
    "Periodic screenshots.",
  ),
});

const recovery = v.strictObject({
  on_crash: key(
    v.picklist(["none", "restart", "preserve"]),
    "none",
    "When the guest crashes: nothing, restart it, or keep it for inspection.",
  ),
  after_host_restart: key(
    v.picklist(["report", "start"]),
    "report",
    "A machine that ran when the host went down: reported, or started.",
  ),
});

const advanced = v.strictObject({
  libvirt_uri: key(
    text(
      /^(auto|[a-z][a-z0-9]*(\+[a-z0-9]+)?:\/\/[^\s\x00-\x1f]*)$/,
      'auto or a libvirt URI such as "qemu:///system"',
    ),
    "auto",
    "The hypervisor.",
  ),
  domain_type: key(v.picklist(["auto", "kvm", "qemu"]), "auto", "KVM, or emulation (qemu)."),
  machine: key(text(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "a QEMU machine type"), "q35", "Board."),
  cpu: maybe(text(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "a CPU model"), "CPU model."),
  transport: key(
    v.picklist(["auto", "vsock", "virtio-serial"]),
    "auto",
    "How host and agent talk.",
  ),
  autologin: key(v.boolean(), false, "The serial console logs the user in."),
  shutdown_timeout: key(duration(), "60s", "How long `rum down` waits before force."),
});

export const schema = v.strictObject({
  name: maybe(machineName, "The machine's name; the folder's, made safe, when absent."),
  image: must(image, "What it boots."),
  resources: key(resources, {}, "What it is given."),
  network: key(network, {}, "How it reaches the network."),
  provision: key(provision, {}, "Scripts that set it up."),
  user: key(user, {}, "The guest user."),
  ssh: key(ssh, {}, "OpenSSH access."),
  mounts: key(v.array(mount), [], "Host folders in the guest."),
  drives: key(v.record(driveName, drive), {}, "Extra disks by name."),
  fs: key(fileSystems, {}, "File systems on the extra disks."),
  ports: key(v.array(forward), [], "Guest ports on the host."),
  auto_ports: maybe(autoPorts, "Forward what begins to listen in the guest. Off when absent."),
  ready: key(ready, {}, "What ready means beyond scripts that passed."),
  services: key(services, {}, "Supervised processes in the guest."),
  recovery: key(recovery, {}, "What happens after a crash."),
  on: key(v.record(v.picklist(HOOK_EVENTS), hook), {}, "Host commands run on events."),
  tasks: key(tasks, {}, "Things done periodically."),
  advanced: key(advanced, {}, "Hypervisor settings."),
});

/** The file's own vocabulary with every default filled in. */
export type RumToml = v.InferOutput<typeof schema>;
