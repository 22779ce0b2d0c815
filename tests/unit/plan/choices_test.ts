import assert from "node:assert/strict";
import { RumError } from "../../../src/base/errors.ts";
import { chooseDomainType, type KvmFacts } from "../../../src/plan/kvm.ts";
import { chooseHypervisor, embedUri, needsSystemProbe, uriKind } from "../../../src/plan/uri.ts";

const good: KvmFacts = {
  arch: "x86_64",
  wanted: "auto",
  device: { opens: true, detail: "" },
  capabilitiesListKvm: true,
  cpuFlags: new Set(["fpu", "vmx"]),
};

const kvmTable: [string, Partial<KvmFacts>, "kvm" | "qemu", boolean, RegExp][] = [
  ["all three signs: KVM", {}, "kvm", false, /usable/],
  ["svm counts as vmx does", { cpuFlags: new Set(["svm"]) }, "kvm", false, /usable/],
  ["no flags of the CPU: emulation", { cpuFlags: new Set(["fpu"]) }, "qemu", true, /neither vmx/],
  [
    "no device: emulation, with what the kernel said",
    { device: { opens: false, detail: "Permission denied" } },
    "qemu",
    true,
    /\/dev\/kvm does not open \(Permission denied\)/,
  ],
  ["not listed: emulation", { capabilitiesListKvm: false }, "qemu", true, /does not list kvm/],
  ["arm has no such flags", { arch: "aarch64", cpuFlags: new Set() }, "kvm", false, /usable/],
  [
    "a remote host's flags are unknown",
    { device: undefined, cpuFlags: undefined },
    "kvm",
    false,
    /./,
  ],
  ["emulation asked for: no warning", { wanted: "qemu" }, "qemu", false, /asks for it/],
  [
    "KVM asked for against the flags: done, with a warning",
    { wanted: "kvm", cpuFlags: new Set() },
    "kvm",
    true,
    /neither vmx nor svm/,
  ],
];
for (const [name, change, type, warn, reason] of kvmTable) {
  Deno.test(`domain type: ${name}`, () => {
    const choice = chooseDomainType({ ...good, ...change });
    assert.equal(choice.type, type);
    assert.equal(choice.warn, warn);
    assert.match(choice.reason, reason);
  });
}

Deno.test("domain type: kvm by name on a host without it is a host prerequisite, with the sign", () => {
  assert.throws(
    () => chooseDomainType({ ...good, wanted: "kvm", device: { opens: false, detail: "absent" } }),
    (e) => e instanceof RumError && e.code === "host_prerequisite" && /absent/.test(e.message),
  );
});

Deno.test("uri: an ordinary user gets the session, and nobody asks the system daemon", () => {
  const facts = { uid: 1000, wanted: "auto", embedRoot: "/d/embed" };
  assert.equal(needsSystemProbe(facts), false);
  assert.equal(chooseHypervisor(facts).uri, "qemu:///session");
});

Deno.test("uri: root gets the system daemon if it answers, else the embedded driver, saying why", () => {
  const facts = { uid: 0, wanted: "auto", embedRoot: "/d/embed" };
  assert.equal(needsSystemProbe(facts), true);
  assert.equal(
    chooseHypervisor({ ...facts, system: { answers: true, detail: "" } }).kind,
    "system",
  );
  const embed = chooseHypervisor({
    ...facts,
    system: { answers: false, detail: "no such socket" },
  });
  assert.equal(embed.uri, "qemu:///embed?root=/d/embed");
  assert.match(embed.reason, /no such socket/);
});

Deno.test("uri: what was recorded at creation stays, whatever answers today", () => {
  const recorded = { uri: "qemu:///embed?root=/d/embed", kind: "embed", reason: "" } as const;
  const facts = { uid: 0, wanted: "auto", embedRoot: "/elsewhere", recorded };
  assert.equal(needsSystemProbe(facts), false);
  assert.deepEqual(
    chooseHypervisor({ ...facts, system: { answers: true, detail: "" } }),
    recorded,
  );
});

Deno.test("uri: an explicit one is taken as it is, a bare embed gets the machine's root", () => {
  const facts = { uid: 1000, embedRoot: "/d/e" };
  assert.deepEqual(
    chooseHypervisor({ ...facts, wanted: "qemu+ssh://root@farm/system" }).kind,
    "remote",
  );
  assert.equal(
    chooseHypervisor({ ...facts, wanted: "qemu:///embed" }).uri,
    "qemu:///embed?root=/d/e",
  );
  assert.throws(
    () => chooseHypervisor({ ...facts, wanted: "xen:///system" }),
    (e) => e instanceof RumError && e.code === "config_invalid",
  );
});

Deno.test("uriKind tells local doors from remote ones", () => {
  assert.equal(uriKind("qemu:///system"), "system");
  assert.equal(uriKind("qemu+unix:///system?socket=/x"), "system");
  assert.equal(uriKind("qemu:///session"), "session");
  assert.equal(uriKind("qemu+tcp://h/system"), "remote");
  assert.equal(uriKind("qemu+ssh:///system"), "remote");
  assert.equal(uriKind("test:///default"), "test");
  assert.equal(uriKind("lxc:///"), undefined);
});

Deno.test("embedUri escapes what a query cannot hold", () => {
  assert.equal(embedUri("/a b/c&d=e"), "qemu:///embed?root=/a%20b/c%26d%3De");
});
