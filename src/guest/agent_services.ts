/**
 * The host's side of the agent's services. What comes back was written by a guest: names and states
 * are checked by shape, text is made printable here, once, so that nothing behind this module has to
 * think of it.
 */
import { withDeadline } from "../base/deadline.ts";
import { printable, printableLine } from "../base/printable.ts";
import { empty } from "../protocol/agent.ts";
import { KIND } from "../protocol/calls.ts";
import {
  type ServiceLogLines,
  serviceLogLines,
  type ServiceNews,
  serviceNews,
  serviceReply,
  type ServiceRequest,
} from "../protocol/service_calls.ts";
import type { InstanceView, ServiceSpec } from "../protocol/services.ts";
import type { Mux } from "../wire/mux_types.ts";
import { AgentCall } from "./agent_call.ts";

export interface ServiceCallOptions {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

/** A set is in force once what it has no place for has ended, each within its own time-out. */
const APPLY_MS = 5 * 60_000;
/** A rolling reload waits for each instance to be healthy. */
const REQUEST_MS = 15 * 60_000;

/** Hands over the whole set. @throws {RumError} `shutting_down`, `timeout`, `agent_restarted` */
export function applyServices(
  mux: Mux,
  services: readonly ServiceSpec[],
  options: ServiceCallOptions = {},
): Promise<string> {
  return ask(mux, "service.apply", { services }, { timeoutMs: APPLY_MS, ...options });
}

/** @throws {RumError} `service_not_found`, `service_already_running`, `service_not_running`, … */
export function requestService(
  mux: Mux,
  request: ServiceRequest,
  options: ServiceCallOptions = {},
): Promise<string> {
  return ask(mux, "service.request", request, { timeoutMs: REQUEST_MS, ...options });
}

/** Ends every service; the agent starts none any more until the guest's next boot. */
export function shutDownServices(mux: Mux, options: ServiceCallOptions = {}): Promise<string> {
  return ask(mux, "service.shutdown", {}, { timeoutMs: 60_000, ...options });
}

/** Everything, then every change, until the signal or the end of the link. */
export async function watchServices(
  mux: Mux,
  take: (news: ServiceNews) => void,
  options: { readonly signal?: AbortSignal } = {},
): Promise<void> {
  await using call = await AgentCall.open(mux, "service.watch", {}, options);
  for (;;) {
    const next = await call.next(empty);
    if (next.kind === "final") return;
    if (next.record.kind !== KIND.event) throw call.lied("sent bytes instead of service news");
    const news = call.read(next.record, serviceNews);
    take({ ...news, instances: news.instances.map(shown) });
  }
}

/** The end of the logs of one service or `all`; with `follow` until the signal. */
export async function serviceLogs(
  mux: Mux,
  params: { readonly name: string; readonly lines: number; readonly follow: boolean },
  take: (lines: ServiceLogLines) => void | Promise<void>,
  options: { readonly signal?: AbortSignal } = {},
): Promise<void> {
  await using call = await AgentCall.open(mux, "service.logs", params, options);
  for (;;) {
    const next = await call.next(empty);
    if (next.kind === "final") return;
    if (next.record.kind !== KIND.event) throw call.lied("sent bytes instead of log lines");
    const found = call.read(next.record, serviceLogLines);
    await take({
      ...found,
      service: printableLine(found.service),
      lines: found.lines.map(oneLine),
    });
  }
}

async function ask(
  mux: Mux,
  method: string,
  params: unknown,
  { signal, timeoutMs }: ServiceCallOptions & { readonly timeoutMs: number },
): Promise<string> {
  return await withDeadline(
    {
      waitingFor: `The guest agent's answer to ${method}`,
      timeoutMs,
      signal,
      hint: "rum service ls",
    },
    async (inner) => {
      await using call = await AgentCall.open(mux, method, params, { signal: inner });
      return printableLine((await call.result(serviceReply)).message);
    },
  );
}

function shown(view: InstanceView): InstanceView {
  return {
    ...view,
    ...(view.text === undefined ? {} : { text: printableLine(view.text, 500) }),
    ...(view.startedAt === undefined ? {} : { startedAt: printableLine(view.startedAt) }),
  };
}

/** Tabs stay; colours and cursor moves go. */
function oneLine(line: string): string {
  return printable(line).replaceAll("\n", " ");
}
