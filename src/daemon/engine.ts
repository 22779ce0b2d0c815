/**
 * One machine, assembled: records, events, hypervisor, link to the guest, and the controller over
 * them. Whoever holds the machine's lock opens one: the daemon for as long as it lives, a one-shot
 * `down` or `destroy` for one request. There is no other code that changes a machine.
 *
 * Opening compares records with what libvirt says and begins in the state that follows; it changes
 * nothing. `close` lets everything go and leaves the machine as it is.
 */
import { type Clock, systemClock } from "../base/clock.ts";
import { RumError } from "../base/errors.ts";
import { VERSION } from "../base/version.ts";
import { faultPoint } from "../base/fault.ts";
import { loadConfig } from "../config/load.ts";
import type { SessionEvent } from "../guest/agent_session.ts";
import { chooseDoor } from "../libvirt/host_facts.ts";
import type { Hypervisor, HypervisorMachine, MachineStatus } from "../libvirt/hypervisor.ts";
import { openHypervisor } from "../libvirt/open.ts";
import type { WorkContext } from "../machine/effects.ts";
import type { PlanChanges } from "../machine/events.ts";
import { type MachineRecord, newRecord } from "../machine/record.ts";
import { recoverState } from "../machine/recover.ts";
import { createMachineController, type MachineController } from "../machine/run.ts";
import { adoptScripts } from "../plan/adopt.ts";
import { hypervisorName, identityOf } from "../plan/identity.ts";
import type { HostEnv, MachinePaths, RumPaths } from "../plan/paths.ts";
import type { Plan, RecordedPlan } from "../plan/types.ts";
import { makeSeed } from "../cloudinit/seed.ts";
import { firstToken } from "../store/agent_token.ts";
import { diskSize } from "../store/disks.ts";
import {
  bindConfigPath,
  ensureMachineFolder,
  readConfigPath,
  removeMachineFolder,
} from "../store/machine_folder.ts";
import { isLostWithHost } from "../store/list_machines.ts";
import { removeSeedsBut, writeSeedFile } from "../store/seed_file.ts";
import { ensureSshKey } from "../store/ssh_key.ts";
import { bootId } from "../store/flock.ts";
import { createRecordKeeper, loadState, type RecordKeeper } from "../store/state_file.ts";
import { domainXml } from "../xml/domain.ts";
import { domainSpecOf } from "../xml/from_plan.ts";
import { approvedUri, createDriftLook, requireApprovedHook } from "./approval.ts";
import { type ConsoleLog, createConsoleLog } from "./console_log.ts";
import { type EventLog, openEventLog } from "./event_log.ts";
import { createPoweredLink, type PoweredLink } from "./guest_link.ts";
import { createGuestPort } from "./guest_port.ts";
import { createHooks } from "./hooks.ts";
import { applyLiveChanges } from "./live_changes.ts";
import { createFolders, type Folders } from "./folders.ts";
import { createMachineForwards, type MachineForwards, reservingPorts } from "./machine_forwards.ts";
import { networksDown, networksUp } from "./networks.ts";
import { planFor, type WantedPlan } from "./plan_source.ts";
import { createPower, findQemu, isOff } from "./power.ts";
import { createPreparer } from "./preparer.ts";
import { createScriptLogs } from "./script_logs.ts";
import { createMachineServices, type MachineServices } from "./services.ts";
import { watchWorld } from "./world.ts";

const DEFAULT_SHUTDOWN_MS = 60_000;

export interface EngineOptions {
  readonly id: string;
  readonly paths: MachinePaths;
  readonly rum: RumPaths;
  readonly env: HostEnv;
  /** Of a machine that has no records yet. */
  readonly configPath?: string;
  readonly log: (text: string) => void;
  readonly clock?: Clock;
}

export interface Engine {
  readonly id: string;
  readonly paths: MachinePaths;
  readonly controller: MachineController;
  readonly events: EventLog;
  readonly hypervisor: Hypervisor;
  readonly link: PoweredLink;
  readonly console: ConsoleLog;
  readonly forwards: MachineForwards;
  readonly folders: Folders;
  readonly services: MachineServices;
  readonly record: MachineRecord;
  machine(): HypervisorMachine;
  /** What libvirt said last. */
  readonly hypervisorStatus: MachineStatus;
  /** The plan that the machine runs by; undefined before its first `up`. */
  readonly plan: RecordedPlan | undefined;
  /** Loads rum.toml; what `up` is about to ask for. Throws what is wrong with it. */
  want(signal?: AbortSignal): Promise<WantedPlan>;
  /** Before scripts run on request: from now on the wanted ones are the machine's. */
  adoptScripts(): Promise<void>;
  /** It ran when its host went down, and has not been started since. */
  readonly lostWithHost: boolean;
  /** Sentences for `status`: what rum.toml says that the machine does not do yet. */
  drift(): Promise<readonly string[]>;
  close(): Promise<void>;
}

