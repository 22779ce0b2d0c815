import assert from "node:assert/strict";
import type { RawStats } from "../../../src/libvirt/hypervisor.ts";
import { createStatsRing } from "../../../src/daemon/stats_ring.ts";
import { sampleOf } from "../../../src/daemon/stats_sample.ts";
import { systemClock } from "../../../src/base/clock.ts";

const RAW: RawStats = {
  "state.state": 1,
  "cpu.time": 10e9,
  "cpu.user": 4e9,
  "vcpu.current": 2,
  "balloon.current": 1024,
  "balloon.rss": 512,
  "block.count": 1,
  "block.0.name": "vda",
  "block.0.rd.bytes": 1000,
  "block.0.wr.bytes": 0,
  "net.count": 1,
  "net.0.name": "vnet3",
  "net.0.rx.bytes": 50,
};

Deno.test("sampleOf: libvirt's names become rum's, KiB bytes, and what is not counted is absent", () => {
  const sample = sampleOf(RAW, { at: "2026-01-01T00:00:00Z", monotonicMs: 1000.4 });
  assert.deepEqual(sample, {
    at: "2026-01-01T00:00:00Z",
    monotonic_ms: 1000,
    cpu: { vcpus: 2, time_ns: 10e9, user_ns: 4e9 },
    memory: { balloon: 1024 * 1024, resident: 512 * 1024 },
    disks: [{ name: "vda", read_bytes: 1000, write_bytes: 0 }],
    nets: [{ name: "vnet3", rx_bytes: 50 }],
  });
});

Deno.test("sampleOf: rates over the time between two samples; a counter that began anew has none", () => {
  const first = sampleOf(RAW, { at: "a", monotonicMs: 0 });
  const second = sampleOf(
    { ...RAW, "cpu.time": 11e9, "block.0.rd.bytes": 3000, "net.0.rx.bytes": 10 },
    { at: "b", monotonicMs: 2000 },
    first,
  );
  assert.equal(second.cpu.percent, 50);
  assert.equal(second.disks[0].read_bytes_per_s, 1000);
  assert.equal(second.disks[0].write_bytes_per_s, 0);
  assert.equal(second.nets[0].rx_bytes_per_s, undefined);
});

Deno.test("The ring takes a sample a turn while there is power, keeps the last hour, forgets none", async () => {
  let turns = 0;
  let reads = 0;
  const { promise: done, resolve } = Promise.withResolvers<void>();
  using ring = createStatsRing({
    read: () => Promise.resolve({ "cpu.time": ++reads }),
    // Off at first: no hypervisor is asked.
    powered: () => turns > 10,
    clock: {
      ...systemClock,
      monotonicMs: () => turns * 5000,
      sleep(_ms, options) {
        if (++turns <= 800) return Promise.resolve();
        resolve();
        return new Promise((_, reject) =>
          options?.signal?.addEventListener("abort", () => reject(options.signal!.reason))
        );
      },
    },
  });
  await done;
  const times = ring.history().map((sample) => sample.cpu.time_ns);
  assert.equal(reads, 790);
  assert.deepEqual(times, Array.from({ length: 720 }, (_, i) => 71 + i));
});
