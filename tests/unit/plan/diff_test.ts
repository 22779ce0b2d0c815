import assert from "node:assert/strict";
import type { Config } from "../../../src/config/types.ts";
import { diffPlans, type How, renderChanges } from "../../../src/plan/diff.ts";
import { makePlan } from "../../../src/plan/plan.ts";
import type { HostFacts } from "../../../src/plan/types.ts";
import { mount, richConfig, richFacts, sampleConfig, sampleFacts } from "./sample.ts";

const base = sampleConfig();
const drive = (name: string, gib: number) => ({ name, sizeBytes: gib * 2 ** 30 });
const service = richConfig().services[0];

const table: [string, Partial<Config>, Partial<Config>, string, How][] = [
  ["name", {}, { name: "store" }, "name", "restart"],
  ["image", {}, { image: { base: "debian-13", kind: "name" } }, "image.base", "reset"],
  ["cpus", {}, { resources: { ...base.resources, cpus: 4 } }, "resources.cpus", "restart"],
  [
    "disk up",
    {},
    { resources: { ...base.resources, diskBytes: 2 ** 40 } },
    "resources.disk",
    "restart",
  ],
  [
    "disk down",
    {},
    { resources: { ...base.resources, diskBytes: 2 ** 30 } },
    "resources.disk",
    "reset",
  ],
  ["hostname", {}, { network: { ...base.network, hostname: "b" } }, "network.hostname", "live"],
  ["nat off", {}, { network: { ...base.network, nat: false } }, "network", "restart"],
  ["keys", {}, { ssh: { ...base.ssh, authorizedKeys: ["k"] } }, "ssh", "live"],
  ["user", {}, { user: { ...base.user, groups: ["docker"] } }, "user", "live"],
  [
    "system script",
    {},
    { provision: { system: { content: "a", timeoutMs: 1 } } },
    "provision.system",
    "provision",
  ],
  [
    "boot script",
    {},
    { provision: { boot: { content: "a", timeoutMs: 1 } } },
    "provision.boot",
    "live",
  ],
  ["ports", {}, { ports: richConfig().ports }, "ports", "live"],
  [
    "auto ports",
    {},
    { autoPorts: { from: 3000, to: 3010, bind: "127.0.0.1", ignore: [] } },
    "auto_ports",
    "live",
  ],
  ["services", {}, { services: [service] }, "services.web", "live"],
  [
    "service env",
    { services: [service] },
    { services: [{ ...service, env: {} }] },
    "services.web",
    "live",
  ],
  ["recovery", {}, { recovery: { onCrash: "restart" } }, "recovery.on_crash", "live"],
  ["preserve", {}, { recovery: { onCrash: "preserve" } }, "recovery.on_crash", "restart"],
  ["drive added", {}, { drives: [drive("a", 1)] }, "drives.a", "restart"],
  ["drive grown", { drives: [drive("a", 1)] }, { drives: [drive("a", 2)] }, "drives.a", "restart"],
  ["drive shrunk", { drives: [drive("a", 2)] }, { drives: [drive("a", 1)] }, "drives.a", "reset"],
  ["file system", {}, { fileSystems: richConfig().fileSystems }, "fs", "live"],
  ["virtiofs mount", {}, { mounts: [mount("/a", "/b")] }, "mounts./b", "restart"],
  ["sync mount", {}, { mounts: [{ ...mount("/a", "/b"), type: "sync" }] }, "mounts./b", "live"],
  [
    "inotify of a virtiofs mount",
    { mounts: [mount("/a", "/b")] },
    { mounts: [{ ...mount("/a", "/b"), inotify: true }] },
    "mounts./b",
    "live",
  ],
  [
    "source of a virtiofs mount",
    { mounts: [mount("/a", "/b")] },
    { mounts: [mount("/c", "/b")] },
    "mounts./b",
    "restart",
  ],
  [
    "transport",
    {},
    { advanced: { ...base.advanced, autologin: true } },
    "advanced.autologin",
    "restart",
  ],
];
for (const [name, from, to, key, how] of table) {
  Deno.test(`diff: ${name} is ${how}`, () => {
    const changes = diffPlans(
      makePlan(sampleConfig(from), sampleFacts()),
      makePlan(sampleConfig(to), sampleFacts()),
    );
    assert.deepEqual(changes.map((c) => [c.key, c.how]), [[key, how]]);
  });
}

const factTable: [string, Partial<HostFacts>, string, How][] = [
  [
    "another hypervisor",
    {
      hypervisor: { uri: "qemu:///session", kind: "session", reason: "" },
    },
    "advanced.libvirt_uri",
    "reset",
  ],
  [
    "KVM became usable",
    {
      domainType: { type: "kvm", reason: "", warn: false },
    },
    "advanced.domain_type",
    "restart",
  ],
  [
    "a newer agent",
    {
      agent: { digest: "b".repeat(64), files: [] },
    },
    "agent",
    "live",
  ],
];
for (const [name, facts, key, how] of factTable) {
  Deno.test(`diff: ${name} is ${how}`, () => {
    const changes = diffPlans(
      makePlan(sampleConfig(), sampleFacts()),
      makePlan(sampleConfig(), sampleFacts(facts)),
    );
    assert.deepEqual(changes.map((c) => [c.key, c.how]), [[key, how]]);
  });
}

Deno.test("diff: nothing changed, also against a plan read back from JSON", () => {
  const plan = makePlan(richConfig(), richFacts());
  assert.deepEqual(diffPlans(JSON.parse(JSON.stringify(plan)), plan), []);
});

Deno.test("diff: reasons and paths of other runs are no changes", () => {
  const facts = richFacts();
  const later = richFacts({
    hypervisor: { ...facts.hypervisor, reason: "said differently" },
    virtiofs: { available: true, reason: "said differently" },
    rumVersion: "9.9.9",
  });
  assert.deepEqual(diffPlans(makePlan(richConfig(), facts), makePlan(richConfig(), later)), []);
});

Deno.test("diff: everything at once reads as sentences, and no service value is among them", async (t) => {
  const facts = sampleFacts();
  const to = { ...richConfig(), network: { ...richConfig().network, interfaces: [] } };
  const lines = renderChanges(
    diffPlans(makePlan(sampleConfig(), facts), makePlan(to, richFacts())),
  );
  assert.ok(!lines.join("\n").includes("hunter2"));
  await t.assertSnapshot(lines.join("\n"));
});
