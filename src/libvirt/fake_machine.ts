/** One machine of the fake hypervisor: a record in a file, and a process while it runs. */
import { withDeadline } from "../base/deadline.ts";
import { RumError } from "../base/errors.ts";
import { systemClock } from "../base/clock.ts";
import type { Duplex } from "../wire/duplex.ts";
import { connectTo } from "./fake_socket.ts";
import {
  type FakeRecord,
  type FakeStore,
  killProcess,
  recordOf,
  spawnProcess,
} from "./fake_store.ts";
import { FakeWatch } from "./fake_watch.ts";
import type {
  CallOptions,
  HypervisorMachine,
  MachineEvent,
  MachineStatus,
  RawStats,
  Screenshot,
} from "./hypervisor.ts";
import type { MachineRef } from "./operations/owned.ts";

const DEADLINE_MS = 15_000;
const OFF = { pid: undefined, startTime: undefined, state: "off" } as const;

/** The smallest PNG: one black pixel. */
const PNG =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==";

export class FakeMachine implements HypervisorMachine {
  readonly ref: MachineRef;
  readonly #store: FakeStore;
  readonly #closed: () => boolean;
  readonly #watches = new Set<FakeWatch>();

  constructor(store: FakeStore, ref: MachineRef, closed: () => boolean) {
    this.#store = store;
    this.ref = ref;
    this.#closed = closed;
  }

  status(options?: CallOptions): Promise<MachineStatus> {
    return this.#verb("status", options, () => this.#status());
  }

