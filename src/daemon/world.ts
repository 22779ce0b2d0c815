/**
 * What happens to the machine without anybody here having asked: libvirt's events and polls as facts
 * for the state machine. The state machine knows what it is doing itself and takes no notice of the
 * echo of its own deeds; so everything is passed on, once per change.
 */
import type { HypervisorMachine, MachineEvent, MachineStatus } from "../libvirt/hypervisor.ts";
import type { FactInput } from "../machine/run.ts";

export interface WorldOptions {
  readonly observe: (fact: FactInput) => void;
  /** The machine has power, or lost it: links, consoles and the like follow. */
  readonly power: (on: boolean) => void;
}

export function watchWorld(machine: HypervisorMachine, options: WorldOptions): Disposable {
  const translate = createTranslator();
  return machine.watch((event) => {
    for (const news of translate(event)) {
      if (news.kind === "power") options.power(news.on);
      else options.observe(news);
    }
  });
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
        if (status.reason === "starting" || status.reason === "shutting_down") return news;
        if (status.reason === "panicked") return [...news, { kind: "panicked" }];
        const why = status.reason !== "io_error"
          ? "from_outside"
          : ioReason === "enospc"
          ? "disk_full"
          : "io_error";
        return [...news, { kind: "paused_seen", why }];
      }
      case "crashed":
        return [...power(false), offSeen("crashed", status.reason)];
      case "off":
      case "absent":
        // The first look at a machine that is off is no news.
        return before === undefined || before === "crashed"
          ? power(false)
          : [...power(false), offSeen(howOff(status), status.reason)];
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

function offSeen(how: "guest" | "outside" | "crashed", detail: string): News {
  return { kind: "off_seen", how, detail };
}
