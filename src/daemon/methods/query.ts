/** Methods that look, follow and wait, and change nothing. */
import { systemClock } from "../../base/clock.ts";
import { RumError } from "../../base/errors.ts";
import { withDeadline } from "../../base/deadline.ts";
import type { MachineEvent } from "../../protocol/machine_events.ts";
import { flag, integer, object, oneOf, optional, text } from "../../protocol/shape.ts";
import { type CallIo, method, type MethodTable } from "../../wire/rpc_types.ts";
import { agentOf } from "../agent_access.ts";
import type { Engine } from "../engine.ts";

const WAIT_POLL_MS = 300;
const AGENT_LOG_BYTES = 64 * 1024;
/** How long a machine may be off before a wait for it is refused: its `up` may be on the way. */
const OFF_MS = 1500;

export function queryMethods(engine: Engine, status: () => unknown): MethodTable {
  return {
    status: method({ params: object({}), kind: "read", handle: () => status() }),

    events: method({
      params: object({ follow: flag(), since: optional(integer(0)) }),
      kind: "stream",
      async handle(_context, { follow, since }, io) {
        let last = since ?? 0;
        if (!follow) {
          for (const event of engine.events.after(last)) {
            await io.emit(event);
            last = event.seq;
          }
          return { last };
        }
        // Listening first, then the past: nothing falls between the two, and nothing comes twice.
        const early: MachineEvent[] = [];
        let live = false;
        const unfollow = engine.events.follow((event) => {
          if (live) io.offer(event);
          else early.push(event);
        });
        try {
          const past = since === undefined ? [] : engine.events.after(since);
          for (const event of past) await io.emit(event);
          const seen = past.at(-1)?.seq ?? 0;
          for (const event of early.filter((e) => e.seq > seen)) await io.emit(event);
          live = true;
          await aborted(io.signal);
          return { last: engine.events.last };
        } finally {
          unfollow();
        }
      },
    }),

    /** The guest agent's own; every other log is a file on the host that clients read themselves. */
    log: method({
      params: object({ source: oneOf("agent") }),
      kind: "read",
      async handle(_context, _params, io) {
        const agent = await agentOf(engine, io.signal);
        return { text: await agent.logs(AGENT_LOG_BYTES, { signal: io.signal }) };
      },
    }),

    wait: method({
      params: object({ for: text(1024), timeout_ms: integer(1) }),
      kind: "stream",
      async handle(_context, params: { for: string; timeout_ms: number }, io) {
        let seen = "nothing yet";
        return await withDeadline(
          {
            waitingFor: `Waiting for ${params.for}`,
            timeoutMs: params.timeout_ms,
            signal: io.signal,
            lastSeen: () => seen,
            hint: "rum status",
          },
          async (signal) => {
            const condition = conditionOf(params.for);
            let offSince: number | undefined;
            for (;;) {
              const { state } = engine.controller.snapshot();
              if (state.kind === "stopped" || state.kind === "absent" || state.kind === "over") {
                offSince ??= performance.now();
                if (performance.now() - offSince > OFF_MS) throw isOff(params.for, state.kind);
              } else offSince = undefined;
              const why = await condition(engine, { ...io, signal });
              if (why === undefined) return { met: params.for };
              seen = why;
              await systemClock.sleep(WAIT_POLL_MS, { signal });
            }
          },
        );
      },
    }),
  };
}

function isOff(what: string, phase: string): RumError {
  return new RumError("not_running", `Cannot wait for ${what}: the machine is ${phase}`, {
    hint: "rum up -d",
  });
}

/** Undefined = met; else what was seen instead. */
type Condition = (engine: Engine, io: Pick<CallIo, "signal">) => Promise<string | undefined>;

/** @throws {RumError} `invalid_params` */
export function conditionOf(what: string): Condition {
  const [kind, ...rest] = what.split(":");
  const argument = rest.join(":");
  switch (kind) {
    case "agent":
      return (engine) => {
        const { state } = engine.controller.snapshot();
        // Its link stands, and nothing in it would answer.
        if (state.kind === "paused") return Promise.resolve("the machine is paused");
        return Promise.resolve(engine.link.client === undefined ? "no agent yet" : undefined);
      };
    case "ready":
      return (engine) => {
        const { state } = engine.controller.snapshot();
        if (state.kind === "failed") throw new RumError(state.cause.code, state.cause.message);
        return Promise.resolve(
          state.kind === "running" && state.ready.kind === "ready"
            ? undefined
            : state.kind === "running" && state.ready.kind === "not_ready"
            ? `the machine is running, not ready: ${state.ready.why}`
            : `the machine is ${state.kind}`,
        );
      };
    case "port": {
      const port = Number(argument);
      if (!Number.isInteger(port) || port < 1 || port > 65535) break;
      return async (engine, { signal }) => {
        try {
          const agent = await agentOf(engine, signal);
          (await agent.dial(port, { signal, timeoutMs: 3000 })).abort();
          return undefined;
        } catch (error) {
          return error instanceof Error ? error.message : String(error);
        }
      };
    }
    case "service":
      if (argument === "") break;
      return (engine) =>
        Promise.resolve(engine.services.missing(engine.plan ?? { services: [] }, argument));
    case "exec":
      if (argument === "") break;
      return async (engine, { signal }) => {
        try {
          const agent = await agentOf(engine, signal);
          const { code } = await agent.exec({ argv: ["sh", "-c", argument] }, {
            stdout: () => {},
            stderr: () => {},
          }, { signal });
          return code === 0 ? undefined : `the command exits with ${code}`;
        } catch (error) {
          return error instanceof Error ? error.message : String(error);
        }
      };
  }
  throw new RumError(
    "invalid_params",
    `Cannot wait for "${what}": wanted agent, ready, port:N, service:NAME or exec:CMD`,
    { hint: "rum wait --help" },
  );
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
