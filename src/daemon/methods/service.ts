/**
 * service.*: the guest's supervised processes. The agent answers every verb itself, with a code where
 * it refuses; what is listed is what it told last, so looking never waits for the guest.
 */
import { RumError } from "../../base/errors.ts";
import type { ServiceConfig } from "../../config/types.ts";
import type { AgentClient } from "../../guest/agent_client.ts";
import { flag, integer, object, optional, text } from "../../protocol/shape.ts";
import { MAX_LOG_LINES, type ServiceRequest } from "../../protocol/service_calls.ts";
import { method, type MethodTable } from "../../wire/rpc_types.ts";
import { notRunning } from "../screen.ts";
import type { MachineServices } from "../services.ts";

export interface ServiceMethodsOptions {
  readonly services: MachineServices;
  /** As the plan in force has them. */
  readonly defined: () => readonly ServiceConfig[];
  readonly agent: (signal: AbortSignal) => Promise<AgentClient>;
  readonly powered: () => boolean;
}

const DEFAULT_LINES = 100;

export function serviceMethods(options: ServiceMethodsOptions): MethodTable {
  const { services, defined, agent } = options;
  const ref = object({ name: text(64) });
  const request = (verb: ServiceRequest["verb"]) =>
    method({
      params: ref,
      kind: "mutation",
      survivesDisconnect: true,
      async handle(_context, { name }, io) {
        const message = await services.request(await agent(io.signal), { verb, name }, io.signal);
        return { message, services: rowsOf(name) };
      },
    });
  const rows = () => {
    if (!options.powered()) throw notRunning();
    return services.list({ services: defined() });
  };
  const rowsOf = (name: string) => rows().filter((row) => name === "all" || row.name === name);

  return {
    "service.list": method({
      params: object({}),
      kind: "read",
      handle: () => ({ services: rows() }),
    }),
    "service.get": method({
      params: ref,
      kind: "read",
      handle(_context, { name }) {
        const found = defined().find((service) => service.name === name);
        if (found === undefined) {
          throw new RumError("service_not_found", `There is no service "${name}"`, {
            hint: "rum service ls",
          });
        }
        return { ...publicSpec(found), services: rowsOf(name) };
      },
    }),
    "service.start": request("start"),
    "service.stop": request("stop"),
    "service.restart": request("restart"),
    "service.reload": request("reload"),
    "service.logs": method({
      params: object({
        name: text(64),
        follow: flag(),
        lines: optional(integer(0, MAX_LOG_LINES)),
      }),
      kind: "stream",
      async handle(_context, { name, follow, lines }, io) {
        // Following may lose the oldest, and says so; a tail that was asked for is whole.
        const send = (event: unknown) => follow ? io.offer(event) : io.emit(event);
        await services.logs(
          await agent(io.signal),
          { name, follow, lines: lines ?? DEFAULT_LINES },
          async (found) => {
            for (const line of found.lines) {
              await send({ service: found.service, index: found.index, text: line });
            }
          },
          io.signal,
        );
        return {};
      },
    }),
  };
}

/** What may be shown: the names of variables, never their values. */
function publicSpec({ env, envFile, ...rest }: ServiceConfig): Record<string, unknown> {
  return {
    name: rest.name,
    command: rest.command,
    ...(rest.cwd === undefined ? {} : { cwd: rest.cwd }),
    user: rest.user,
    instances: rest.instances,
    after: rest.after,
    env: Object.keys(env).sort(),
    ...(envFile === undefined ? {} : { env_file: envFile }),
    restart: rest.restart,
    health: rest.health,
    shutdown: rest.shutdown,
    log: rest.log,
  };
}
