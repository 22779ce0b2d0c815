/**
 * The parts of an engine, each built here and handed to those that need it; and what passes between
 * them: the world's facts to the controller, the agent's coming and going, power to whatever lives
 * on it.
 */
import { type Clock } from "../base/clock.ts";
import { RumError } from "../base/errors.ts";
import { VERSION } from "../base/version.ts";
import type { SessionEvent } from "../guest/agent_session.ts";
import { requireShares } from "../guest/shared_folder.ts";
import type { Hypervisor, HypervisorMachine, MachineStatus } from "../libvirt/hypervisor.ts";
import type { WorkContext } from "../machine/effects.ts";
import type { PlanChanges } from "../machine/events.ts";
import { createMachineController } from "../machine/run.ts";
import { adoptScripts } from "../plan/adopt.ts";
import type { Plan, RecordedPlan } from "../plan/types.ts";
import { makeSeed } from "../cloudinit/seed.ts";
import { firstToken } from "../store/agent_token.ts";
import { removeMachineFolder } from "../store/machine_folder.ts";
import { bytesOfFile, removeSeedsBut, writeSeedFile } from "../store/seed_file.ts";
import { ensureSshKey } from "../store/ssh_key.ts";
import { type RecordKeeper } from "../store/state_file.ts";
import { domainXml } from "../xml/domain.ts";
import { domainSpecOf } from "../xml/from_plan.ts";
import { requireApprovedHook } from "./approval.ts";
import { createConsoleLog } from "./console_log.ts";
import { createDrift } from "./drift.ts";
import { type EventLog } from "./event_log.ts";
import { createGuestAddresses } from "./guest_addresses.ts";
import { createPoweredLink } from "./guest_link.ts";
import { createGuestPort } from "./guest_port.ts";
import { createHypervisorContact } from "./hypervisor_contact.ts";
import { createHooks } from "./hooks.ts";
import { applyLiveChanges } from "./live_changes.ts";
import { createFolders } from "./folders.ts";
import { createMachineForwards, reservingPorts } from "./machine_forwards.ts";
import { createNetworks } from "./networks.ts";
import { planFor, type WantedPlan } from "./plan_source.ts";
import { createPlanAdoption } from "./plan_adoption.ts";
import { createPower, findQemu, noteQemu } from "./power.ts";
import { createPreparer } from "./preparer.ts";
import { createScriptLogs } from "./script_logs.ts";
import { createMachineServices } from "./services.ts";
import { watchWorld } from "./world.ts";

import type { Engine, EngineOptions } from "./engine.ts";

const DEFAULT_SHUTDOWN_MS = 60_000;
const AGENT_WAIT_MS = 15_000;

export interface Parts extends EngineOptions {
  readonly lostWithHost: boolean;
  readonly clock: Clock;
  readonly keeper: RecordKeeper;
  readonly events: EventLog;
  readonly hypervisor: Hypervisor;
  readonly machine: () => HypervisorMachine;
  readonly status: MachineStatus;
  readonly initial: Parameters<typeof createMachineController>[0]["initial"];
}

