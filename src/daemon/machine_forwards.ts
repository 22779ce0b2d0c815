/**
 * The forwards of a machine over its life: bound before the boot, open while it has power, taken
 * over by the next daemon, gone with the power.
 *
 *   reserve ──► [power on] ──► attach ──► (guest reboot, agent restart: attach again) ──► powerOff
 *      └──────► noBoot
 */
import { toRumError } from "../base/errors.ts";
import type { AgentClient } from "../guest/agent_client.ts";
import { Forwards } from "../guest/forwards.ts";
import { dialUdpInGuest } from "../guest/forward_udp.ts";
import type { Preparer } from "../machine/effects.ts";
import type { MachinePaths, RumPaths } from "../plan/paths.ts";
import type { RecordedPlan } from "../plan/types.ts";
import type { EventBody } from "../protocol/machine_events.ts";
import { createForwardsKeeper, readForwards } from "../store/forwards_file.ts";
import { describePortOwner } from "../store/port_owner.ts";

type ForwardPlan = Pick<RecordedPlan, "ports" | "autoPorts">;

export interface MachineForwardsOptions {
  readonly rum: RumPaths;
  readonly paths: Pick<MachinePaths, "forwards">;
  readonly client: () => AgentClient | undefined;
  readonly emit: (event: EventBody) => void;
  readonly log: (text: string) => void;
}

export interface MachineForwards extends AsyncDisposable {
  readonly forwards: Forwards;
  /** Before a boot. @throws {RumError} `port_in_use`, naming the holder */
  reserve(plan: ForwardPlan): Promise<void>;
  /** The machine was found running: what the daemon before this one had. */
  takeUp(plan: ForwardPlan): Promise<void>;
  /** The agent is there, for the first time or again. */
  attach(plan: ForwardPlan): Promise<void>;
  /** A new plan on the running machine. */
  apply(plan: ForwardPlan): Promise<void>;
  powerOn(): void;
  powerOff(): Promise<void>;
  /** The boot that they were reserved for did not come: nobody else is kept from the ports. */
  noBoot(): Promise<void>;
}

export function createMachineForwards(options: MachineForwardsOptions): MachineForwards {
  const keeper = createForwardsKeeper(options.paths, options.log);
  let state: "none" | "reserved" | "open" = "none";
  const required = () => {
    const client = options.client();
    if (client === undefined) throw new Error("The agent is not there");
    return client;
  };
  const forwards = new Forwards({
    dial: (port, signal) => required().dial(port, { signal }),
    dialUdp: (port, signal) => dialUdpInGuest(required().mux, port, { signal }),
    reachable: () => options.client() !== undefined,
    listeners: (signal) => options.client()?.listeners({ signal }) ?? Promise.resolve(undefined),
    emit: options.emit,
    holder: (port, proto) => describePortOwner(options.rum, port, proto),
    changed: (rows) => state === "none" ? undefined : keeper.keep(rows),
  });
  const apply = async (plan: ForwardPlan) => {
    for (const { message, code, hint } of await forwards.apply(plan.ports)) {
      options.emit({ kind: "warning", text: message, code, ...(hint ? { hint } : {}) });
    }
  };
  const end = async () => {
    state = "none" as typeof state;
    try {
      await forwards.close();
      // Reserved anew meanwhile: the file is theirs.
      if (state === "none") await keeper.forget();
    } catch (error) {
      options.log(`The forwards did not end well: ${toRumError(error).message}`);
    }
  };
  return {
    forwards,
    async reserve(plan) {
      state = "reserved";
      try {
        await forwards.reserve(plan.ports);
      } catch (error) {
        state = "none";
        throw error;
      }
    },
    async takeUp(plan) {
      state = "open";
      const saved = await readForwards(options.paths);
      if (saved === undefined) await apply(plan);
      else await forwards.takeUp(saved);
    },
    async attach(plan) {
      // Started again without an `up`, by recovery or from outside: rum.toml's come back.
      if (state === "none") {
        state = "open";
        await apply(plan);
      } else await forwards.restore();
      state = "open";
      await forwards.auto(plan.autoPorts);
    },
    async apply(plan) {
      await apply(plan);
      await forwards.auto(plan.autoPorts);
    },
    powerOn() {
      if (state === "reserved") state = "open";
    },
    async powerOff() {
      // Late news of the power-off before the boot that these were reserved for.
      if (state === "open") await end();
    },
    async noBoot() {
      if (state === "reserved") await end();
    },
    async [Symbol.asyncDispose]() {
      // The machine may run on without us: what is remembered stays.
      state = "none";
      await forwards[Symbol.asyncDispose]();
      await keeper[Symbol.asyncDispose]();
    },
  };
}

/** A taken port is found before anything is made. */
export function reservingPorts(reserve: () => Promise<void>, preparer: Preparer): Preparer {
  return {
    ...preparer,
    async gather(context) {
      await reserve();
      return await preparer.gather(context);
    },
  };
}