/** @throws {RumError} `machine_not_found`, `foreign_machine`, `hypervisor_unreachable`, … */
export async function openEngine(options: EngineOptions): Promise<Engine> {
  const { id, paths, rum, env, log, clock = systemClock } = options;
  await ensureMachineFolder(rum, paths);
  await faultPoint("engine.folder");
  const loaded = await loadState(paths);
  const configPath = loaded?.record.config_path ?? await readConfigPath(paths) ??
    options.configPath;
  if (configPath === undefined) {
    throw new RumError("machine_not_found", `There is no machine ${id}`, { hint: "rum list" });
  }
  if (loaded === undefined) await bindConfigPath(paths, configPath);
  const keeper = createRecordKeeper(
    paths,
    loaded?.record ?? await firstRecord(id, configPath, env, clock),
  );
  await using undo = new AsyncDisposableStack();
  const events = await openEventLog({ path: paths.events, now: () => clock.now() });
  undo.defer(() => events.close());
  if (loaded?.rebuilt !== undefined) events.append({ kind: "warning", text: loaded.rebuilt });

  const choice = keeper.record.hypervisor ?? await chooseDoor({
    uid: env.uid,
    wanted: await approvedUri(configPath, rum, env),
    embedRoot: paths.embedRoot,
  });
  const hypervisor = await openHypervisor(choice, { embedCache: rum.embedCache });
  undo.defer(() => hypervisor.close());
  const machine = () =>
    hypervisor.machine({
      id,
      uuid: keeper.record.uuid,
      name: keeper.record.hypervisor_name,
    });
  const status = await machine().status();
  const recovered = recoverState(loaded?.record, {
    overlay: await diskSize(paths.overlay) !== undefined,
    power: isOff(status.state) ? "off" : status.state === "paused" ? "paused" : "running",
  });
  await faultPoint("engine.recovered");
  const assembled = assemble({
    ...options,
    clock,
    keeper,
    events,
    hypervisor,
    machine,
    status,
    initial: recovered.state,
    lostWithHost: loaded !== undefined && isOff(status.state) &&
      isLostWithHost(loaded.record, await bootId()),
  });
  if (recovered.takeUp !== undefined) {
    assembled.engine.controller.observe({ kind: "take_up", what: recovered.takeUp });
  }
  log(`Machine ${keeper.record.hypervisor_name} at ${choice.uri}: ${status.state}`);
  undo.move();
  return assembled.engine;
}

async function firstRecord(
  id: string,
  configPath: string,
  env: HostEnv,
  clock: Clock,
): Promise<MachineRecord> {
  const { name } = await loadConfig(configPath, { home: env.home });
  return newRecord({
    id,
    uuid: identityOf(configPath).uuid,
    name,
    hypervisorName: hypervisorName(name, id),
    configPath,
    rumVersion: VERSION,
    now: clock.now().toISOString(),
  });
}

interface Parts extends EngineOptions {
  readonly lostWithHost: boolean;
  readonly clock: Clock;
  readonly keeper: RecordKeeper;
  readonly events: EventLog;
  readonly hypervisor: Hypervisor;
  readonly machine: () => HypervisorMachine;
  readonly status: MachineStatus;
  readonly initial: Parameters<typeof createMachineController>[0]["initial"];
}

function assemble(parts: Parts): { engine: Engine } {
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
  const consoleLog = createConsoleLog({ path: paths.consoleLog, machine, clock, log: parts.log });
  const logs = createScriptLogs(paths, emit);
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
    requireApproved: (hook) => requireApprovedHook(rum, keeper.record.config_path, hook),
    emit,
    log: parts.log,
    clock,
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
        networksUp: (signal) => networksUp(hypervisor, id, inForce().networks, signal),
        findQemu: () => findQemu(keeper.record.uuid),
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
          emit,
          machine,
          writeSeed: async (plan, options) => {
            const token = await firstToken(paths.token, { fresh: options.newDisk });
            const seed = await makeSeed(plan, {
              open: async (path) => (await Deno.open(path, { read: true })).readable,
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
          networksDown: (signal) =>
            networksDown(hypervisor, keeper.record.plan?.networks ?? [], signal),
          removeFolder: async (keep, signal) => {
            await events.flush();
            return await removeMachineFolder(rum, paths, { keep, signal });
          },
        }),
      ),
      guest: createGuestPort({
        session: () => link.session(),
        plan: inForce,
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
        },
        stopServices: (agent, signal) => services.stop(agent, signal),
        servicesReady: () => Promise.resolve(services.missing(inForce())),
        consoleTail: () => consoleLog.tail(8),
      }),
    },
  });

  const world = watchWorld(machine(), {
    observe(fact) {
      // The agent of the boot before must not be taken for that of the new one: its link still
      // stands, because a reset tells nobody goodbye.
      if (fact.kind === "rebooted") link.guestGone();
      controller.observe(fact);
    },
    power(on) {
      if (on) {
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
      agent: link.session().require(),
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
      signal,
    });
  const want = async (signal?: AbortSignal) => wanted = await plan(keeper.record.plan, signal);
  const lookForDrift = createDriftLook(async (recorded) => (await plan(recorded)).plan, emit);

  const engine: Engine = {
    id,
    paths,
    controller,
    events,
    hypervisor,
    link,
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
    drift: () => lookForDrift(keeper.record.plan),
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
