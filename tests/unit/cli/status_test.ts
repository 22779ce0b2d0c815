import assert from "node:assert/strict";
import { phaseNow } from "../../../src/cli/look.ts";
import { statusLine, statusText } from "../../../src/cli/status_text.ts";
import { lasting } from "../../../src/cli/status_watch.ts";

const RUNNING = {
  id: "0123abcd",
  name: "web",
  phase: "running",
  text: "running (detached, ready)",
  revision: 7,
  ready: true,
  as_recorded: false,
  config_path: "/home/u/web/rum.toml",
  hypervisor: {
    uri: "qemu:///session",
    why: "an ordinary user",
    state: "running",
    reason: "booted",
    accelerator: "kvm",
  },
  resources: { cpus: 2, memory: 2 ** 30, disk: 20 * 2 ** 30 },
  agent: {
    state: "up",
    transport: "vsock",
    version: "0.1.0",
    os: "Debian 12",
    kernel: "6.1.0",
    addresses: [{ interface: "eth0", address: "10.0.2.15" }, {
      interface: "eth0",
      address: "fe80::1",
    }],
  },
  forwards: [
    {
      bind: "127.0.0.1",
      host: 8080,
      guest: 80,
      proto: "tcp",
      state: "listening",
      origin: "config",
    },
    {
      bind: "127.0.0.1",
      host: 9,
      guest: 9,
      proto: "udp",
      state: "failed",
      message: "in use",
      origin: "auto",
    },
  ],
  mounts: [{
    source: "/home/u/web",
    target: "/src",
    type: "virtiofs",
    why: "the first that both can do",
    readonly: true,
  }],
  services: [{ name: "api", index: 0, state: "running", pid: 77 }],
  daemon: { state: "running", pid: 42, version: "0.1.0", uptime_ms: 61_000 },
  degraded: ["memory: 1 GiB, rum.toml says 2 GiB; needs restart"],
};

Deno.test("status: a running machine in words", async (t) => {
  await t.assertSnapshot(statusText(RUNNING));
});

Deno.test("status: a machine that nobody could be asked about says so", async (t) => {
  await t.assertSnapshot(statusText({
    id: "0123abcd",
    name: "web",
    phase: "stopped",
    text: "stopped (its QEMU is gone)",
    as_recorded: true,
    daemon: {
      state: "hung",
      pid: 42,
      message: "it does not answer within 3 s",
      hint: "rum down, or rum up",
    },
    degraded: [],
  }));
});

Deno.test("status: what a guest or a path says cannot steer the terminal", () => {
  const text = statusText({
    ...RUNNING,
    agent: { ...RUNNING.agent, os: "\x1b[2Jevil\n\rphase  x" },
  });
  assert.doesNotMatch(text, /\x1b|\r|^phase {2}x/m);
});

Deno.test("status --watch: one line, and only what lasts counts as a change", () => {
  assert.equal(
    statusLine(RUNNING),
    "running (detached, ready); ready; agent up; daemon running; " +
      "memory: 1 GiB, rum.toml says 2 GiB; needs restart",
  );
  const look = (ms: number) => ({
    ...RUNNING,
    revision: ms,
    daemon: { ...RUNNING.daemon, uptime_ms: ms },
    forwards: RUNNING.forwards.map((row) => ({ ...row, active: ms, total: ms })),
    services: [{ ...RUNNING.services[0], uptime_ms: ms }, { name: "job", retry_in_ms: ms }],
    mounts: [{ ...RUNNING.mounts[0], state: "copying", done: ms, total: 9 }],
  });
  assert.equal(lasting(look(1)), lasting(look(2)));
  assert.notEqual(lasting({ ...RUNNING, phase: "paused" }), lasting(RUNNING));
});

Deno.test("status: a recorded phase that needs power is not believed without it", () => {
  const of = (kind: string, power: "on" | "off") => phaseNow({ kind, text: kind }, power).phase;
  for (const kind of ["starting", "provisioning", "running", "paused", "stopping"]) {
    assert.deepEqual([of(kind, "on"), of(kind, "off")], [kind, "stopped"]);
  }
  for (const kind of ["absent", "stopped", "failed", "destroying", "preparing"]) {
    assert.equal(of(kind, "off"), kind);
  }
});
