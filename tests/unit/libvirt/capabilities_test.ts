/** Capabilities XML as libvirt 9 writes it, cut short. */
import assert from "node:assert/strict";
import { listsKvm, parseCapabilities } from "../../../src/libvirt/capabilities.ts";

const XML = `<capabilities>
<host><uuid>x</uuid><cpu><arch>x86_64</arch><model>qemu64</model></cpu>
<secmodel><model>dac</model><doi>0</doi><baselabel type='kvm'>+64055:+108</baselabel>
<baselabel type='qemu'>+64055:+108</baselabel></secmodel></host>
<guest><os_type>hvm</os_type><arch name='i686'><wordsize>32</wordsize>
<emulator>/usr/bin/qemu-system-i386</emulator><machine maxCpus='255'>pc-i440fx-7.2</machine>
<domain type='qemu'/></arch></guest>
<guest><os_type>hvm</os_type><arch name='x86_64'><wordsize>64</wordsize>
<emulator>/usr/bin/qemu-system-x86_64</emulator>
<machine canonical='pc-q35-7.2' maxCpus='288'>q35</machine>
<domain type='qemu'/><domain type='kvm'/></arch></guest>
</capabilities>`;

Deno.test("parseCapabilities reads emulators, machines with their aliases, and types", async () => {
  const found = await parseCapabilities(XML);
  assert.equal(found.arch, "x86_64");
  assert.equal(found.dacLabel, "+64055:+108");
  assert.deepEqual(found.guests[1], {
    arch: "x86_64",
    emulator: "/usr/bin/qemu-system-x86_64",
    machines: ["pc-q35-7.2", "q35"],
    types: ["qemu", "kvm"],
  });
});

Deno.test("listsKvm asks about one architecture", async () => {
  const found = await parseCapabilities(XML);
  assert.equal(listsKvm(found, "x86_64"), true);
  assert.equal(listsKvm(found, "i686"), false);
  assert.equal(listsKvm(found, "aarch64"), false);
});

Deno.test("parseCapabilities refuses what is not XML", async () => {
  await assert.rejects(parseCapabilities("<capabilities><host>"));
});
