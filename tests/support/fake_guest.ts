/**
 * A whole world without QEMU: rum as its users run it, over the fake hypervisor, with the real agent
 * as the guest (`fake_guest.sh`). A boot takes a third of a second, so that every order of events and
 * every fault can be tried; what it cannot show (a kernel, real disks) is for the end-to-end tests.
 *
 * Disposing destroys what is left and then looks for processes that should not be there any more.
 */
import assert from "node:assert/strict";
import { blankImage } from "../../src/image/qcow2.ts";
import { machineId } from "../../src/plan/identity.ts";
import { type MachinePaths, machinePaths, rumPaths } from "../../src/plan/paths.ts";
import { isHolderAlive, readHolder } from "../../src/store/flock.ts";
import type { FakeBehaviour, FakeRecord } from "../../src/libvirt/fake_store.ts";
import { type Result, type RunOptions, type Sandbox, sandbox, stopEverything } from "./rum.ts";

const HERE = new URL("./", import.meta.url).pathname;
const AGENT = new URL("../../agent/main.ts", import.meta.url).pathname;

export interface FakeWorldOptions {
  readonly prefix?: string;
  /** Below the common head of rum.toml. */
  readonly toml?: string;
  readonly shutdownTimeout?: string;
}

export interface FakeWorld extends AsyncDisposable {
  readonly box: Sandbox;
  /** The fake hypervisor's folder. */
  readonly folder: string;
  readonly id: string;
  readonly paths: MachinePaths;
  rum(args: readonly string[], options?: RunOptions): Promise<Result>;
  ok(args: readonly string[], options?: RunOptions): Promise<Result>;
  /** The one JSON document of `status`. */
  // deno-lint-ignore no-explicit-any -- a document
  status(): Promise<any>;
  /** Another rum.toml, approved. */
  configure(toml: string): Promise<void>;
  behave(behaviour: FakeBehaviour): Promise<void>;
  /** What the hypervisor has of this machine. */
  record(): Promise<FakeRecord | undefined>;
  /** Is its process there? */
  powered(): Promise<boolean>;
  /** Which disk stands in its place, if any; another one after a wipe or a reset. */
  disk(): Promise<string | undefined>;
  /** The guest's power-ons so far, as `boot-id disk-id`. */
  boots(): Promise<readonly string[]>;
  /** What the guest's own log says. */
  guestLog(): Promise<string>;
  /** The living holder of the machine's lock. */
  holder(): Promise<number | undefined>;
  /** Resolves when nobody holds the lock. */
  settled(): Promise<void>;
  /** Processes of this world: daemons, guests, anything with its folder on the command line. */
  processes(): Promise<{ pid: number; command: string }[]>;
}

export async function fakeWorld(options: FakeWorldOptions = {}): Promise<FakeWorld> {
  const box = await sandbox({ prefix: options.prefix ?? "rum-fake-" });
  const folder = `${box.home}/hypervisor`;
  await Deno.mkdir(folder);
  await Deno.writeFile(
    `${box.project}/base.qcow2`,
    blankImage({ virtualSizeBytes: 64 * 1024 * 1024 }),
  );
  const configPath = `${await Deno.realPath(box.project)}/rum.toml`;
  const id = machineId(configPath);
  const uid = Deno.uid() ?? 0;
  const paths = machinePaths(
    rumPaths({ uid, home: box.home, xdgDataHome: `${box.home}/data` }),
    id,
  );
  const behave = (behaviour: FakeBehaviour) =>
    Deno.writeTextFile(
      `${folder}/behaviour.json`,
      JSON.stringify({
        boot: [`${HERE}fake_guest.sh`, Deno.execPath(), AGENT],
        ...behaviour,
      }),
    );
  await behave({});
  const world: FakeWorld = {
    box,
    folder,
    id,
    paths,
    rum: box.rum,
    ok: box.ok,
    async status() {
      return (await box.ok(["status", "-o", "json"])).json;
    },
    async configure(toml) {
      await box.config(`name = "fake"

[image]
base = "base.qcow2"

[resources]
cpus = 1
memory = "256M"
disk = "256M"

[network]
nat = false

[advanced]
libvirt_uri = "fake://${folder}"
shutdown_timeout = "${options.shutdownTimeout ?? "5s"}"

${toml}`);
      await box.ok(["trust", "-y"]);
    },
    behave,
    async record() {
      for await (const { name } of Deno.readDir(folder)) {
        if (!name.endsWith(".machine")) continue;
        return JSON.parse(await Deno.readTextFile(`${folder}/${name}`));
      }
      return undefined;
    },
    async powered() {
      const record = await world.record();
      return record?.pid !== undefined && await alive(record.pid);
    },
    async disk() {
      return await Deno.stat(paths.overlay).then(
        ({ ino, birthtime }) => `${ino} ${birthtime?.getTime()}`,
        () => undefined,
      );
    },
    async boots() {
      const text = await Deno.readTextFile(`${folder}/boots`).catch(() => "");
      return text.split("\n").filter((line) => line !== "");
    },
    async guestLog() {
      const [, disk] = (await world.boots()).at(-1)?.split(" ") ?? [];
      return await Deno.readTextFile(`${folder}/disks/${disk}/agent.log`).catch(() => "");
    },
    async holder() {
      const holder = await readHolder(paths.lock);
      return holder !== undefined && await isHolderAlive(holder) ? holder.pid : undefined;
    },
    async settled() {
      await until("the lock is free", async () => await world.holder() === undefined);
    },
    processes: () => processesWith(box.home),
    async [Symbol.asyncDispose]() {
      await behave({});
      await stopEverything(box);
      await ended(box.home);
      await box[Symbol.asyncDispose]();
    },
  };
  await world.configure(options.toml ?? "");
  return world;
}

/** Waits for something that must come; the time is a wall, not a measure. */
export async function until(
  what: string,
  look: () => Promise<boolean> | boolean,
  timeoutMs = 120_000,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!await look()) {
    assert.ok(performance.now() < end, `Waited ${timeoutMs / 1000} s in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export async function alive(pid: number): Promise<boolean> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`).catch(() => undefined);
  return stat !== undefined && !/^\d+ \(.*\) [ZX] /s.test(stat);
}

/** Daemons drain for a moment; what a failed test left is killed. */
async function ended(home: string): Promise<void> {
  const end = performance.now() + 5000;
  for (;;) {
    const left = await processesWith(home);
    if (left.length === 0) return;
    if (performance.now() > end) { for (const { pid } of left) kill(pid); }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export function kill(pid: number, signal: Deno.Signal = "SIGKILL"): void {
  try {
    Deno.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

async function processesWith(text: string): Promise<{ pid: number; command: string }[]> {
  const found: { pid: number; command: string }[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === Deno.pid) continue;
    const command = await Deno.readTextFile(`/proc/${name}/cmdline`).catch(() => "");
    if (!command.includes(text)) continue;
    found.push({ pid: Number(name), command: command.replaceAll("\0", " ").trim() });
  }
  return found;
}
