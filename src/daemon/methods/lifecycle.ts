/**
 * The methods that change the machine. Each is a request to the controller; the client hears the
 * machine's events until its own request is answered, and says by `interrupt` or by leaving what
 * the table of the state machine then decides.
 */
import { RumError } from "../../base/errors.ts";
import type { RequestInput } from "../../machine/run.ts";
import { firstBootOf, ownerOf } from "../../machine/state.ts";
import { flag, integer, object, oneOf, optional } from "../../protocol/shape.ts";
import { type CallContext, type CallIo, method, type MethodTable } from "../../wire/rpc_types.ts";
import type { Engine } from "../engine.ts";

const none = object({});
const DEFAULT_DOWN_MS = 60_000;

/** The name under which a connection owns a run. */
export function clientOf(context: CallContext): string {
  return `c${context.connection}`;
}

export function lifecycleMethods(engine: Engine): MethodTable {
  const { controller } = engine;
  const timeoutOf = (given: number | undefined) =>
    given ?? engine.plan?.shutdownTimeoutMs ?? DEFAULT_DOWN_MS;

  /** Events to the client while its request is under way, the answer when it is settled. */
  async function ask(input: RequestInput, io: CallIo): Promise<Record<string, unknown>> {
    const unfollow = engine.events.follow((event) => io.offer(event));
    try {
      const { did, exit, text } = await controller.request(input, { signal: io.signal });
      return {
        did,
        exit,
        phase: controller.snapshot().state.kind,
        ...(input.kind === "up" ? { owned: owns(input.client) } : {}),
        ...(text === undefined ? {} : { text }),
      };
    } finally {
      unfollow();
      // `rum events` reads the file: whoever asks next finds all that this did.
      await engine.events.flush();
    }
  }

  /** Whether the run is this client's to interrupt. */
  function owns(client: string): boolean {
    const owner = ownerOf(controller.snapshot().state);
    return owner.kind === "attached" && owner.client === client;
  }

  return {
    up: method({
      params: object({
        detach: flag(),
        attach: optional(flag()),
        reset: optional(oneOf("disk", "all")),
      }),
      kind: "mutation",
      survivesDisconnect: true,
      async handle(context, { detach, attach, reset }, io) {
        await engine.want(io.signal);
        const client = clientOf(context);
        const onGone = () => controller.observe({ kind: "client_left", client, why: "gone" });
        context.disconnected.addEventListener("abort", onGone, { once: true });
        if (context.disconnected.aborted) throw new RumError("cancelled", "The client is gone");
        return await ask({
          kind: "up",
          client,
          detach,
          attach: attach ?? false,
          ...(reset === undefined ? {} : { reset }),
        }, io);
      },
    }),
    detach: method({
      params: none,
      kind: "read",
      handle(context) {
        controller.observe({ kind: "client_left", client: clientOf(context), why: "detached" });
        return {};
      },
    }),
    interrupt: method({
      params: none,
      kind: "mutation",
      survivesDisconnect: true,
      handle: (context, _params, io) => ask({ kind: "interrupt", client: clientOf(context) }, io),
    }),
    down: method({
      params: object({ force: flag(), timeout_ms: optional(integer(0)) }),
      kind: "mutation",
      survivesDisconnect: true,
      handle: (context, { force, timeout_ms }, io) =>
        ask({
          kind: "down",
          client: clientOf(context),
          force,
          timeoutMs: timeoutOf(timeout_ms),
        }, io),
    }),
    destroy: method({
      params: none,
      kind: "mutation",
      survivesDisconnect: true,
      handle: (context, _params, io) => ask({ kind: "destroy", client: clientOf(context) }, io),
    }),
    restart: method({
      params: object({ timeout_ms: optional(integer(0)) }),
      kind: "mutation",
      survivesDisconnect: true,
      async handle(context, { timeout_ms }, io) {
        await engine.want(io.signal);
        return await ask({
          kind: "restart",
          client: clientOf(context),
          timeoutMs: timeoutOf(timeout_ms),
        }, io);
      },
    }),
    pause: method({
      params: none,
      kind: "mutation",
      handle: (context, _params, io) => ask({ kind: "pause", client: clientOf(context) }, io),
    }),
    resume: method({
      params: none,
      kind: "mutation",
      handle: (context, _params, io) => ask({ kind: "resume", client: clientOf(context) }, io),
    }),
    provision: method({
      params: object({ system: flag(), boot: flag() }),
      kind: "mutation",
      async handle(context, { system, boot }, io) {
        await engine.want(io.signal);
        await engine.adoptScripts();
        const scope = system === boot ? "all" : system ? "system" : "boot";
        if (scope === "boot") requireSystemPassed(engine);
        return await ask({ kind: "provision", client: clientOf(context), scope }, io);
      },
    }),
  };
}

/**
 * A machine whose system script failed is not made ready by its boot script alone: an edit of the system
 * script would no longer be taken over, and the next `up` would run the old one.
 *
 * @throws {RumError} `provision_failed`
 */
function requireSystemPassed({ controller, events }: Engine): void {
  if (firstBootOf(controller.snapshot().state).kind !== "ended") return;
  const last = events.after(0).findLast((event) =>
    event.kind === "script" && event.script === "system"
  );
  if (last?.kind !== "script" || last.state !== "failed") return;
  throw new RumError(
    "provision_failed",
    "Cannot run the boot script alone: the system script of this machine's first boot failed, and comes first",
    { hint: "rum provision" },
  );
}
