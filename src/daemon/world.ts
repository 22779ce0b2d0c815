/**
 * What happens to the machine without anybody here having asked: libvirt's events and polls as facts
 * for the state machine. The state machine knows what it is doing itself and takes no notice of the
 * echo of its own deeds; so everything is passed on, once per change.
 */
import type { HypervisorMachine, MachineEvent, MachineStatus } from "../libvirt/hypervisor.ts";
import type { Trouble } from "../machine/events.ts";
import type { FactInput } from "../machine/run.ts";

export interface WorldOptions {
  readonly observe: (fact: FactInput) => void;
  /** The machine has power, or lost it: links, consoles and the like follow. */
  readonly power: (on: boolean) => void;
}

export interface WorldWatch extends Disposable {
  /**
   * A look of our own at the machine, as when it was just started. Whatever it is after that is news:
   * a watch tells differences, and a QEMU that dies before the next poll has made none to it.
   */
  looked(status: MachineStatus): void;
}

export function watchWorld(
  machine: Pick<HypervisorMachine, "watch">,
  options: WorldOptions,
): WorldWatch {
  const translate = createTranslator();
  const listener = (event: MachineEvent) => {
    for (const news of translate(event)) {
      if (news.kind === "power") options.power(news.on);
      else options.observe(news);
    }
  };
  let watch = machine.watch(listener);
  let over = false;
  return {
    looked(status) {
      if (over) return;
      // One that begins now has told nothing yet, so its first poll is told whatever it finds.
      watch[Symbol.dispose]();
      listener({ kind: "state", status });
      watch = machine.watch(listener);
    },
    [Symbol.dispose]() {
      over = true;
      watch[Symbol.dispose]();
    },
  };
}

type News = FactInput | { readonly kind: "power"; readonly on: boolean };

/** Pure but for what it remembers: the last state, and the reason of the last I/O error. */
export function createTranslator(): (event: MachineEvent) => News[] {
  let last: MachineStatus["state"] | undefined;
  let powered: boolean | undefined;
  /** libvirt starts a machine with its processors stopped, and the poll may meet it so. */
  let startingFromOff = false;
  let connected = true;
  let ioReason: string | undefined;
  return (event) => {
    switch (event.kind) {
      case "state":
        return onState(event.status);
      case "lifecycle":
        return event.event === "crashed" ? [{ kind: "panicked" }] : [];
      case "reboot":
        return [{ kind: "rebooted" }];
      case "io_error":
        ioReason = event.reason;
        return [];
      case "connection":
        if (event.connected === connected) return [];
        connected = event.connected;
        return [
          event.connected
            ? { kind: "hypervisor_back" }
            : { kind: "hypervisor_lost", detail: event.reason },
        ];
      case "watchdog":
      case "channel":
        return [];
    }
  };

  function onState(status: MachineStatus): News[] {
    const before = last;
    if (before === status.state) return [];
    last = status.state;
    switch (status.state) {
      case "running": {
        const news = power(true);
        if (before === "paused" && !startingFromOff) return [...news, { kind: "resumed_seen" }];
        startingFromOff = false;
        return before === undefined || before === "shutting_down"
          ? news
          : [...news, { kind: "on_seen" }];
      }
      case "paused": {
        startingFromOff = powered === false && status.reason === "starting";
        const news = power(true);
        const trouble = troubleOf(status, ioReason);
        return trouble === undefined ? news : [...news, trouble];
      }
      case "crashed":
      case "off":
      case "absent": {
        const trouble = troubleOf(status);
        // The first look at a machine that is off is no news.
        const known = status.state !== "crashed" && (before === undefined || before === "crashed");
        return known || trouble === undefined ? power(false) : [...power(false), trouble];
      }
      default:
        return [];
    }
  }

  function power(on: boolean): News[] {
    if (powered === on) return [];
    powered = on;
    return [{ kind: "power", on }];
  }
}

/** What a machine that should run is found to be instead; `ioReason`: of the last I/O error. */
export function troubleOf(status: MachineStatus, ioReason?: string): Trouble | undefined {
  const { state, reason } = status;
  switch (state) {
    case "crashed":
      return { kind: "off_seen", how: "crashed", detail: reason };
    case "off":
    case "absent":
      return { kind: "off_seen", how: howOff(status), detail: reason };
    case "paused":
      if (reason === "starting" || reason === "shutting_down") return undefined;
      if (reason === "panicked") return { kind: "panicked" };
      if (reason !== "io_error") return { kind: "paused_seen", why: "from_outside" };
      return { kind: "paused_seen", why: ioReason === "enospc" ? "disk_full" : "io_error" };
    default:
      return undefined;
  }
}

function howOff(status: MachineStatus): "guest" | "outside" | "crashed" {
  if (status.state === "absent") return "outside";
  switch (status.reason) {
    case "shutdown":
      return "guest";
    case "forced_off":
      return "outside";
    default:
      return "crashed";
  }
}
