/** What `status` answers: one frozen look at everything, without asking anybody or waiting. */
import { describePhase, type PhaseName } from "../machine/state.ts";
import type { StatusResult } from "../protocol/daemon.ts";
import { VERSION } from "../base/version.ts";
import type { Engine } from "./engine.ts";
import type { PoweredLink } from "./guest_link.ts";
import type { DaemonHost } from "./serve.ts";

export function statusOf(engine: Engine, host: DaemonHost): StatusResult {
  const { state, revision, operation } = engine.controller.snapshot();
  const { record, plan, link, hypervisorStatus } = engine;
  const { client } = link;
  const degraded: string[] = [...engine.contact.degraded(), ...engine.drift.known()];
  if (state.kind === "running" && state.ready.kind === "not_ready") degraded.push(state.ready.why);
  if (state.kind === "running" && client === undefined) {
    degraded.push("the guest agent does not answer");
  }
  if (engine.lostWithHost) {
    degraded.push("it was running when its host went down; rum up starts it");
  }
  degraded.push(...engine.services.degraded());
  const up = state.kind === "running" || state.kind === "paused";
  const services = engine.services.list(up ? plan : undefined);
  const folders = engine.folders.list();
  for (const { target, state, trouble } of folders) {
    if (state === "degraded") degraded.push(...trouble.map((why) => `mount ${target}: ${why}`));
  }
  return {
    id: engine.id,
    name: record.name,
    phase: state.kind,
    text: describePhase(state),
    revision,
    ...(operation === undefined ? {} : { operation }),
    ...(up ? { ready: state.ready.kind === "ready", owner: state.run.owner.kind } : {}),
    ...(state.kind === "failed" ? { cause: state.cause } : {}),
    as_recorded: false,
    config_path: record.config_path,
    hypervisor: {
      uri: engine.hypervisor.choice.uri,
      why: engine.hypervisor.choice.reason,
      name: record.hypervisor_name,
      uuid: record.uuid,
      state: hypervisorStatus.state,
      reason: hypervisorStatus.reason,
      ...(record.accelerator === undefined ? {} : { accelerator: record.accelerator }),
      ...(record.qemu === undefined ? {} : { qemu_pid: record.qemu.pid }),
    },
    ...(plan === undefined ? {} : {
      resources: { cpus: plan.cpus, memory: plan.memoryBytes, disk: plan.diskBytes },
    }),
    agent: client === undefined
      ? { state: agentState(state.kind, link), transport: link.transport }
      : {
        state: "up",
        transport: link.transport,
        version: client.hello.version,
        hostname: client.hello.hostname,
        os: client.hello.os.prettyName,
        kernel: client.hello.kernel,
        addresses: engine.addresses.of(client),
      },
    forwards: engine.forwards.forwards.list(),
    mounts: folders.map((row) => ({ ...row })),
    services: services.map((row) => ({ ...row })),
    service_count: plan?.services.length ?? 0,
    running_instances: services.filter((row) => row.pid !== undefined).length,
    daemon: {
      pid: Deno.pid,
      version: VERSION,
      started_at: host.startedAt,
      uptime_ms: host.uptimeMs(),
    },
    degraded,
  };
}

/** What is to be said of an agent that is not there: off, still to come, or gone. */
export function agentState(
  phase: PhaseName,
  link: Pick<PoweredLink, "seen" | "transport">,
): "off" | "waiting" | "lost" {
  if (link.transport === undefined) return "off";
  // A guest that reboots takes its agent along; the next one is as much awaited as the first.
  return link.seen && phase !== "starting" ? "lost" : "waiting";
}
