/**
 * Failures of libvirt as their callers see them: each its own, with libvirt's code and text, and a
 * remedy. Everything here runs on the real library without a hypervisor.
 */
import assert from "node:assert/strict";
import { Libraries, LibraryMissing, SymbolMissing } from "../../ffi/library.ts";
import { CallFailed } from "../../src/libvirt/call_threads.ts";
import { describeFailure } from "../../src/libvirt/describe_failure.ts";
import { failureOf } from "../../src/libvirt/failure.ts";
import { openHypervisor } from "../../src/libvirt/open.ts";
import { LibvirtRuntime } from "../../src/libvirt/runtime.ts";
import { refused } from "../contract/hypervisor_contract.ts";
import { tinyRef } from "../support/tiny_machine.ts";

const TEST = { uri: "test:///default", kind: "test", reason: "test" } as const;

Deno.test("twenty calls that fail at once each get their own error, code and text", async () => {
  await using h = await openHypervisor(TEST);
  const refs = Array.from({ length: 20 }, tinyRef);
  await Promise.all(refs.map(async (ref, i) => {
    if (i % 2 === 0) {
      const error = await refused("machine_not_found", h.machine(ref).start());
      assert.ok(error.message.includes(ref.name), error.message);
    } else {
      const error = await refused(
        "hypervisor_error",
        h.machine(ref).define(`<nonsense-${ref.id}>`),
      );
      assert.ok(error.message.includes(`nonsense-${ref.id}`), error.message);
      assert.equal(error.data?.call, "virDomainDefineXMLFlags");
      assert.ok(Number(error.data?.libvirt_code) > 0);
    }
  }));
});

Deno.test("a library that is not installed is library_missing, with a command to install it", async () => {
  const names = { libvirt: "libvirt-not-there.so.0", qemu: "libvirt-qemu.so.0" };
  const error = await LibvirtRuntime.start(names).then(
    () => assert.fail("it started"),
    (thrown) => describeFailure(thrown, { doing: "open x", uri: "x" }),
  );
  const told = await refused("library_missing", Promise.reject(error));
  assert.match(told.message, /libvirt-not-there\.so\.0 is not installed/);
  assert.equal(told.hint, "rum doctor --fix");
});

Deno.test({
  name: "a library that lacks one function fails in that call only, as symbol_missing",
  // Libraries stay open on purpose (ffi/library.ts).
  sanitizeResources: false,
  fn: lacksOneFunction,
});

async function lacksOneFunction(): Promise<void> {
  // libc stands in for a libvirt that is too old: it opens, and has `free` and nothing else.
  const { libvirt } = new Libraries({ libvirt: "libc.so.6", qemu: "libc.so.6" });
  libvirt.free(null);
  assert.throws(() => libvirt.virInitialize(), SymbolMissing);
  const failure = failureOf(new SymbolMissing("libvirt.so.0", "virDomainRename"));
  const error = describeFailure(new CallFailed(failure), { doing: "rename x", uri: "x" });
  const told = await refused("symbol_missing", Promise.reject(error));
  assert.match(told.message, /virDomainRename/);
  assert.match(told.hint ?? "", /^apt-get /);
  assert.throws(() => new Libraries({ libvirt: "no.so", qemu: "no.so" }).libvirt, LibraryMissing);
}

Deno.test("a socket that nobody serves, and a driver that does not exist, are hypervisor_unreachable", async () => {
  for (const uri of ["qemu:///system?socket=/nonexistent/sock", "nodriver:///x"]) {
    const error = await refused(
      "hypervisor_unreachable",
      openHypervisor({ uri, kind: "system", reason: "test" }),
    );
    assert.ok(error.message.includes(uri), error.message);
    assert.equal(error.data?.call, "virConnectOpen");
  }
});
