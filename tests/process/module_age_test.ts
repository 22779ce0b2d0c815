/** How old libvirt holds itself to be: from what is loaded now, or from all that may be loaded. */
import assert from "node:assert/strict";
import { Libraries, LIBRARY_NAMES, SymbolMissing } from "../../ffi/library.ts";
import { modulesBeside, settleModuleAge } from "../../src/libvirt/module_age.ts";

// Libraries stay open on purpose.
Deno.test({
  name: "libvirt's own age is that of the newest module it may load, before it has loaded any",
  sanitizeResources: false,
}, () => {
  const { libvirt } = new Libraries();
  const { symbols } = Deno.dlopen(LIBRARY_NAMES.libvirt, {
    virGetSelfLastChanged: { parameters: [], result: "i64" },
  });
  const modules = modulesBeside(Deno.readTextFileSync("/proc/self/maps"));
  const names = modules.map((path) => path.split("/").at(-1));
  for (const name of ["libvirt_driver_qemu.so", "libvirt_storage_file_fs.so"]) {
    assert.ok(names.includes(name), `${name} is none of ${names.join(", ")}`);
  }
  settleModuleAge(libvirt);
  const newest = Math.max(...modules.map((path) => Deno.statSync(path).ctime!.getTime()));
  assert.equal(symbols.virGetSelfLastChanged(), BigInt(Math.floor(newest / 1000)));
});

Deno.test("a libvirt without that function or that folder is left as it is", () => {
  const told: Uint8Array[] = [];
  const maps = "7f00-7f01 r-xp 0 08:01 12   /nowhere/libvirt.so.0.9000.0\n";
  settleModuleAge({ virUpdateSelfLastChanged: (path) => void told.push(path as Uint8Array) }, maps);
  settleModuleAge({ virUpdateSelfLastChanged: (path) => void told.push(path as Uint8Array) }, "");
  assert.deepEqual(told, []);
  settleModuleAge({
    virUpdateSelfLastChanged: () => {
      throw new SymbolMissing("libvirt.so.0", "virUpdateSelfLastChanged");
    },
  });
});
