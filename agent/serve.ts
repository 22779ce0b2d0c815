/**
 * Serves one link: takes the streams that the host opens, one task each, until the link ends. Every
 * call gets exactly one final answer or a reset; a handler that throws takes down its own call and
 * nothing else. Until hello has proved the token on this very link, hello is all there is.
 */
import { RumError, toRumError } from "../src/base/errors.ts";
import { KIND } from "../src/protocol/calls.ts";
import { object, optional, ShapeError, text } from "../src/protocol/shape.ts";
import { anything, flag } from "../src/protocol/shape.ts";
import { parseJson } from "../src/wire/json.ts";
import type { IncomingStream, Mux } from "../src/wire/mux_types.ts";
import { Call, type SessionState } from "./call.ts";
import type { AgentContext } from "./context.ts";
import { Room } from "./room.ts";

export type Handler = (call: Call, context: AgentContext) => Promise<unknown>;
export type MethodTable = Readonly<Record<string, Handler>>;

/** Both together are fewer than a link has streams: a refusal needs one to be told on. */
const MAX_CALLS = 512;
const MAX_CONNECTIONS = 1500;

/** Calls that live as long as a client's connection: however many idle, they hold up no other. */
const CONNECTIONS: ReadonlySet<string> = new Set(["dial", "dial_udp"]);

const header = object({ m: text(64), p: optional(anything()), more: optional(flag()) });

export async function serveLink(
  mux: Mux,
  methods: MethodTable,
  context: AgentContext,
): Promise<void> {
  const session: SessionState = { authenticated: false };
  const running = new Set<Promise<void>>();
  const calls = new Room(MAX_CALLS, "calls are under way", "rum status");
  const connections = new Room(MAX_CONNECTIONS, "connections are open", "rum port ls");
  for await (const incoming of mux.incoming) {
    const task = serveCall(incoming, methods, context, session, { calls, connections });
    running.add(task);
    task.finally(() => running.delete(task));
  }
  await Promise.allSettled(running);
}

/** What a host does before it asks for scripts; a look at ports or an `exec` holds up no boot. */
const BEFORE_SCRIPTS: ReadonlySet<string> = new Set([
  "apply",
  "time",
  "upgrade",
  "folder.open",
  "folder.apply",
  "folder.touch",
]);

async function serveCall(
  incoming: IncomingStream,
  methods: MethodTable,
  context: AgentContext,
  session: SessionState,
  rooms: { readonly calls: Room; readonly connections: Room },
): Promise<void> {
  let call: Call | undefined;
  try {
    const head = header(parseJson(incoming.header, "A call's header"), "");
    call = new Call(head.m, head.p ?? {}, incoming.stream, session);
    const room = CONNECTIONS.has(call.method) ? rooms.connections : rooms.calls;
    using _place = room.take(call.method);
    if (head.more) await takeParams(call);
    const handler = Object.hasOwn(methods, call.method) ? methods[call.method] : undefined;
    if (call.method !== "hello" && !session.authenticated) {
      throw new RumError("unauthorized", `Method "${call.method}" needs a hello before it`);
    }
    if (handler === undefined) {
      throw new RumError("method_not_found", `The agent knows no method "${call.method}"`);
    }
    using _atWork = BEFORE_SCRIPTS.has(call.method) ? context.host.call() : undefined;
    const result = await handler(call, context);
    if (!call.answered) await call.finish(result);
  } catch (thrown) {
    if (call === undefined) {
      incoming.stream.abort(thrown);
      return;
    }
    if (call.signal.aborted) {
      // Raw bytes that failed one way shall not wait for their end the other way.
      if (call.answered) call.reset(thrown);
      return;
    }
    const error = thrown instanceof ShapeError
      ? new RumError("invalid_params", `Method "${call.method}": ${thrown.message}`)
      : toRumError(thrown);
    if (error.code === "internal") context.log.write(`${call.method}: ${describe(thrown)}`);
    // After a switch to raw bytes there is no place for an error record any more.
    if (call.answered) call.reset(error);
    else await call.fail(error).catch(() => call?.reset(error));
  }
}

async function takeParams(call: Call): Promise<void> {
  const first = await call.records.next();
  if (first?.kind !== KIND.params) {
    throw new RumError("protocol_error", "A call announced parameters and sent none");
  }
  call.setParams(parseJson(first.payload, "A call's parameters"));
}

function describe(thrown: unknown): string {
  return thrown instanceof Error ? thrown.stack ?? thrown.message : String(thrown);
}
