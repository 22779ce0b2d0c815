/** A config and facts with something of everything; tests change what they are about. */
import type { Config } from "../../../src/config/types.ts";
import { rumPaths } from "../../../src/plan/paths.ts";
import type { HostFacts } from "../../../src/plan/types.ts";

export function sampleConfig(change: Partial<Config> = {}): Config {
  return {
    path: "/home/ann/shop/rum.toml",
    folder: "/home/ann/shop",
    name: "shop",
    image: { base: "debian-12", kind: "name" },
    resources: { cpus: 2, memoryBytes: 2 * 2 ** 30, diskBytes: 20 * 2 ** 30 },
    network: { nat: true, hostname: "shop", interfaces: [] },
    provision: {},
    user: { name: "rum", groups: [], shell: "/bin/bash" },
    ssh: { user: "rum", command: "ssh", authorizedKeys: [] },
    mounts: [],
    drives: [],
    fileSystems: [],
    ports: [],
    ready: { timeoutMs: 120_000, services: true },
    services: [],
    recovery: { onCrash: "none" },
    hooks: [],
    advanced: {
      libvirtUri: "auto",
      domainType: "auto",
      machine: "q35",
      transport: "auto",
      autologin: false,
      shutdownTimeoutMs: 60_000,
    },
    ...change,
  };
}

export function sampleFacts(change: Partial<HostFacts> = {}): HostFacts {
  const env = { uid: 0, home: "/root" };
  return {
    env,
    paths: rumPaths(env),
    arch: "x86_64",
    hypervisor: {
      uri: "qemu:///embed?root=/var/lib/rum/x/embed",
      kind: "embed",
      reason: "Running as root, and the system daemon does not answer",
    },
    domainType: { type: "qemu", reason: "Emulation, much slower than KVM: no vmx", warn: true },
    cpus: 4,
    freeMemoryBytes: 8 * 2 ** 30,
    freeDiskBytes: 100 * 2 ** 30,
    networkDriver: { available: false, reason: "an embedded hypervisor has no network driver" },
    vsock: { available: false, reason: "/dev/vhost-vsock does not open" },
    virtiofs: { available: true, reason: "virtiofsd is there" },
    ninep: { available: true, reason: "QEMU has it" },
    rumVersion: "0.1.0",
    agent: {
      digest: "a".repeat(64),
      files: [{ name: "rum-agent", path: "/opt/rum/rum-agent", mode: 0o755, bytes: 100 }],
    },
    ...change,
  };
}

/** Everything that a file may hold. */
export function richConfig(): Config {
  return sampleConfig({
    resources: { cpus: 4, memoryBytes: 4 * 2 ** 30, diskBytes: 40 * 2 ** 30 },
    network: {
      nat: true,
      hostname: "shop.test",
      interfaces: [{ network: "lan", ip: "10.9.8.20" }, { network: "lan" }, { network: "spare" }],
    },
    provision: {
      system: { content: "apt-get install -y nginx\n", timeoutMs: 3_600_000 },
      boot: { content: "echo hello\n", timeoutMs: 60_000 },
    },
    user: { name: "ann", groups: ["docker"], shell: "/bin/zsh" },
    ssh: { user: "ann", command: "ssh", authorizedKeys: ["ssh-ed25519 AAAA ann@host"] },
    mounts: [
      mount("/home/ann/shop", "/srv/shop"),
      { ...mount('/home/ann/it\'s <odd> & "more"', "/srv/odd"), readonly: true },
    ],
    drives: [{ name: "data", sizeBytes: 10 * 2 ** 30 }, {
      name: "a-rather-long-drive-name",
      sizeBytes: 2 ** 30,
    }],
    fileSystems: [{ type: "ext4", drives: ["data"], target: "/srv/data" }],
    ports: [{ host: 8080, guest: 80, bind: "127.0.0.1", proto: "tcp", onConflict: "fail" }],
    services: [{
      name: "web",
      command: ["nginx", "-g", "daemon off;"],
      env: { PASSWORD: "hunter2" },
      user: "root",
      instances: 1,
      after: [],
      restart: {
        policy: "on-failure",
        max: 5,
        withinMs: 60_000,
        minUptimeMs: 30_000,
        backoff: "exponential",
        firstMs: 1000,
        maxMs: 300_000,
      },
      health: { kind: "none" },
      shutdown: { signal: "TERM", timeoutMs: 10_000 },
      log: { maxBytes: 10 * 2 ** 20, keep: 10 },
    }],
    hooks: [{ event: "ready", exec: ["notify-send", "shop"], timeoutMs: 30_000, files: [] }],
    recovery: { onCrash: "preserve" },
  });
}

/** A host with everything: system daemon, KVM, networks, vsock. */
export function richFacts(change: Partial<HostFacts> = {}): HostFacts {
  return sampleFacts({
    hypervisor: { uri: "qemu:///system", kind: "system", reason: "the system daemon answers" },
    domainType: { type: "kvm", reason: "KVM is usable", warn: false },
    networkDriver: { available: true, reason: "the network driver answers" },
    vsock: { available: true, reason: "/dev/vhost-vsock opens" },
    ...change,
  });
}

export function mount(source: string, target: string): Config["mounts"][number] {
  return {
    source,
    target,
    type: "auto",
    readonly: false,
    tag: target.replaceAll("/", "-").slice(1),
    default: false,
    inotify: false,
  };
}
