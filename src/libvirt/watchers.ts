/**
 * Who watches which machine. Two sources feed a listener: libvirt's events, quick but not to be
 * relied on (they are lost with a connection, and some states change without one), and a poll each
 * second, which is the truth. The poll also notices a dead connection when nobody calls.
 */
import type { HypervisorMachine, MachineEvent, MachineStatus } from "./hypervisor.ts";
import type { Connection } from "./connection.ts";
import type { RawEvent } from "./messages.ts";
import { ioErrorName, lifecycleName, watchdogName } from "./state_names.ts";

const POLL_EVERY_MS = 1000;

interface Watcher {
  readonly machine: HypervisorMachine;
  readonly listener: (event: MachineEvent) => void;
  last?: MachineStatus;
}

export class Watchers {
  readonly #watchers = new Set<Watcher>();
  readonly #owner: { readonly connection: Connection };
  #timer?: ReturnType<typeof setTimeout>;
  #polling = false;
  #again = false;
  #closed = false;

  constructor(owner: { readonly connection: Connection }) {
    this.#owner = owner;
  }

  add(machine: HypervisorMachine, listener: (event: MachineEvent) => void): Disposable {
    const watcher: Watcher = { machine, listener };
    this.#watchers.add(watcher);
    this.#pollSoon();
    return {
      [Symbol.dispose]: () => {
        this.#watchers.delete(watcher);
        if (this.#watchers.size === 0) this.#stop();
      },
    };
  }

  /** From the event thread. */
  handle(raw: RawEvent): void {
    if (raw.kind === "stream") return;
    const event = eventOf(raw);
    if (event !== undefined) {
      for (const watcher of this.#watchers) {
        if (watcher.machine.ref.uuid === raw.uuid) watcher.listener(event);
      }
    }
    // An event says that something changed; what it is now, the poll says.
    if (raw.kind === "lifecycle") this.#pollSoon();
  }

  connection(connected: boolean, reason: string): void {
    for (const { listener } of this.#watchers) listener({ kind: "connection", connected, reason });
    if (connected) this.#pollSoon();
  }

  close(): void {
    this.#closed = true;
    this.#watchers.clear();
    this.#stop();
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #pollSoon(): void {
    if (this.#closed || this.#watchers.size === 0) return;
    if (this.#polling) {
      this.#again = true;
      return;
    }
    this.#stop();
    this.#polling = true;
    void this.#poll().finally(() => {
      this.#polling = false;
      if (this.#closed || this.#watchers.size === 0) return;
      if (this.#again) {
        this.#again = false;
        this.#pollSoon();
      } else this.#timer = setTimeout(() => this.#pollSoon(), POLL_EVERY_MS);
    });
  }

  async #poll(): Promise<void> {
    try {
      await this.#owner.connection.checkAlive();
    } catch {
      // A stuck call is found out by whoever waits for an answer.
    }
    await Promise.all([...this.#watchers].map(async (watcher) => {
      try {
        const status = await watcher.machine.status({ deadlineMs: 5000 });
        if (!this.#watchers.has(watcher) || same(watcher.last, status)) return;
        watcher.last = status;
        watcher.listener({ kind: "state", status });
      } catch {
        // Unknown for now; the next poll asks again, and a lost connection reports itself.
      }
    }));
  }
}

function same(a: MachineStatus | undefined, b: MachineStatus): boolean {
  return a !== undefined && a.state === b.state && a.reason === b.reason;
}

function eventOf(raw: Exclude<RawEvent, { kind: "stream" }>): MachineEvent | undefined {
  switch (raw.kind) {
    case "lifecycle":
      return { kind: "lifecycle", ...lifecycleName(raw.event, raw.detail) };
    case "reboot":
      return { kind: "reboot" };
    case "watchdog":
      return { kind: "watchdog", action: watchdogName(raw.action) };
    case "io_error": {
      const { path, device, action, reason } = raw;
      return { kind: "io_error", path, device, action: ioErrorName(action), reason };
    }
    case "monitor":
      return channelEvent(raw.details);
  }
}

/** QEMU's VSERPORT_CHANGE: `{"id":"channel0","open":true}`. */
function channelEvent(details: string): MachineEvent | undefined {
  try {
    const { id, open } = JSON.parse(details);
    if (typeof id === "string" && typeof open === "boolean") return { kind: "channel", id, open };
  } catch {
    // QEMU changed its words: the poll and the channel itself still tell.
  }
  return undefined;
}
