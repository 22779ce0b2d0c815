import assert from "node:assert/strict";
import { historyText, lineOf, sampleText } from "../../../src/cli/stats.ts";
import type { StatsSample } from "../../../src/daemon/stats_sample.ts";

const sample = (percent: number, read: number): StatsSample => ({
  at: "2026-11-27T00:00:00.000Z",
  monotonic_ms: 0,
  cpu: { percent, vcpus: 2 },
  memory: { guest_total: 2 ** 30, guest_usable: 2 ** 29, maximum: 2 ** 30 },
  disks: [{ name: "vda", read_bytes_per_s: read, write_bytes_per_s: 0 }],
  nets: [],
});

Deno.test("stats --history draws a line for cpu, memory, disk and network, the newest on the right", () => {
  const lines = historyText([sample(0, 0), sample(200, 2048)], 10_000, 70).split("\n");
  assert.equal(lines[0], "2 samples, 20.0 s");
  assert.match(lines[1], /^cpu {6}.*│ +▁?█│ 200\.0 %, at most 200\.0 %$/);
  assert.match(lines[2], /^memory .*▄▄│ 512/);
  assert.match(lines[3], /^disk .*█│ 2\S* ?\S*\/s/);
  assert.match(lines[4], /^network .*│ not counted$/);
});

Deno.test("stats tells what was not counted as that, not as a zero", () => {
  const first: StatsSample = {
    at: "2026-11-27T00:00:00.000Z",
    monotonic_ms: 0,
    cpu: {},
    memory: {},
    disks: [{ name: "vda", read_bytes: 2048 }],
    nets: [{ name: "vnet0" }],
  };
  assert.equal(
    lineOf(first),
    "00:00:00  cpu -  memory -  disk read -  write -  net in -  out -",
  );
  assert.match(sampleText(first), /^disk vda +read 2\S* ?\S* \(-\), written - \(-\)$/m);
  assert.match(sampleText(first), /^cpu +-\nmemory +-\n/);
  assert.match(sampleText(first), /^net vnet0 +in - \(-\), out - \(-\)$/m);
  const [, cpu] = historyText([first, sample(50, 0)], 10_000, 70).split("\n");
  assert.match(cpu, /│ 50\.0 %, at most 50\.0 %$/);
});

Deno.test("stats --history before the first sample says so", () => {
  assert.match(
    historyText([], 10_000, 80),
    /^Nothing is recorded yet; a sample is taken every 10\.0 s\.$/,
  );
});
