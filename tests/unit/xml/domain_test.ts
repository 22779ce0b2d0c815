import assert from "node:assert/strict";
import { BOOT_UNIT } from "../../../src/cloudinit/boot_script.ts";
import { makePlan } from "../../../src/plan/plan.ts";
import type { Plan } from "../../../src/plan/types.ts";
import { diskName, domainXml } from "../../../src/xml/domain.ts";
import { type DomainParts, domainSpecOf } from "../../../src/xml/from_plan.ts";
import { networkXml } from "../../../src/xml/network.ts";
import { isOurs, parseMachineXml, parseNetworkXml } from "../../../src/xml/parse.ts";
import { richConfig, richFacts, sampleConfig, sampleFacts } from "../plan/sample.ts";
import { withFolder } from "../../support/folder.ts";

const parts: DomainParts = {
  seedPath: "/var/lib/rum/00b779d4/seed-0123.iso",
  base: { path: "/var/cache/rum/images/base.qcow2", format: "qcow2" },
  firmware: "bios",
  rumVersion: "0.1.0",
};
const small = makePlan(sampleConfig(), sampleFacts());
const rich = makePlan(richConfig(), richFacts());
const odd: Plan = {
  ...rich,
  configPath: `/tmp/<&"'é\t\n>/rum.toml`,
  mounts: rich.mounts.map((m) => ({ ...m, type: "9p", readonly: true })),
};

const variants: [string, string][] = [
  ["emulated, embedded, smallest", domainXml(domainSpecOf(small, parts))],
  ["KVM, system, everything", domainXml(domainSpecOf(rich, parts))],
  ["UEFI", domainXml(domainSpecOf(small, { ...parts, firmware: "uefi" }))],
  ["arm", domainXml(domainSpecOf({ ...rich, arch: "aarch64", machineType: "virt" }, parts))],
  ["odd characters and 9p", domainXml(domainSpecOf(odd, parts))],
  ["a named CPU model", domainXml(domainSpecOf({ ...small, cpuModel: "Nehalem" }, parts))],
];

for (const [name, xml] of variants.slice(0, 2)) {
  Deno.test(`domain XML: ${name}`, async (t) => {
    await t.assertSnapshot(xml);
  });
}

for (const [name, xml] of variants) {
  Deno.test(`domain XML validates against libvirt's schema: ${name}`, async () => {
    await validates(xml);
  });

  // The test driver is an x86 host: it parses everything, and defines what its machines can hold.
  Deno.test(`domain XML goes through libvirt's own parser: ${name}`, async () => {
    const native = xml.replace(/<domain type='\w+'>/, "<domain type='test'>");
    await virsh(native, "define");
  });
}

Deno.test("the machine's SMBIOS strings start the agent by systemd, and tell no secret", () => {
  const { oemStrings } = domainSpecOf(rich, parts);
  const told = Object.fromEntries(oemStrings.map((entry) => {
    const [, name, value] = /^io\.systemd\.credential\.binary:([^=]+)=([A-Za-z0-9+/=]+)$/.exec(
      entry,
    )!;
    return [name, atob(value)];
  }));
  assert.deepEqual(told, {
    "systemd.extra-unit.rum-boot.service": BOOT_UNIT,
    "systemd.unit-dropin.multi-user.target~rum": "[Unit]\nWants=rum-boot.service\n",
  });
  assert.deepEqual(domainSpecOf(small, parts).oemStrings, oemStrings, "the same for every machine");
});

Deno.test("network XML: validates, and libvirt's own parser takes it", async (t) => {
  const xmls = rich.networks.map((n) => networkXml(n, { id: rich.id, version: "0.1.0" }));
  await t.assertSnapshot(xmls.join("\n"));
  for (const xml of xmls) {
    await validates(xml);
    await virsh(xml, "net-define");
  }
});

