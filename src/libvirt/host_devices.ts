/** Single questions to this host, each answered with the words for a sentence. No libvirt here. */
import type { Arch } from "../plan/types.ts";

export interface Availability {
  readonly available: boolean;
  readonly reason: string;
}

/** Whether this process may read and write a device. */
export async function deviceOpens(path: string): Promise<{ opens: boolean; detail: string }> {
  try {
    (await Deno.open(path, { read: true, write: true })).close();
    return { opens: true, detail: "" };
  } catch (error) {
    return { opens: false, detail: shortReason(error) };
  }
}

export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch {
    return false;
  }
}

export function hostArch(): Arch {
  return Deno.build.arch;
}

/** The flags of the first processor; empty where /proc does not tell. */
export async function cpuFlags(): Promise<ReadonlySet<string>> {
  try {
    const text = await Deno.readTextFile("/proc/cpuinfo");
    const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(text)?.[1] ?? "";
    return new Set(line.split(/\s+/).filter((flag) => flag !== ""));
  } catch {
    return new Set();
  }
}

/** What the kernel thinks could be had without swapping. */
export async function freeMemoryBytes(): Promise<number> {
  const text = await Deno.readTextFile("/proc/meminfo");
  return Number(/^MemAvailable:\s*(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024;
}

/** Free bytes on the file system that `path` is on, or will be on. */
export async function freeDiskBytes(path: string): Promise<number> {
  const { statfs } = await import("node:fs/promises");
  for (let folder = path;; folder = folder.slice(0, folder.lastIndexOf("/")) || "/") {
    try {
      const { bavail, bsize } = await statfs(folder);
      return bavail * bsize;
    } catch (error) {
      if (folder === "/") throw error;
    }
  }
}

/** IPv4 prefixes that this host has routes to (/proc/net/route), `10.0.2.0/24`. */
export async function usedSubnets(): Promise<string[]> {
  let table: string;
  try {
    table = await Deno.readTextFile("/proc/net/route");
  } catch {
    return [];
  }
  return table.split("\n").slice(1).flatMap((line) => {
    const [, destination, , , , , , mask] = line.split("\t");
    if (mask === undefined) return [];
    const bits = [...BigInt(`0x${mask}`).toString(2)].filter((bit) => bit === "1").length;
    if (bits === 0) return [];
    // Little-endian hex: the last byte comes first.
    const octets = destination.match(/../g)!.reverse().map((byte) => parseInt(byte, 16));
    return [`${octets.join(".")}/${bits}`];
  });
}

const VIRTIOFSD = [
  "/usr/lib/qemu/virtiofsd",
  "/usr/libexec/virtiofsd",
  "/usr/lib/virtiofsd",
  "/usr/lib/virtiofsd/virtiofsd",
];

export async function findVirtiofsd(): Promise<string | undefined> {
  for (const path of VIRTIOFSD) {
    if (await exists(path) && (await Deno.stat(path)).isFile) return path;
  }
  return undefined;
}

export function shortReason(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "it does not exist";
  if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable) {
    return "permission denied";
  }
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/ \(os error \d+\).*$/, "");
}
