/**
 * What the first script may rely on: a route and a name server, the user, the whole of its disk, and package
 * databases that nobody holds. Each is waited for within a bound and by name; a bound that passes is said in the
 * script's own output and the script runs, because its failure tells more than ours would.
 *
 * Where nothing runs, a boot still has its network before the machine is called ready: whoever was told
 * so types `rum exec -- apt-get update` next.
 */
import type { ProvisionParams } from "../../src/protocol/agent.ts";
import { type Account, findAccount } from "../accounts.ts";
import { readText } from "../facts.ts";
import { rootGrowthWait } from "./root_growth.ts";

export interface Wait {
  readonly name: string;
  readonly timeoutMs: number;
  /** Undefined = fulfilled, else what is missing. */
  look(): Promise<string | undefined>;
}

const LOOK_MS = 200;

export function waitsFor(wanted: ProvisionParams["waits"], root: string): Wait[] {
  const waits: Wait[] = [];
  const user = wanted?.user;
  if (user !== undefined) {
    waits.push({
      name: `user ${user}`,
      timeoutMs: 60_000,
      look: async () => {
        const found: Account | undefined = findAccount(
          await readText(`${root}/etc/passwd`),
          user,
        );
        return found === undefined ? "no such user yet" : undefined;
      },
    });
  }
  if (wanted?.network === true) waits.push(networkWait(root, 60_000));
  waits.push(rootGrowthWait(root));
  waits.push({ name: "package locks", timeoutMs: 180_000, look: () => lookForPackageLocks(root) });
  return waits;
}

/** Shorter, because a guest may well have no network on purpose and nothing to run that wants one. */
export function waitsForNothing(wanted: ProvisionParams["waits"], root: string): Wait[] {
  return wanted?.network === true ? [networkWait(root, 15_000)] : [];
}

function networkWait(root: string, timeoutMs: number): Wait {
  return { name: "network", timeoutMs, look: () => lookForNetwork(root) };
}

export async function waitFor(
  wait: Wait,
  options: { signal: AbortSignal },
): Promise<{ ok: boolean; ms: number; seen?: string }> {
  const start = performance.now();
  for (;;) {
    const seen = await wait.look();
    const ms = Math.round(performance.now() - start);
    if (seen === undefined) return { ok: true, ms };
    if (options.signal.aborted || ms >= wait.timeoutMs) return { ok: false, ms, seen };
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

async function lookForNetwork(root: string): Promise<string | undefined> {
  const v4 = hasDefaultRoute4(await readText("/proc/net/route"));
  const v6 = hasDefaultRoute6(await readText("/proc/net/ipv6_route"));
  if (!v4 && !v6) return "no default route yet";
  return /^\s*nameserver\s/m.test(await readText(`${root}/etc/resolv.conf`))
    ? undefined
    : "no name server yet";
}

/** Destination and mask all zero, and the route is up. */
export function hasDefaultRoute4(table: string): boolean {
  return table.split("\n").slice(1).some((line) => {
    const [, destination, , flags, , , , mask] = line.trim().split(/\s+/);
    return destination === "00000000" && mask === "00000000" && (parseInt(flags, 16) & 1) === 1;
  });
}

export function hasDefaultRoute6(table: string): boolean {
  return table.split("\n").some((line) => {
    const [destination, length, , , , , , , flags, device] = line.trim().split(/\s+/);
    return device !== undefined && device !== "lo" && length === "00" &&
      /^0+$/.test(destination) && (parseInt(flags, 16) & 1) === 1;
  });
}

const LOCKS = [
  "/var/lib/dpkg/lock-frontend",
  "/var/lib/dpkg/lock",
  "/var/lib/apt/lists/lock",
  "/var/cache/apt/archives/lock",
  "/var/lib/rpm/.rpm.lock",
  "/usr/lib/sysimage/rpm/.rpm.lock",
];

async function lookForPackageLocks(root: string): Promise<string | undefined> {
  const held = inodesInLocks(await readText("/proc/locks"));
  for (const path of LOCKS) {
    const found = await Deno.stat(root + path).catch(() => undefined);
    if (found?.ino != null && held.has(found.ino)) return `${path} is held`;
  }
  return undefined;
}

/** `1: POSIX ADVISORY WRITE 812 fe:01:131076 0 EOF` → 131076; waiters (`->`) count as well. */
export function inodesInLocks(table: string): Set<number> {
  const inodes = new Set<number>();
  for (const match of table.matchAll(/\s[0-9a-f]+:[0-9a-f]+:(\d+)\s/g)) {
    inodes.add(Number(match[1]));
  }
  return inodes;
}
