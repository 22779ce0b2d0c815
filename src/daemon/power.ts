/**
 * The machine's power switch: the state machine's Hypervisor port over libvirt. What "off" means is
 * decided here once: libvirt says so, or no longer knows the machine.
 *
 * The power button is pressed again every few seconds: a guest that is still booting loses the first
 * press (nobody listens to ACPI yet), and a second one does no harm to a guest that is going down.
 */
import { RumError } from "../base/errors.ts";
import type { Clock } from "../base/clock.ts";
import { faultPoint } from "../base/fault.ts";
import type { HypervisorMachine, MachineStatus } from "../libvirt/hypervisor.ts";
import type { Hypervisor as PowerPort, WorkContext } from "../machine/effects.ts";
import type { QemuProcess } from "../machine/events.ts";
import type { MachineRecord } from "../machine/record.ts";
import type { RecordKeeper } from "../store/state_file.ts";
import { troubleOf } from "./world.ts";

export interface PowerOptions {
  /** Looked up at each use: a rename gives the machine a new handle. */
  readonly machine: () => HypervisorMachine;
  /** Brings up what the machine's cards are plugged into, before it starts. */
  readonly networksUp: (signal: AbortSignal) => Promise<void>;
  /**
   * Whether what the hypervisor opens by its path is still what the plan says. The definition is from
   * then, and a guest that shares the folder around may have put a link there since.
   *
   * @throws {RumError} `untrusted_config`, `no_such_file`
   */
  readonly requireShares: () => Promise<void>;
  readonly findQemu: () => Promise<QemuProcess | undefined>;
  /** What a launch found at its end: whatever the machine is after that is news. */
  readonly looked: (status: MachineStatus) => void;
  /** Corrects the guest's clock after it stood still; best effort. */
  readonly syncTime: (signal: AbortSignal) => Promise<void>;
  readonly clock: Clock;
}

const PRESS_AGAIN_MS = 5000;

export function createPower(options: PowerOptions): PowerPort {
  const { machine, clock } = options;
  return {
    async launch({ signal }) {
      const { state } = await machine().status({ signal });
      switch (state) {
        case "running":
          break;
        case "paused":
          await machine().resume({ signal });
          break;
        case "suspended":
          throw new RumError(
            "not_supported",
            "Cannot start the machine: it is suspended to memory by its guest",
            { hint: "rum down -f && rum up" },
          );
        default:
          await options.networksUp(signal);
          await faultPoint("launch.networks");
          await options.requireShares();
          await machine().start({ signal });
          await faultPoint("launch.started");
          // Somebody else's machine may share it too, and have been quicker.
          await options.requireShares().catch(async (error) => {
            await forceOff(machine(), signal);
            throw error;
          });
      }
      const qemu = await options.findQemu();
      // A QEMU that died at once was told, if at all, while nobody could tell its end from that of
      // the one before. A look that fails is the watch's to repeat.
      const after = await machine().status({ signal }).catch(() => undefined);
      signal.throwIfAborted();
      if (after !== undefined) options.looked(after);
      const found = after === undefined ? undefined : troubleOf(after);
      return {
        ...(qemu === undefined ? {} : { qemu }),
        ...(found === undefined ? {} : { found }),
      };
    },

    async shutDown({ signal, deadlineMs }: WorkContext) {
      const end = clock.monotonicMs() + deadlineMs;
      const { state } = await machine().status({ signal });
      if (isOff(state)) return { off: true };
      if (state === "paused") await machine().resume({ signal });
      using off = whenOff(machine());
      for (;;) {
        const left = end - clock.monotonicMs();
        if (left <= 0) return { off: false };
        await pressButton(machine(), signal);
        await faultPoint("stop.pressed");
        const pause = new AbortController();
        const onAbort = () => pause.abort(signal.reason);
        signal.addEventListener("abort", onAbort, { once: true });
        try {
          const gone = await Promise.race([
            off.promise.then(() => true),
            clock.sleep(Math.min(PRESS_AGAIN_MS, left), { signal: pause.signal }).then(() => false),
          ]);
          if (gone) {
            await faultPoint("stop.off");
            return { off: true };
          }
        } finally {
          signal.removeEventListener("abort", onAbort);
          pause.abort(new DOMException("The wait is over", "AbortError"));
        }
      }
    },

    async forceOff({ signal }) {
      await forceOff(machine(), signal);
      await faultPoint("stop.forced");
    },
    async pause({ signal }) {
      const { state } = await machine().status({ signal });
      if (state !== "paused") await machine().pause({ signal });
    },
    async resume({ signal }) {
      const { state } = await machine().status({ signal });
      if (state === "paused") await machine().resume({ signal });
      await options.syncTime(signal);
    },
  };
}

/** Off is also what libvirt does not know, as after a destroy that was cut short. */
export async function forceOff(machine: HypervisorMachine, signal: AbortSignal): Promise<void> {
  try {
    await machine.forceOff({ signal });
  } catch (error) {
    if (!(error instanceof RumError) || error.code !== "machine_not_found") throw error;
  }
}

export function isOff(state: MachineStatus["state"]): boolean {
  return state === "off" || state === "crashed" || state === "absent";
}

/** A button that cannot be pressed because the machine is off by now is no failure. */
async function pressButton(machine: HypervisorMachine, signal: AbortSignal): Promise<void> {
  try {
    await machine.shutdown({ signal });
  } catch (error) {
    if (isOff((await machine.status({ signal })).state)) return;
    throw error;
  }
}

function whenOff(machine: HypervisorMachine): { promise: Promise<void> } & Disposable {
  const { promise, resolve } = Promise.withResolvers<void>();
  const watch = machine.watch((event) => {
    if (event.kind === "state" && isOff(event.status.state)) resolve();
  });
  return { promise, [Symbol.dispose]: () => watch[Symbol.dispose]() };
}

/**
 * The QEMU process of a machine on this host, by the UUID on its command line; with its start time,
 * so that whoever reads the record later cannot mistake another process for it.
 */
export async function findQemu(uuid: string): Promise<QemuProcess | undefined> {
  for await (const entry of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(entry.name)) continue;
    const argv = await Deno.readTextFile(`/proc/${entry.name}/cmdline`).catch(() => "");
    const words = argv.split("\0");
    if (words[words.indexOf("-uuid") + 1] !== uuid || !words.includes("-uuid")) continue;
    const stat = await Deno.readTextFile(`/proc/${entry.name}/stat`).catch(() => "");
    // The command's name may hold spaces and brackets; fields are counted after the last bracket.
    const start = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
    return Number.isSafeInteger(start) ? { pid: Number(entry.name), start_time: start } : undefined;
  }
  return undefined;
}

/**
 * Whatever gave the machine its power (a daemon that died before it recorded this, a hand at virsh):
 * the record names the QEMU that runs now, so that it can be asked for without a daemon.
 */
export async function noteQemu(
  keeper: Pick<RecordKeeper, "save"> & { readonly record: Pick<MachineRecord, "uuid" | "qemu"> },
): Promise<void> {
  const found = await findQemu(keeper.record.uuid);
  const { qemu } = keeper.record;
  if (found === undefined) return;
  if (found.pid === qemu?.pid && found.start_time === qemu.start_time) return;
  await keeper.save({ qemu: found });
}
