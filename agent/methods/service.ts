/**
 * Services as the host's calls: the set, the verbs, what is, what changes, the logs. Every request
 * gets exactly one answer; refusals are errors with their code.
 */
import { RumError } from "../../src/base/errors.ts";
import {
  serviceApplyParams,
  type ServiceLogLines,
  serviceLogsParams,
  type ServiceNews,
  serviceRequestParams,
} from "../../src/protocol/service_calls.ts";
import { empty } from "../../src/protocol/agent.ts";
import type { Call } from "../call.ts";
import type { AgentContext } from "../context.ts";
import { logLines } from "../services/log_follow.ts";

/** Changes that wait for a slow host; then only the latest state of each instance is told. */
const MAX_WAITING = 4096;

export async function serviceApply(call: Call, context: AgentContext): Promise<unknown> {
  const { services } = call.params(serviceApplyParams);
  return { message: await context.services.apply(services) };
}

export async function serviceRequest(call: Call, context: AgentContext): Promise<unknown> {
  return { message: await context.services.request(call.params(serviceRequestParams)) };
}

export function serviceList(call: Call, context: AgentContext): Promise<unknown> {
  call.params(empty);
  return Promise.resolve({ instances: context.services.views() });
}

export async function serviceShutdown(call: Call, context: AgentContext): Promise<unknown> {
  call.params(empty);
  return { message: await context.services.shutdown() };
}

export async function serviceWatch(call: Call, context: AgentContext): Promise<unknown> {
  call.params(empty);
  let waiting: ServiceNews[] = [];
  let wake = () => {};
  const onAbort = () => wake();
  call.signal.addEventListener("abort", onAbort, { once: true });
  using _following = context.services.follow((news) => {
    waiting = news.whole ? [news] : [...waiting, news];
    if (waiting.length > MAX_WAITING) {
      waiting = [{ whole: true, instances: context.services.views(), gone: [] }];
    }
    wake();
  });
  while (!call.signal.aborted) {
    const news = waiting.shift();
    if (news !== undefined) await call.event(news);
    else await new Promise<void>((resolve) => wake = resolve);
  }
  return {};
}

export async function serviceLogs(call: Call, context: AgentContext): Promise<unknown> {
  const { name, lines, follow } = call.params(serviceLogsParams);
  const instances = context.services.views().filter((view) =>
    name === "all" || view.service === name
  );
  if (instances.length === 0) {
    throw new RumError("service_not_found", `There is no service "${name}"`, {
      hint: "rum service ls",
    });
  }
  const one = async ({ service, index }: { service: string; index: number }) => {
    const path = context.services.logPath({ service, index });
    for await (const found of logLines(path, { lines, follow, signal: call.signal })) {
      await call.event({ service, index, lines: found } satisfies ServiceLogLines);
    }
  };
  if (follow) await Promise.all(instances.map(one));
  else for (const instance of instances) await one(instance);
  return {};
}
