/** stats: what only the guest knows of its own load, cheap enough to be asked every second. */
import type { GuestStats } from "../../src/protocol/agent.ts";
import { addresses, readText, uptimeMs } from "../facts.ts";

export async function stats(): Promise<GuestStats> {
  const [meminfo, loadavg, uptime] = await Promise.all([
    readText("/proc/meminfo"),
    readText("/proc/loadavg"),
    uptimeMs(),
  ]);
  const kib = (key: string) =>
    Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(meminfo)?.[1] ?? 0) * 1024;
  const load = loadavg.split(" ");
  return {
    uptimeMs: uptime,
    load: load.slice(0, 3).map((each) => Number(each) || 0),
    memory: { totalBytes: kib("MemTotal"), availableBytes: kib("MemAvailable") },
    processes: Number(load[3]?.split("/")[1] ?? 0) || 0,
    agentRssBytes: Deno.memoryUsage().rss,
    addresses: addresses(),
  };
}
