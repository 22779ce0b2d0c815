/** listeners: which TCP ports something in the guest listens on, from /proc/net. */
import type { Listener } from "../../src/protocol/agent.ts";
import { readText } from "../facts.ts";

const LISTEN = "0A";

export async function listeners(): Promise<{ listeners: Listener[] }> {
  const [v4, v6] = await Promise.all([readText("/proc/net/tcp"), readText("/proc/net/tcp6")]);
  return { listeners: [...parseTcpTable(v4, "IPv4"), ...parseTcpTable(v6, "IPv6")].slice(0, 4096) };
}

export function parseTcpTable(table: string, family: "IPv4" | "IPv6"): Listener[] {
  const found: Listener[] = [];
  for (const line of table.split("\n").slice(1)) {
    const [, local, , state, , , , uid] = line.trim().split(/\s+/);
    if (state !== LISTEN) continue;
    const [hex, port] = local.split(":");
    const address = family === "IPv4" ? address4(hex) : address6(hex);
    found.push({ port: parseInt(port, 16), address, family, uid: Number(uid) || 0 });
  }
  return found;
}

/** Each 32-bit word is printed in the machine's own byte order: little-endian. */
function words(hex: string): number[] {
  const bytes: number[] = [];
  for (let at = 0; at < hex.length; at += 8) {
    for (let i = 6; i >= 0; i -= 2) bytes.push(parseInt(hex.slice(at + i, at + i + 2), 16));
  }
  return bytes;
}

function address4(hex: string): string {
  return words(hex).join(".");
}

function address6(hex: string): string {
  const bytes = words(hex);
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i] << 8) | bytes[i + 1]).toString(16));
  // The URL parser writes the shortest form, as everybody else prints it.
  return new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1);
}
