/**
 * Opens a machine's engine: compares records with what libvirt says and begins in the state that
 * follows. It changes nothing of the machine; the caller holds its lock.
 */
import { type Clock, systemClock } from "../base/clock.ts";
import { RumError } from "../base/errors.ts";
import { VERSION } from "../base/version.ts";
import { faultPoint } from "../base/fault.ts";
import { chooseDoor } from "../libvirt/host_facts.ts";
import { openHypervisor } from "../libvirt/open.ts";
import { type MachineRecord, newRecord } from "../machine/record.ts";
import { recoverState } from "../machine/recover.ts";
import { hypervisorName, machineUuid } from "../plan/identity.ts";
import type { HostEnv } from "../plan/paths.ts";
import { diskSize } from "../store/disks.ts";
import { bindConfigPath, ensureMachineFolder, readConfigPath } from "../store/machine_folder.ts";
import { isLostWithHost } from "../store/list_machines.ts";
import { bootId } from "../store/flock.ts";
import { createRecordKeeper, loadState } from "../store/state_file.ts";
import { approvedUri, goodConfig } from "./approval.ts";
import { openEventLog } from "./event_log.ts";
import { isOff } from "./power.ts";

import type { Engine, EngineOptions } from "./engine.ts";
import { assemble } from "./assemble.ts";

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
  // A folder that was left before its first record is removed with or without its rum.toml.
  const name = (await goodConfig(configPath, env))?.name ?? id;
  return newRecord({
    id,
    uuid: machineUuid(configPath, id),
    name,
    hypervisorName: hypervisorName(name, id),
    configPath,
    rumVersion: VERSION,
    now: clock.now().toISOString(),
  });
}
