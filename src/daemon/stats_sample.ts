/**
 * libvirt's counters → one document that means the same under every hypervisor, and rates from two
 * of them. Pure. What a hypervisor does not count is absent, never zero.
 */
import type { RawStats } from "../libvirt/hypervisor.ts";

export interface StatsSample {
  /** ISO 8601. */
  readonly at: string;
  /** For rates; never goes back. */
  readonly monotonic_ms: number;
  readonly cpu: {
    readonly vcpus?: number;
    readonly time_ns?: number;
    readonly user_ns?: number;
    readonly system_ns?: number;
    /** 100 = one core of the host. */
    readonly percent?: number;
  };
  /** Bytes. `guest_*`: by the balloon driver in the guest. */
  readonly memory: {
    readonly maximum?: number;
    readonly balloon?: number;
    readonly resident?: number;
    readonly guest_total?: number;
    readonly guest_unused?: number;
    readonly guest_usable?: number;
    readonly swap_in?: number;
    readonly swap_out?: number;
  };
  readonly disks: readonly DiskStats[];
  readonly nets: readonly NetStats[];
}

export interface DiskStats {
  readonly name: string;
  readonly read_bytes?: number;
  readonly read_requests?: number;
  readonly write_bytes?: number;
  readonly write_requests?: number;
  readonly flush_requests?: number;
  readonly allocation?: number;
  readonly capacity?: number;
  readonly physical?: number;
  readonly read_bytes_per_s?: number;
  readonly write_bytes_per_s?: number;
}

export interface NetStats {
  readonly name: string;
  readonly rx_bytes?: number;
  readonly rx_packets?: number;
  readonly rx_errors?: number;
  readonly rx_dropped?: number;
  readonly tx_bytes?: number;
  readonly tx_packets?: number;
  readonly tx_errors?: number;
  readonly tx_dropped?: number;
  readonly rx_bytes_per_s?: number;
  readonly tx_bytes_per_s?: number;
}

export function sampleOf(
  raw: RawStats,
  now: { readonly at: string; readonly monotonicMs: number },
  before?: StatsSample,
): StatsSample {
  const count = (key: string, factor = 1): number | undefined => {
    const value = raw[key];
    return typeof value === "number" ? value * factor : undefined;
  };
  const seconds = before === undefined ? 0 : (now.monotonicMs - before.monotonic_ms) / 1000;
  /** A counter that went back began anew: another start of the machine. */
  const rate = (from: number | undefined, to: number | undefined) =>
    from === undefined || to === undefined || to < from || seconds <= 0
      ? undefined
      : Math.round((to - from) / seconds * 10) / 10;
  const time = count("cpu.time");
  const perSecond = rate(before?.cpu.time_ns, time);
  return {
    at: now.at,
    monotonic_ms: Math.round(now.monotonicMs),
    cpu: known({
      vcpus: count("vcpu.current"),
      time_ns: time,
      user_ns: count("cpu.user"),
      system_ns: count("cpu.system"),
      percent: perSecond === undefined ? undefined : Math.round(perSecond / 1e6) / 10,
    }),
    memory: known({
      maximum: count("balloon.maximum", 1024),
      balloon: count("balloon.current", 1024),
      resident: count("balloon.rss", 1024),
      guest_total: count("balloon.available", 1024),
      guest_unused: count("balloon.unused", 1024),
      guest_usable: count("balloon.usable", 1024),
      swap_in: count("balloon.swap_in", 1024),
      swap_out: count("balloon.swap_out", 1024),
    }),
    disks: named(raw, "block").map(({ name, at }) => {
      const old = before?.disks.find((disk) => disk.name === name);
      const read = count(`${at}.rd.bytes`);
      const write = count(`${at}.wr.bytes`);
      return {
        name,
        ...known({
          read_bytes: read,
          read_requests: count(`${at}.rd.reqs`),
          write_bytes: write,
          write_requests: count(`${at}.wr.reqs`),
          flush_requests: count(`${at}.fl.reqs`),
          allocation: count(`${at}.allocation`),
          capacity: count(`${at}.capacity`),
          physical: count(`${at}.physical`),
          read_bytes_per_s: rate(old?.read_bytes, read),
          write_bytes_per_s: rate(old?.write_bytes, write),
        }),
      };
    }),
    nets: named(raw, "net").map(({ name, at }) => {
      const old = before?.nets.find((net) => net.name === name);
      const rx = count(`${at}.rx.bytes`);
      const tx = count(`${at}.tx.bytes`);
      return {
        name,
        ...known({
          rx_bytes: rx,
          rx_packets: count(`${at}.rx.pkts`),
          rx_errors: count(`${at}.rx.errs`),
          rx_dropped: count(`${at}.rx.drop`),
          tx_bytes: tx,
          tx_packets: count(`${at}.tx.pkts`),
          tx_errors: count(`${at}.tx.errs`),
          tx_dropped: count(`${at}.tx.drop`),
          rx_bytes_per_s: rate(old?.rx_bytes, rx),
          tx_bytes_per_s: rate(old?.tx_bytes, tx),
        }),
      };
    }),
  };
}

function named(raw: RawStats, prefix: string): { name: string; at: string }[] {
  const found: { name: string; at: string }[] = [];
  const total = Math.min(Number(raw[`${prefix}.count`] ?? 0) || 0, 256);
  for (let i = 0; i < total; i++) {
    const name = raw[`${prefix}.${i}.name`];
    found.push({ name: typeof name === "string" ? name : String(i), at: `${prefix}.${i}` });
  }
  return found;
}

function known<T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined),
  ) as { [K in keyof T]?: NonNullable<T[K]> };
}
