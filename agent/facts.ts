/** What the guest is, read fresh where it can change. A missing file is an empty fact, no failure. */
import type { GuestAddress } from "../src/protocol/agent.ts";
import type { AgentOptions } from "./options.ts";

export interface Facts {
  /** Names this process; a host sees a restart by its change. */
  readonly instance: string;
  readonly bootId: string;
  /** Names the agent's program, as the host that delivered it did. */
  readonly digest: string;
  /** Set once: time since then is the agent's uptime. */
  readonly startedAt: Date;
}

export async function readFacts(options: AgentOptions): Promise<Facts> {
  return Object.freeze({
    instance: crypto.randomUUID(),
    bootId: options.bootId ?? (await readText("/proc/sys/kernel/random/boot_id")).trim(),
    digest: await ownDigest(),
    startedAt: new Date(),
  });
}

/** Whoever delivers the program writes its digest beside it. */
async function ownDigest(): Promise<string> {
  const folder = ownFolder();
  const text = (await readText(`${folder}/rum-agent.digest`)).trim();
  return /^[0-9a-f]{8,128}$/.test(text) ? text : "unknown";
}

/** The folder of the running program: of the executable when compiled, of the script otherwise. */
export function ownFolder(): string {
  const program = Deno.build.standalone ? Deno.execPath() : new URL(Deno.mainModule).pathname;
  return program.slice(0, program.lastIndexOf("/"));
}

export async function osRelease(
  root: string,
): Promise<{ id: string; versionId: string; prettyName: string }> {
  const text = await readText(`${root}/etc/os-release`) ||
    await readText(`${root}/usr/lib/os-release`);
  const fields = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^([A-Z_]+)=(?:"(.*)"|'(.*)'|(.*))$/.exec(line.trim());
    if (match !== null) fields.set(match[1], match[2] ?? match[3] ?? match[4] ?? "");
  }
  return {
    id: (fields.get("ID") ?? "").slice(0, 64),
    versionId: (fields.get("VERSION_ID") ?? "").slice(0, 64),
    prettyName: (fields.get("PRETTY_NAME") ?? "").slice(0, 256),
  };
}

/** Every address but loopback and link-local ones. */
export function addresses(): GuestAddress[] {
  return Deno.networkInterfaces()
    .filter((each) => !each.address.startsWith("127.") && each.address !== "::1")
    .filter((each) => !each.address.toLowerCase().startsWith("fe80:"))
    .slice(0, 256)
    .map((each) => ({
      interface: each.name.slice(0, 64),
      family: each.family,
      address: each.address.slice(0, 64),
    }));
}

export async function uptimeMs(): Promise<number> {
  return Math.round(Number((await readText("/proc/uptime")).split(" ")[0]) * 1000) || 0;
}

export async function readText(path: string): Promise<string> {
  return await Deno.readTextFile(path).catch(() => "");
}

export async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
