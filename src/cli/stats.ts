/** `rum stats`: counters of the machine now, as they go, or of the last hour as a small chart. */
import { EXIT } from "../base/errors.ts";
import { formatDuration, formatSize } from "../base/units.ts";
import type { StatsSample } from "../daemon/stats_sample.ts";
import { chartLine } from "../ui/chart.ts";
import { daemonClient } from "./daemon_client.ts";
import { untilInterrupted } from "./follow.ts";
import { targetOf } from "./target.ts";
import type { Context, VerbCall } from "./verb.ts";

const WATCH_MS = 1000;

export async function run(context: Context, call: VerbCall): Promise<number> {
  const { out } = context;
  await using client = await daemonClient(context, await targetOf(context));
  if (call.options.watch === true) {
    using end = untilInterrupted(context);
    try {
      await client.request("stats", { history: false, watch_ms: WATCH_MS }, {
        signal: end.signal,
        onEvent(event) {
          if ("count" in event) return;
          out.record("stats", event, () => lineOf(event as unknown as StatsSample));
        },
      });
      return EXIT.ok;
    } catch (thrown) {
      if (end.signal.aborted) return end.exit();
      throw thrown;
    }
  }
  const history = call.options.history === true;
  const answer = await client.request("stats", { history }, {
    signal: context.signal,
  });
  if (history) {
    const { samples, every_ms } = answer as { samples: StatsSample[]; every_ms: number };
    out.document("stats_history", answer, () => historyText(samples, every_ms, columnsOf(context)));
  } else {
    const { sample } = answer as { sample: StatsSample };
    out.document("stats", sample, () => sampleText(sample));
  }
  return EXIT.ok;
}

function lineOf({ at, cpu, memory, disks, nets }: StatsSample): string {
  const sum = (values: readonly (number | undefined)[]) =>
    values.reduce<number>((total, value) => total + (value ?? 0), 0);
  const perSecond = (bytes: number) => `${formatSize(Math.round(bytes))}/s`;
  return [
    at.slice(11, 19),
    `cpu ${cpu.percent === undefined ? "-" : `${cpu.percent.toFixed(1)} %`}`,
    `memory ${formatSize(usedMemory(memory))}`,
    `disk read ${perSecond(sum(disks.map((d) => d.read_bytes_per_s)))}`,
    `write ${perSecond(sum(disks.map((d) => d.write_bytes_per_s)))}`,
    `net in ${perSecond(sum(nets.map((n) => n.rx_bytes_per_s)))}`,
    `out ${perSecond(sum(nets.map((n) => n.tx_bytes_per_s)))}`,
  ].join("  ");
}

/** By the guest's own account where it gives one, else what the host holds for it. */
function usedMemory(memory: StatsSample["memory"]): number {
  return memory.guest_total !== undefined && memory.guest_usable !== undefined
    ? memory.guest_total - memory.guest_usable
    : memory.resident ?? memory.balloon ?? 0;
}

export function sampleText(sample: StatsSample): string {
  const { cpu, memory, disks, nets } = sample;
  const rows: [string, string][] = [[
    "cpu",
    [
      cpu.percent === undefined ? undefined : `${cpu.percent.toFixed(1)} % of a core`,
      cpu.time_ns === undefined ? undefined : `${formatDuration(cpu.time_ns / 1e6)} in all`,
      cpu.vcpus === undefined ? undefined : `${cpu.vcpus} CPUs`,
    ].filter((part) => part !== undefined).join(", "),
  ]];
  const size = (label: string, bytes: number | undefined) =>
    bytes === undefined ? undefined : `${label} ${formatSize(bytes)}`;
  rows.push([
    "memory",
    [
      size("balloon", memory.balloon),
      size("resident", memory.resident),
      size("unused in the guest", memory.guest_unused),
      size("usable", memory.guest_usable),
    ].filter((part) => part !== undefined).join(", "),
  ]);
  for (const disk of disks) {
    rows.push([
      `disk ${disk.name}`,
      `read ${formatSize(disk.read_bytes ?? 0)} (${disk.read_requests ?? 0}), ` +
      `written ${formatSize(disk.write_bytes ?? 0)} (${disk.write_requests ?? 0})`,
    ]);
  }
  for (const net of nets) {
    rows.push([
      `net ${net.name}`,
      `in ${formatSize(net.rx_bytes ?? 0)} (${net.rx_packets ?? 0}), ` +
      `out ${formatSize(net.tx_bytes ?? 0)} (${net.tx_packets ?? 0})`,
    ]);
  }
  const width = Math.max(...rows.map(([label]) => label.length)) + 2;
  return rows.map(([label, text]) => label.padEnd(width) + text).join("\n");
}

export function historyText(
  samples: readonly StatsSample[],
  everyMs: number,
  columns: number,
): string {
  if (samples.length === 0) {
    return `Nothing is recorded yet; a sample is taken every ${formatDuration(everyMs)}.`;
  }
  const sum = (values: readonly (number | undefined)[]) =>
    values.reduce<number>((total, value) => total + (value ?? 0), 0);
  const options = (show: (value: number) => string, top?: number) => ({
    columns: Math.max(10, Math.min(60, columns - 50)),
    show,
    ...(top === undefined ? {} : { top }),
  });
  const perSecond = (bytes: number) => `${formatSize(Math.round(bytes))}/s`;
  const last = samples.at(-1)!;
  return [
    `${samples.length} samples, ${formatDuration(samples.length * everyMs)}`,
    chartLine(
      "cpu      ",
      samples.map((s) => s.cpu.percent ?? 0),
      options((value) => `${value.toFixed(1)} %`, 100 * (last.cpu.vcpus ?? 1)),
    ),
    chartLine(
      "memory   ",
      samples.map((s) => usedMemory(s.memory)),
      options(formatSize, last.memory.maximum),
    ),
    chartLine(
      "disk     ",
      samples.map((s) => sum(s.disks.flatMap((d) => [d.read_bytes_per_s, d.write_bytes_per_s]))),
      options(perSecond),
    ),
    chartLine(
      "network  ",
      samples.map((s) => sum(s.nets.flatMap((n) => [n.rx_bytes_per_s, n.tx_bytes_per_s]))),
      options(perSecond),
    ),
  ].join("\n");
}

function columnsOf({ stdoutIsTerminal }: Context): number {
  if (!stdoutIsTerminal) return 100;
  try {
    return Deno.consoleSize().columns;
  } catch {
    return 100;
  }
}
