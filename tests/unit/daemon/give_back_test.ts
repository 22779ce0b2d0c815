/** Which mappings a daemon lets go: from what /proc says, and of this very process. */
import assert from "node:assert/strict";
import { cleanCode } from "../../../src/daemon/give_back.ts";

const PROGRAM = "/usr/bin/deno";

const mapping = (head: string, fields: Record<string, number>) =>
  `${head}\n` +
  Object.entries({ Rss: 4096, Shared_Dirty: 0, Private_Dirty: 0, Anonymous: 0, ...fields })
    .map(([name, kib]) => `${name}:          ${kib} kB\n`).join("") +
  "VmFlags: rd ex mr mw me\n";

Deno.test("cleanCode: code of a file that nobody wrote to", () => {
  const text = mapping("00400000-00800000 r-xp 00001000 08:01 12 /usr/bin/deno", {});
  assert.deepEqual(cleanCode(text, PROGRAM), [{ start: 0x400000n, length: 0x400000n }]);
});

for (
  const [what, head, fields] of [
    ["a page of it was changed", "00400000-00800000 r-xp 0 08:01 12 /usr/bin/deno", {
      Anonymous: 4,
    }],
    ["it may be written", "00400000-00800000 rw-p 0 08:01 12 /usr/bin/deno", {}],
    ["it is shared", "00400000-00800000 r--s 0 08:01 12 /usr/bin/deno", {}],
    ["no file stands behind it", "00400000-00800000 r-xp 0 00:00 0 ", {}],
    ["it is the kernel's", "7ff000000000-7ff000002000 r-xp 0 00:00 0 [vdso]", {}],
    ["it is another file", "00400000-00800000 r-xp 0 08:01 12 /usr/lib/libvirt.so.0", {}],
    ["it is small", "00400000-00800000 r-xp 0 08:01 12 /usr/bin/deno", { Rss: 60 }],
  ] as const
) {
  Deno.test(`cleanCode: not where ${what}`, () => {
    assert.deepEqual(cleanCode(mapping(head, fields), PROGRAM), []);
  });
}

Deno.test("cleanCode: a mapping whose fields this kernel does not tell is left alone", () => {
  const text = "00400000-00800000 r-xp 0 08:01 12 /usr/bin/deno\nRss: 4096 kB\n";
  assert.deepEqual(cleanCode(text, PROGRAM), []);
});

Deno.test("cleanCode: finds the runtime's own code", async () => {
  const found = cleanCode(
    await Deno.readTextFile("/proc/self/smaps"),
    await Deno.readLink("/proc/self/exe"),
  );
  const bytes = found.reduce((sum, { length }) => sum + Number(length), 0);
  assert.ok(bytes > 10 * 1024 * 1024, `${bytes} bytes`);
});
