/**
 * Named places where a test can make this process die, fail or dawdle: at every step of start,
 * hand-over, provisioning, down, destroy, reset, writing the record and publishing the socket. They
 * are compiled into every build, so that the binary that is shipped is the one that was tried, and do
 * nothing without the variable: one look at the environment, at the first point passed.
 *
 *   RUM_TEST_FAULT=NAME[@N[+]]:kill|eio|enospc|delay[:MS][,…]
 *   RUM_TEST_FAULT=trace:FILE        appends each point's name to FILE as it is passed
 *
 * `@N`: the Nth time that this process passes the point, 1 when not said; `@N+`: from then on, as a
 * disk stays full. Daemons inherit the variable.
 */
import { RumError } from "./errors.ts";

/** What has just happened when the point is passed; a record's own points are `write.FILE.STEP`. */
export const FAULT_POINTS = {
  "serve.locked": "the daemon holds the machine's lock",
  "alone.locked": "a one-shot down or destroy holds the lock",
  "engine.folder": "the machine's folder is there",
  "engine.recovered": "records and hypervisor were compared; nothing was changed",
  "serve.composed": "the machine's logic stands; nobody can reach it yet",
  "publish.bound": "the socket listens under its pending name",
  "publish.renamed": "the socket has its name",
  "announce.recorded": "daemon.json and rum.pid are written; the parent was not told",
  "announce.told": "the parent was told",
  "gather.image": "the base image is in the cache",
  "gather.disk": "the new disk waits under its pending name, or the old one was looked at",
  "gather.drives": "so do the drives",
  "gather.seed": "the seed is in its place",
  "seed.written": "the seed is complete under its pending name",
  "publish.disk": "the disk has its name",
  "publish.drives": "the drives have theirs",
  "publish.defined": "the hypervisor knows the machine",
  "publish.recorded": "the record names disk, image and plan",
  "publish.swept": "seeds of before are gone",
  "launch.networks": "the machine's networks are up",
  "launch.started": "the machine has power",
  "greet.hello": "the agent said hello; nobody here was told yet",
  "provision.applied": "users, mounts and names are set up in the guest",
  "provision.ran": "the scripts passed; nothing of that is recorded",
  "ready.attached": "forwards and services are attached",
  "stop.services": "the services were asked to stop",
  "stop.pressed": "the power button was pressed",
  "stop.off": "the machine went off by its button",
  "stop.forced": "the machine was forced off",
  "wipe.undefined": "the hypervisor forgot the half-made machine; its disk is there",
  "remove.undefined": "the hypervisor forgot the machine; its disks are there",
  "remove.networks": "its networks are gone",
  "folder.bulk": "everything but the record was removed from the folder",
  "folder.record": "the record is removed; the folder is there",
  "finish.released": "the daemon let the machine go; its socket still stands",
  "finish.removed": "its socket is gone; daemon.json and rum.pid are there",
} as const;

export type FaultPoint =
  | keyof typeof FAULT_POINTS
  | `write.${string}.${"begun" | "synced" | "renamed"}`;

interface Fault {
  readonly name: string;
  readonly nth: number;
  readonly stays: boolean;
  readonly act: "kill" | "eio" | "enospc" | "delay";
  readonly ms: number;
}

interface Script {
  readonly faults: readonly Fault[];
  readonly trace?: string;
}

const DELAY_MS = 1000;
const passed = new Map<string, number>();
let script: Script | undefined;

/** @throws what a system call would: an input/output error, or no space left */
export async function faultPoint(name: FaultPoint): Promise<void> {
  script ??= parseFaults(Deno.env.get("RUM_TEST_FAULT"));
  if (script.trace !== undefined) {
    Deno.writeTextFileSync(script.trace, `${Deno.pid} ${name}\n`, { append: true });
  }
  if (script.faults.length === 0) return;
  const count = (passed.get(name) ?? 0) + 1;
  passed.set(name, count);
  for (const fault of script.faults) {
    if (fault.name !== name || count < fault.nth) continue;
    if (count === fault.nth || fault.stays) await happen(fault);
  }
}

async function happen(fault: Fault): Promise<void> {
  switch (fault.act) {
    case "kill":
      Deno.kill(Deno.pid, "SIGKILL");
      return await new Promise(() => {});
    case "eio":
      throw Object.assign(new Error("Input/output error (os error 5)"), { code: "EIO" });
    case "enospc":
      throw Object.assign(new Error("No space left on device (os error 28)"), { code: "ENOSPC" });
    case "delay":
      return await new Promise((resolve) => setTimeout(resolve, fault.ms));
  }
}

/** @throws {RumError} `usage`: a fault that never happens would make a test pass for nothing */
export function parseFaults(text: string | undefined): Script {
  if (text === undefined || text === "") return { faults: [] };
  if (text.startsWith("trace:")) return { faults: [], trace: text.slice("trace:".length) };
  return {
    faults: text.split(",").map((each): Fault => {
      const match = /^([^@:,]+)(?:@([1-9]\d*)(\+?))?:(kill|eio|enospc|delay)(?::(\d+))?$/.exec(
        each,
      );
      if (match === null || !isPoint(match[1])) {
        throw new RumError("usage", `Cannot use RUM_TEST_FAULT="${each}": no such fault or point`);
      }
      const [, name, nth, stays, act, ms] = match;
      return {
        name,
        nth: Number(nth ?? 1),
        stays: stays === "+",
        act: act as Fault["act"],
        ms: Number(ms ?? DELAY_MS),
      };
    }),
  };
}

function isPoint(name: string): boolean {
  return Object.hasOwn(FAULT_POINTS, name) || /^write\..+\.(begun|synced|renamed)$/.test(name);
}
