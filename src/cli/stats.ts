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

export function lineOf({ at, cpu, memory, disks, nets }: StatsSample): string {
  return [
    at.slice(11, 19),
    `cpu ${shown(cpu.percent, percent)}`,
    `memory ${shown(usedMemory(memory), formatSize)}`,
    `disk read ${shown(sum(disks.map((d) => d.read_bytes_per_s)), perSecond)}`,
    `write ${shown(sum(disks.map((d) => d.write_bytes_per_s)), perSecond)}`,
    `net in ${shown(sum(nets.map((n) => n.rx_bytes_per_s)), perSecond)}`,
    `out ${shown(sum(nets.map((n) => n.tx_bytes_per_s)), perSecond)}`,
  ].join("  ");
}

const percent = (value: number) => `${value.toFixed(1)} %`;
const perSecond = (bytes: number) => `${formatSize(Math.round(bytes))}/s`;

/** What was not counted is told as that, not as a zero. */
function shown(value: number | undefined, show: (value: number) => string): string {
  return value === undefined ? "-" : show(value);
}

/** Of what was counted; undefined when nothing was. */
function sum(values: readonly (number | undefined)[]): number | undefined {
  const counted = values.filter((value) => value !== undefined);
  return counted.length === 0 ? undefined : counted.reduce((total, value) => total + value, 0);
}

/** By the guest's own account where it gives one, else what the host holds for it. */
function usedMemory(memory: StatsSample["memory"]): number | undefined {
  return memory.guest_total !== undefined && memory.guest_usable !== undefined
    ? memory.guest_total - memory.guest_usable
    : memory.resident ?? memory.balloon;
}

export function sampleText(sample: StatsSample): string {
  const { cpu, memory, disks, nets } = sample;
  const rows: [string, string][] = [[
    "cpu",
    [
      cpu.percent === undefined ? undefined : `${percent(cpu.percent)} of a core`,
      cpu.time_ns === undefined ? undefined : `${formatDuration(cpu.time_ns / 1e6)} in all`,
      cpu.vcpus === undefined ? undefined : `${cpu.vcpus} CPUs`,
    ].filter((part) => part !== undefined).join(", ") || "-",
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
    ].filter((part) => part !== undefined).join(", ") || "-",
  ]);
  for (const disk of disks) {
    rows.push([
      `disk ${disk.name}`,
      `read ${shown(disk.read_bytes, formatSize)} (${disk.read_requests ?? "-"}), ` +
      `written ${shown(disk.write_bytes, formatSize)} (${disk.write_requests ?? "-"})`,
    ]);
  }
  for (const net of nets) {
    rows.push([
      `net ${net.name}`,
      `in ${shown(net.rx_bytes, formatSize)} (${net.rx_packets ?? "-"}), ` +
      `out ${shown(net.tx_bytes, formatSize)} (${net.tx_packets ?? "-"})`,
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
  const chart = (
    label: string,
    value: (sample: StatsSample) => number | undefined,
    show: (value: number) => string,
    top?: number,
  ) =>
    chartLine(label, samples.map(value).filter((each) => each !== undefined), {
      columns: Math.max(10, Math.min(60, columns - 50)),
      show,
      ...(top === undefined ? {} : { top }),
    });
  const last = samples.at(-1)!;
  return [
    `${samples.length} samples, ${formatDuration(samples.length * everyMs)}`,
    chart("cpu      ", (s) => s.cpu.percent, percent, 100 * (last.cpu.vcpus ?? 1)),
    chart("memory   ", (s) => usedMemory(s.memory), formatSize, last.memory.maximum),
    chart(
      "disk     ",
      (s) => sum(s.disks.flatMap((d) => [d.read_bytes_per_s, d.write_bytes_per_s])),
      perSecond,
    ),
    chart(
      "network  ",
      (s) => sum(s.nets.flatMap((n) => [n.rx_bytes_per_s, n.tx_bytes_per_s])),
      perSecond,
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
