/** The kernel's tables, as the agent reads them. */
import assert from "node:assert/strict";
import { kernelKnows, parseMountinfo } from "../../../agent/apply/mountinfo.ts";
import { withBlock } from "../../../agent/apply/edit.ts";
import { environmentFile } from "../../../agent/exec/command.ts";
import { parseStat } from "../../../agent/exec/session_end.ts";
import { parseTcpTable } from "../../../agent/methods/listeners.ts";
import {
  hasDefaultRoute4,
  hasDefaultRoute6,
  inodesInLocks,
} from "../../../agent/provision/waits.ts";
import { LineSplitter } from "../../../agent/provision/lines.ts";

Deno.test("stat: a process whose name looks like the fields behind it", () => {
  assert.deepEqual(parseStat("42 (a) Z 1 2 3) S 7 42 41 0 -1"), {
    pid: 42,
    parent: 7,
    session: 41,
    zombie: false,
  });
});

Deno.test("tcp6: the address of a listener, words in the machine's order", () => {
  const table = "head\n   0: 00000000000000000000000001000000:1F90 " +
    "00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 1\n" +
    "   1: 0100007F:0016 00000000:0000 01 0:0 0:0 0 0 0 1\n";
  assert.deepEqual(parseTcpTable(table, "IPv6"), [
    { port: 8080, address: "::1", family: "IPv6", uid: 1000 },
  ]);
});

Deno.test("mountinfo: spaces in a target, read-only by the super block", () => {
  const line = "36 35 0:31 / /mnt/a\\040b rw,relatime shared:1 - virtiofs tag\\134x ro,dax\n";
  assert.deepEqual(parseMountinfo(line), [
    { target: "/mnt/a b", type: "virtiofs", source: "tag\\x", readonly: true },
  ]);
});

Deno.test("filesystems: a type by its whole name, with and without a disk", () => {
  const text = "nodev\tsysfs\nnodev\tvirtiofs\n\text4\n";
  assert.deepEqual(
    ["virtiofs", "ext4", "9p", "fs", "nodev"].map((type) => kernelKnows(type, text)),
    [true, true, false, false, false],
  );
});

Deno.test("routes: only a default route that is up counts", () => {
  const head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n";
  assert.equal(
    hasDefaultRoute4(`${head}eth0\t00000000\t0202000A\t0003\t0\t0\t0\t00000000\t0\n`),
    true,
  );
  assert.equal(
    hasDefaultRoute4(`${head}eth0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\n`),
    false,
  );
  const zero = "0".repeat(32);
  const row = (device: string) =>
    `${zero} 00 ${zero} 00 ${zero} ffffffff 00000001 00000000 00200201 ${device}\n`;
  assert.equal(hasDefaultRoute6(row("lo")), false);
  assert.equal(hasDefaultRoute6(row("eth0")), true);
});

Deno.test("locks: the inode behind device numbers", () => {
  const table =
    "1: POSIX  ADVISORY  WRITE 812 fe:01:131076 0 EOF\n2: FLOCK  ADVISORY  WRITE 1 00:1a:7 0 EOF\n";
  assert.deepEqual([...inodesInLocks(table)], [131076, 7]);
});

Deno.test("environment: quotes dropped, comments and rubbish skipped", () => {
  assert.deepEqual(environmentFile('# x\nA=1\nexport B="two words"\nC=\'q"\'\nnot a line\n'), {
    A: "1",
    B: "two words",
    C: 'q"',
  });
});

Deno.test("a block is replaced, other lines stay, an empty block goes", () => {
  const once = withBlock("mine\n", ["a"]);
  assert.equal(once, "mine\n# begin rum\na\n# end rum\n");
  assert.equal(withBlock(once + "later\n", ["b"]), "mine\nlater\n# begin rum\nb\n# end rum\n");
  assert.equal(withBlock(once, []), "mine\n");
});

Deno.test("lines: split inside a character, without an end, and longer than any line may be", () => {
  const splitter = new LineSplitter();
  const bytes = new TextEncoder().encode("ä\nb");
  assert.deepEqual(splitter.push(bytes.subarray(0, 1)), []);
  assert.deepEqual(splitter.push(bytes.subarray(1)), ["ä"]);
  assert.deepEqual(splitter.end(), ["b"]);
  const long = splitter.push(new TextEncoder().encode("x".repeat(40_000)));
  assert.deepEqual(long.map((line) => line.length), [16384, 16384]);
  assert.equal(splitter.end()[0].length, 40_000 - 2 * 16384);
});