Deno.test("parseMachineXml reads back who it is, whatever the path holds", async () => {
  const parsed = await parseMachineXml(domainXml(domainSpecOf(odd, parts)));
  assert.equal(parsed.name, odd.hypervisorName);
  assert.equal(parsed.uuid, odd.uuid);
  assert.deepEqual(parsed.metadata, {
    id: odd.id,
    version: "0.1.0",
    configPath: odd.configPath,
  });
  assert.deepEqual(parsed.disks.map((d) => d.serial), [
    "rum-root",
    "rum-seed",
    "rum-data",
    "rum-a-rathe-e08fb145",
  ]);
  assert.equal(parsed.agentChannel?.path, undefined, "the system daemon's QEMU picks its own");
  assert.equal(isOurs(parsed, odd), true);
  const own = await parseMachineXml(domainXml(domainSpecOf(small, parts)));
  assert.equal(own.agentChannel?.path, small.paths.agentSocket);
});

Deno.test("isOurs wants UUID, id and namespace, all three", async () => {
  const xml = domainXml(domainSpecOf(small, parts));
  const strangers = [
    xml.replace("urn:rum:machine:1", "urn:other"),
    xml.replace(`id='${small.id}'`, "id='ffffffff'"),
    xml.replace(small.uuid, "00000000-0000-4000-8000-000000000000"),
    xml.replace(/<metadata>[^]*<\/metadata>/, ""),
  ];
  for (const stranger of strangers) {
    assert.notEqual(stranger, xml);
    assert.equal(isOurs(await parseMachineXml(stranger), small), false);
  }
});

Deno.test("parseMachineXml reads a running domain's pty, channel state and CID", async () => {
  const parsed = await parseMachineXml(`<domain type='qemu' id='7'><name>n</name><uuid>U</uuid>
    <devices><console type='pty' tty='/dev/pts/4'><source path='/dev/pts/4'/></console>
    <channel type='unix'><source mode='bind' path='/x/agent.sock'/>
    <target type='virtio' name='org.rum.agent.0' state='connected'/></channel>
    <vsock><cid auto='yes' address='5'/></vsock></devices></domain>`);
  assert.equal(parsed.libvirtId, 7);
  assert.equal(parsed.consolePty, "/dev/pts/4");
  assert.deepEqual(parsed.agentChannel, { path: "/x/agent.sock", state: "connected" });
  assert.equal(parsed.vsockCid, 5);
  assert.equal(parsed.metadata, undefined);
});

Deno.test("parseMachineXml refuses what is no domain", async () => {
  for (
    const text of [
      "",
      "<domain",
      "<network/>",
      "<!DOCTYPE x [<!ENTITY a 'b'>]><domain>&a;</domain>",
    ]
  ) {
    await assert.rejects(parseMachineXml(text), { code: "hypervisor_error" });
  }
});

Deno.test("parseNetworkXml knows the machine a network was made for", async () => {
  const xml = networkXml(rich.networks[0], { id: rich.id, version: "0.1.0" });
  assert.equal((await parseNetworkXml(xml)).machineId, rich.id);
  assert.equal(
    (await parseNetworkXml("<network><name>default</name></network>")).machineId,
    undefined,
  );
});

Deno.test("diskName counts as libvirt does", () => {
  assert.deepEqual([0, 1, 25, 26, 27, 701, 702].map(diskName), [
    "vda",
    "vdb",
    "vdz",
    "vdaa",
    "vdab",
    "vdzz",
    "vdaaa",
  ]);
});

async function validates(xml: string): Promise<void> {
  await withFile(xml, (path) => run("virt-xml-validate", path));
}

async function virsh(xml: string, command: string): Promise<void> {
  await withFile(xml, (path) => run("virsh", "-c", "test:///default", command, path));
}

async function withFile(content: string, work: (path: string) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/it.xml`, content);
    await work(`${folder}/it.xml`);
  });
}

async function run(command: string, ...args: string[]): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args }).output();
  const text = new TextDecoder();
  assert.ok(success, text.decode(stdout) + text.decode(stderr));
}