export function assemble(parts: Parts): { engine: Engine } {
  const { id, paths, rum, env, clock, keeper, events, hypervisor, machine } = parts;
  const emit = (body: Parameters<EventLog["append"]>[0]) => void events.append(body);
  let wanted: WantedPlan | undefined;
  let hypervisorStatus = parts.status;

  const present = (): WantedPlan => {
    if (wanted !== undefined) return wanted;
    throw new RumError("internal", "Cannot prepare a machine before its plan is made");
  };
  /** The plan in force, with this host's paths: what the recorded one and the wanted one share. */
  const inForce = (): Plan => {
    const recorded = keeper.record.plan;
    if (recorded === undefined) return present().plan;
    return { ...recorded, paths };
  };

  const link = createPoweredLink({
    paths,
    plan: () => keeper.record.plan,
    machine,
    paused: () => hypervisorStatus.state === "paused",
    on: (event) => onSession(event),
  });
  const addresses = createGuestAddresses(clock);
  const consoleLog = createConsoleLog({ path: paths.consoleLog, machine, clock, log: parts.log });
  const logs = createScriptLogs(paths, { emit, emitted: () => events.flush() });
  const client = () => link.client;
  const forwards = createMachineForwards({ rum, paths, client, emit, log: parts.log });
  const services = createMachineServices({ emit, log: parts.log, clock });
  const folders = createFolders({
    plan: () => keeper.record.plan ?? wanted?.plan,
    emit,
    log: parts.log,
  });
  const machineKey = () => ensureSshKey(paths);
  const hooks = createHooks({
    follow: (listener) => events.follow(listener),
    hooks: () => (keeper.record.plan ?? wanted?.plan)?.hooks ?? [],
    machine: () => ({ id, name: keeper.record.name, config_path: keeper.record.config_path }),
    requireApproved: (hook) =>
      requireApprovedHook(rum, { path: keeper.record.config_path, home: env.home }, hook),
    emit,
    log: parts.log,
    clock,
  });

  const contact = createHypervisorContact({ uri: hypervisor.choice.uri, emit });
  const networks = createNetworks({
    id,
    hypervisor,
    record: () => keeper.record,
    save: (patch) => keeper.save(patch),
  });
  const adoption = createPlanAdoption({
    record: () => keeper.record,
    save: (patch) => keeper.save(patch),
    emit,
  });

  const controller = createMachineController({
    initial: parts.initial,
    emit,
    clock,
    rules: () => ({
      onCrash: keeper.record.plan?.recovery.onCrash ?? "none",
      shutdownTimeoutMs: keeper.record.plan?.shutdownTimeoutMs ?? DEFAULT_SHUTDOWN_MS,
    }),
    ports: {
      recorder: { save: (patch) => keeper.save(patch) },
      hypervisor: createPower({
        machine,
        clock,
        networksUp: (signal) => networks.up(inForce().networks, signal),
        requireShares: () => requireShares(inForce().mounts),
        findQemu: () => findQemu(keeper.record.uuid),
        looked: (status) => world.looked(status),
        async syncTime() {
          await link.client?.syncTime().catch(() => {});
        },
      }),
      preparer: reservingPorts(
        () => forwards.reserve(present().plan),
        createPreparer({
          wanted: present,
          record: () => keeper.record,
          save: (patch) => keeper.save(patch),
          adoption,
          emit,
          machine,
          writeSeed: async (plan, options) => {
            const token = await firstToken(paths.token, { fresh: options.newDisk });
            const seed = await makeSeed(plan, {
              open: bytesOfFile,
              machineKey: await machineKey(),
              token,
            });
            const { newDisk: replace, signal } = options;
            await writeSeedFile(paths, seed, { replace, signal });
            return seed.hash;
          },
          removeSeedsBut: (hash) => removeSeedsBut(paths, hash),
          domainXml: (plan, image, seedHash) =>
            domainXml(domainSpecOf(plan, {
              seedPath: paths.seed(seedHash),
              base: { path: image.path, format: image.format },
              firmware: "bios",
              rumVersion: VERSION,
            })),
          networksDown: (signal) => networks.down(signal),
          removeFolder: async (keep, signal) => {
            await events.flush();
            return await removeMachineFolder(rum, paths, { keep, signal });
          },
        }),
      ),
      guest: createGuestPort({
        session: () => link.session(),
        plan: inForce,
        async adoptPlan() {
          const changed = await adoption.beforeScripts(wanted?.plan);
          // They are bound since the last try; everything else is attached after the scripts.
          if (changed.includes("ports") || changed.includes("auto_ports")) {
            await forwards.apply(inForce());
          }
        },
        machineKey,
        logs,
        emit,
        clock,
        applyChanges,
        copyFolders: (agent, signal) => folders.attach(agent, { signal, wait: true }),
        async attach(agent, signal) {
          await folders.attach(agent, { signal, wait: false });
          await forwards.attach(inForce());
          await services.attach(agent, inForce(), signal);
          // Whoever waited for the machine may ask where it is.
          await addresses.look(agent, signal);
        },
        stopServices: (agent, signal) => services.stop(agent, signal),
        servicesReady: () => Promise.resolve(services.missing(inForce())),
        servicesOver: () => services.over(inForce()),
        console: consoleLog,
      }),
    },
  });

  const world = watchWorld(machine(), {
    observe(fact) {
      // The agent of the boot before must not be taken for that of the new one: its link still
      // stands, because a reset tells nobody goodbye.
      if (fact.kind === "rebooted") link.guestGone();
      contact.observe(fact);
      controller.observe(fact);
    },
    power(on) {
      if (on) {
        noteQemu(keeper).catch((error) => parts.log(`Cannot record QEMU: ${error}`));
        consoleLog.powerOn();
        forwards.powerOn();
        link.session();
      } else {
        void consoleLog.powerOff();
        void link.powerOff();
        void forwards.powerOff();
        void folders.detach();
        services.powerOff();
      }
    },
  });
  const statusWatch = machine().watch((event) => {
    if (event.kind === "state") hypervisorStatus = event.status;
  });

  function onSession(event: SessionEvent): void {
    switch (event.kind) {
      case "up": {
        addresses.follow(event.client);
        const { bootId, firstBootDone, version, doneScripts } = event.client.hello;
        return controller.observe({
          kind: "agent_up",
          hello: {
            boot_id: bootId,
            first_boot_done: firstBootDone,
            version,
            scripts: doneScripts,
          },
        });
      }
      case "lost":
        void folders.detach();
        return controller.observe({ kind: "agent_lost", detail: event.reason.message });
      case "refused":
        return parts.log(`The guest agent was refused: ${event.reason.message}`);
    }
  }

  async function applyChanges({ signal }: WorkContext): Promise<PlanChanges> {
    const recorded = keeper.record.plan;
    if (recorded === undefined || wanted === undefined) return { applied: [], needs: [] };
    return await applyLiveChanges({
      recorded,
      wanted: wanted.plan,
      // An `up` that resumed the machine just now is a moment ahead of its agent.
      agent: await link.session().ready({ timeoutMs: AGENT_WAIT_MS, signal }),
      machineKey,
      services,
      forwards,
      folders,
      save: (plan) => keeper.save({ plan }),
      emit,
      signal,
    });
  }

  const plan = (recorded: RecordedPlan | undefined, signal?: AbortSignal) =>
    planFor(keeper.record.config_path, {
      env,
      rum,
      hypervisor: hypervisor.choice,
      open: hypervisor,
      recorded,
      identity: { id, uuid: keeper.record.uuid },
      signal,
    });
  const want = async (signal?: AbortSignal) => wanted = await plan(keeper.record.plan, signal);
  const drift = createDrift({
    recorded: () => keeper.record.plan,
    configPath: () => keeper.record.config_path,
    async wanted(recorded) {
      const { plan: wanted, config } = await plan(recorded);
      const { system, boot } = config.provision;
      const files = [system?.file, boot?.file].filter((file) => file !== undefined);
      return { plan: wanted, files };
    },
    emit,
  });

  const engine: Engine = {
    id,
    paths,
    controller,
    events,
    hypervisor,
    contact,
    link,
    addresses,
    console: consoleLog,
    forwards,
    folders,
    services,
    machine,
    get record() {
      return keeper.record;
    },
    get hypervisorStatus() {
      return hypervisorStatus;
    },
    get plan() {
      return keeper.record.plan;
    },
    want,
    async adoptScripts() {
      const recorded = keeper.record.plan;
      if (recorded === undefined || wanted === undefined) return;
      await keeper.save({ plan: adoptScripts(recorded, wanted.plan) });
    },
    drift,
    get lostWithHost() {
      const { kind } = controller.snapshot().state;
      return parts.lostWithHost && (kind === "stopped" || kind === "absent" || kind === "failed");
    },
    async close() {
      world[Symbol.dispose]();
      statusWatch[Symbol.dispose]();
      services.powerOff();
      await folders.detach();
      await forwards[Symbol.asyncDispose]();
      await link.powerOff();
      await consoleLog[Symbol.asyncDispose]();
      await logs[Symbol.asyncDispose]();
      await hypervisor.close();
      await hooks[Symbol.asyncDispose]();
      await events.close();
    },
  };
  return { engine };
}