  define(xml: string, options?: CallOptions): Promise<void> {
    return this.#verb("define", options, () =>
      this.#store.change(this.ref, (before) => {
        const record = recordOf(xml, before);
        if (record.uuid !== this.ref.uuid) {
          throw new RumError("hypervisor_error", "The XML is that of another machine");
        }
        return { record, result: undefined };
      }));
  }

  undefine(options?: CallOptions): Promise<void> {
    return this.#verb(
      "undefine",
      options,
      () => this.#store.change(this.ref, () => ({ record: undefined, result: undefined })),
    );
  }

  async start(options?: CallOptions): Promise<void> {
    const defined = await this.#store.look(this.ref);
    const boot = defined === undefined ? undefined : await this.#store.bootCommand(defined);
    await this.#change(
      "start",
      options,
      (record) =>
        record.state === "running" || record.state === "paused"
          ? record
          : { ...record, ...spawnProcess(boot), state: "running", reason: "booted" },
    );
  }

  async shutdown(options?: CallOptions): Promise<void> {
    const { ignoresShutdown } = await this.#store.behaviour();
    await this.#change("shutdown", options, (record) => {
      wantRunning(record);
      return ignoresShutdown ? record : stop(record, "shutdown");
    });
  }

  forceOff(options?: CallOptions): Promise<void> {
    return this.#change(
      "forceOff",
      options,
      (record) => record.state === "off" ? record : stop(record, "forced_off"),
    );
  }

  pause(options?: CallOptions): Promise<void> {
    return this.#change("pause", options, (record) => {
      wantRunning(record);
      return { ...record, state: "paused", reason: "user" };
    });
  }

  resume(options?: CallOptions): Promise<void> {
    return this.#change("resume", options, (record) => {
      wantRunning(record);
      return record.state === "paused"
        ? { ...record, state: "running", reason: "resumed" }
        : record;
    });
  }

  reboot(options?: CallOptions): Promise<void> {
    return this.#change("reboot", options, (record) => {
      wantRunning(record);
      return { ...record, reboots: record.reboots + 1 };
    });
  }

  rename(newName: string, options?: CallOptions): Promise<void> {
    return this.#change("rename", options, (record) => {
      if (record.state !== "off") {
        throw new RumError("hypervisor_error", "Cannot rename a machine that is not off");
      }
      return { ...record, name: newName };
    });
  }

  async xml(options?: CallOptions): Promise<string> {
    return (await this.#verb("xml", options, () => this.#known())).xml;
  }

  watch(listener: (event: MachineEvent) => void): Disposable {
    const watch = new FakeWatch(
      () => this.#store.look(this.ref),
      async () => (await this.#store.behaviour()).lost,
      listener,
    );
    this.#watches.add(watch);
    return {
      [Symbol.dispose]: () => {
        watch.stop();
        this.#watches.delete(watch);
      },
    };
  }

  stopWatching(): void {
    this.#watches.forEach((watch) => watch.stop());
    this.#watches.clear();
  }

  openConsole(options?: CallOptions): Promise<Duplex> {
    return this.#stream("openConsole", "console", options);
  }

  openChannel(name: string, options?: CallOptions): Promise<Duplex> {
    return this.#stream("openChannel", name, options);
  }

  screenshot(options?: CallOptions): Promise<Screenshot> {
    return this.#verb("screenshot", options, async () => {
      wantRunning(await this.#known());
      return { mime: "image/png", bytes: Uint8Array.from(atob(PNG), (c) => c.charCodeAt(0)) };
    });
  }

  sendKeys(codes: readonly number[], options?: CallOptions): Promise<void> {
    if (codes.length === 0 || codes.length > 16) {
      return Promise.reject(new RumError("invalid_params", "Wanted 1 to 16 keys"));
    }
    return this.#change("sendKeys", options, (record) => {
      wantRunning(record);
      return record;
    });
  }

  stats(options?: CallOptions): Promise<RawStats> {
    return this.#verb("stats", options, async () => {
      const { state, memoryBytes } = await this.#known();
      return { "state.state": state === "running" ? 1 : 5, "balloon.current": memoryBytes ?? 0 };
    });
  }

  monitorCommand(command: object, options?: CallOptions): Promise<unknown> {
    return this.#verb("monitorCommand", options, async () => {
      const { state } = await this.#known();
      return "execute" in command && command.execute === "query-status"
        ? { return: { status: state, running: state === "running" } }
        : { error: { class: "CommandNotFound", desc: "The fake knows query-status only" } };
    });
  }

  setMemory(bytes: number, options?: CallOptions): Promise<void> {
    return this.#change("setMemory", options, (record) => ({ ...record, memoryBytes: bytes }));
  }

  attachDevice(_xml: string, _impact: unknown, options?: CallOptions): Promise<void> {
    return this.#change("attachDevice", options, (record) => record);
  }

  detachDevice(_xml: string, _impact: unknown, options?: CallOptions): Promise<void> {
    return this.#change("detachDevice", options, (record) => record);
  }

  updateDevice(_xml: string, _impact: unknown, options?: CallOptions): Promise<void> {
    return this.#change("updateDevice", options, (record) => record);
  }

  resizeBlock(_disk: string, _bytes: number, options?: CallOptions): Promise<void> {
    return this.#change("resizeBlock", options, (record) => {
      wantRunning(record);
      return record;
    });
  }

  async #status(): Promise<MachineStatus> {
    const record = await this.#store.look(this.ref);
    return record === undefined
      ? { state: "absent", reason: "" }
      : { state: record.state, reason: record.reason };
  }

  async #known(): Promise<FakeRecord> {
    const record = await this.#store.look(this.ref);
    if (record === undefined) throw unknown(this.ref);
    return record;
  }

  #stream(verb: string, name: string, options?: CallOptions): Promise<Duplex> {
    return this.#verb(verb, options, async () => {
      wantRunning(await this.#known());
      return await connectTo(`${this.#store.folder}/${this.ref.uuid}.${name}`, `the ${name}`);
    });
  }

  #change(
    verb: string,
    options: CallOptions | undefined,
    f: (record: FakeRecord) => FakeRecord,
  ): Promise<void> {
    return this.#verb(verb, options, () =>
      this.#store.change(this.ref, (record) => {
        if (record === undefined) throw unknown(this.ref);
        return { record: f(record), result: undefined };
      }));
  }

  async #verb<T>(verb: string, options: CallOptions = {}, act: () => Promise<T>): Promise<T> {
    options.signal?.throwIfAborted();
    if (this.#closed()) throw new RumError("cancelled", "The connection is closed");
    const { fail, delayMs, lost } = await this.#store.behaviour();
    if (lost !== undefined) throw new RumError("hypervisor_unreachable", `Cannot ${verb}: ${lost}`);
    const delay = delayMs?.[verb];
    if (delay !== undefined) await this.#wait(verb, delay, options);
    const failure = fail?.[verb];
    if (failure !== undefined) throw new RumError(failure.code, failure.message);
    return await act();
  }

  async #wait(verb: string, delay: number, options: CallOptions): Promise<void> {
    const timeoutMs = options.deadlineMs ?? DEADLINE_MS;
    try {
      await withDeadline(
        { waitingFor: verb, timeoutMs, signal: options.signal },
        (signal) => systemClock.sleep(delay, { signal }),
      );
    } catch (error) {
      if (!(error instanceof RumError) || error.code !== "timeout") throw error;
      throw new RumError("hypervisor_stuck", `Cannot ${verb}: no answer for ${timeoutMs} ms`);
    }
  }
}

function stop(record: FakeRecord, reason: string): FakeRecord {
  killProcess(record);
  return { ...record, ...OFF, reason };
}

function wantRunning({ state, name }: FakeRecord): void {
  if (state !== "off") return;
  throw new RumError("not_running", `Machine "${name}" is not running`, { hint: "rum up" });
}

function unknown({ name, uuid }: MachineRef): RumError {
  return new RumError("machine_not_found", `libvirt knows no machine "${name}" (${uuid})`, {
    hint: "rum up",
  });
}
