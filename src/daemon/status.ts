/** What `status` answers: one frozen look at everything, without asking anybody or waiting. */
import { describePhase } from "../machine/state.ts";
import type { StatusResult } from "../protocol/daemon.ts";
import { VERSION } from "../base/version.ts";
import type { Engine } from "./engine.ts";
import type { DaemonHost } from "./serve.ts";

export function statusOf(engine: Engine, host: DaemonHost): StatusResult {
  const { state, revision, operation } = engine.controller.snapshot();
  const { record, plan, link, hypervisorStatus } = engine;
  const hello = link.client?.hello;
  const degraded: string[] = [...engine.drift.known()];
  if (state.kind === "running" && state.ready.kind === "not_ready") degraded.push(state.ready.why);
  if (state.kind === "running" && hello === undefined) {
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
    agent: hello === undefined
      ? { state: link.transport === undefined ? "off" : "lost", transport: link.transport }
      : {
        state: "up",
        transport: link.transport,
        version: hello.version,
        hostname: hello.hostname,
        os: hello.os.prettyName,
        kernel: hello.kernel,
        addresses: hello.addresses,
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
