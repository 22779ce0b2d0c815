/**
 * The interpreter: the one owner of the cell that holds a machine's state (`snapshots.ts`). Everything that wants the
 * machine changed goes through one inbox, one event after the other: step, publish the snapshot,
 * carry out the effects, answer whoever can be answered, let in who waited. Work runs beside the
 * inbox, one piece at a time, and comes back to it as an event.
 *
 * Readers never wait (CTR-D001): they get the last frozen snapshot with its revision (INV-D003).
 * Writers may (CTR-D002): a request that has to wait says for how long, and is `busy` after that,
 * with what holds the machine since when. Once the state is `over`, `shutdown` is aborted for good
 * (INV-D001): a signal cannot be un-aborted, and every later request is `shutting_down`.
 */
import { type Clock, systemClock } from "../base/clock.ts";
import { RumError, toRumError } from "../base/errors.ts";
import type { EventBody as MachineEventBody } from "../protocol/machine_events.ts";
import { admit } from "./admit.ts";
import { DEFAULT_DEADLINES, type Effect, type Ports, type WorkDeadlines } from "./effects.ts";
import type { Event, EventBody, Request, TakeUp, WorldFact } from "./events.ts";
import { verdictOf } from "./interrupt.ts";
import type { Rules } from "./moves.ts";
import type { RecordPatch } from "./record.ts";
import { beginWork, causeOf, type RunningWork } from "./run_work.ts";
import { type Outcome, type Pending, settle } from "./settle.ts";
import { createStateCell, type Snapshot } from "./snapshots.ts";
import { DEFAULT_RULES, step } from "./step.ts";
import { type ClientId, type MachineState, ownerOf } from "./state.ts";

type WithoutOperation<T> = T extends unknown ? Omit<T, "operation"> : never;
/** A request or fact as its sender writes it; the operation is numbered here. */
export type RequestInput = WithoutOperation<Request>;
export type FactInput = WithoutOperation<WorldFact | TakeUp>;

export interface RequestOptions {
  /**
   * Ends the waiting of this caller, nothing else: what is under way goes on. A request that has not
   * begun never begins.
   */
  readonly signal?: AbortSignal;
  /** How long to queue behind other work before `busy`. Default 60 s. */
  readonly queueMs?: number;
}

export interface MachineController {
  /** Never waits. */
  snapshot(): Snapshot;
  /** Resolves at once when the revision is past `after` already. */
  changed(after: number, options?: { signal?: AbortSignal }): Promise<Snapshot>;
  /** Resolves with what was done; rejects with a RumError for refusals and failures. */
  request(request: RequestInput, options?: RequestOptions): Promise<Outcome & { ok: true }>;
  /** News from outside. */
  observe(fact: FactInput): void;
  /** Aborted when the controller is over, and never again not. */
  readonly shutdown: AbortSignal;
  /** Resolves once it is over and no work is in flight any more. */
  readonly closed: Promise<void>;
  readonly startedAt: string;
  uptimeMs(): number;
}

export interface ControllerOptions {
  readonly ports: Ports;
  readonly initial: MachineState;
  readonly emit: (event: MachineEventBody) => void;
  readonly clock?: Clock;
  /** Read at every step: the plan may change while the machine runs. */
  readonly rules?: () => Rules;
  readonly deadlines?: Partial<WorkDeadlines>;
  /** How long called-off work may clean up. Default 15 s. */
  readonly graceMs?: number;
  readonly newOperation?: () => string;
}

interface Asker extends Pending {
  readonly resolve: (outcome: Outcome & { ok: true }) => void;
  readonly reject: (error: RumError) => void;
  /** Nobody waits for the answer any more. */
  readonly signal?: AbortSignal;
  /** Ends the queue's clock. */
  readonly over: AbortController;
  readonly queueMs: number;
}

const QUEUE_MS = 60_000;
const SAVE_MS = 30_000;

export function createMachineController(options: ControllerOptions): MachineController {
  const { ports, emit } = options;
  const clock = options.clock ?? systemClock;
  const rules = options.rules ?? (() => DEFAULT_RULES);
  const graceMs = options.graceMs ?? 15_000;
  const deadlines = { ...DEFAULT_DEADLINES, ...options.deadlines };
  const newOperation = options.newOperation ?? randomOperation;
  const startedAt = clock.now().toISOString();
  const startedMs = clock.monotonicMs();
  const shutdown = new AbortController();
  const closed = Promise.withResolvers<void>();

  const cell = createStateCell(options.initial, clock);
  const inbox: ({ event: EventBody } | { asker: Asker })[] = [];
  let pumping = false;
  let inFlight: RunningWork | undefined;
  let waiting: Asker[] = [];
  let pending: Asker[] = [];

  function post(item: typeof inbox[number]): void {
    inbox.push(item);
    if (!pumping) void pump();
  }

  async function pump(): Promise<void> {
    pumping = true;
    try {
      for (let item = inbox.shift(); item !== undefined; item = inbox.shift()) {
        try {
          if ("event" in item) await handle(item.event);
          else await consider(item.asker);
          await letIn();
        } catch (error) {
          // A defect of ours must not end the one process that can still stop the machine.
          const cause = causeOf(error);
          emit({ kind: "warning", code: "internal", text: `A defect in rum: ${cause.message}` });
          if ("asker" in item) {
            item.asker.reject(new RumError("internal", cause.message, { cause: error }));
          }
        }
      }
    } finally {
      pumping = false;
      if (cell.get().state.kind === "over" && inFlight === undefined) closed.resolve();
    }
  }

  async function handle(body: EventBody): Promise<void> {
    if (body.kind === "client_left") leave(body.client, 0, "left");
    const event: Event = { ...body, at: clock.monotonicMs() };
    const [next, effects] = step(cell.get().state, event, rules());
    cell.set(next);
    if (next.kind === "over") shutdown.abort(new RumError("shutting_down", "The machine is over"));
    for (const effect of effects) if (!await carryOut(effect)) break;
    answer(event);
  }

  /** False when a write-ahead failed: nothing that stood behind it may happen. */
  async function carryOut(effect: Effect): Promise<boolean> {
    switch (effect.kind) {
      case "emit":
        emit(effect.event);
        return true;
      case "cancel":
        inFlight?.cancel(effect.why);
        return true;
      case "work": {
        if (inFlight !== undefined) {
          throw new Error(`"${effect.work}" would run beside "${inFlight.work.work}"`);
        }
        const running = beginWork(effect, { ports, clock, deadlines, graceMs });
        inFlight = running;
        void running.ended.then((event) => {
          if (inFlight !== running) return;
          inFlight = undefined;
          post({ event });
        });
        return true;
      }
      case "save":
        try {
          await saveWithin(stamped(effect.patch));
          return true;
        } catch (error) {
          const cause = causeOf(error);
          if (effect.barrier) {
            inbox.unshift({ event: { kind: "save_failed", cause } });
            return false;
          }
          emit({
            kind: "warning",
            code: cause.code,
            text: `The machine's record could not be written: ${cause.message}`,
          });
          return true;
        }
    }
  }

  function stamped(patch: Extract<Effect, { kind: "save" }>["patch"]): RecordPatch {
    const { phase, operation, ...rest } = patch;
    return {
      ...rest,
      ...(phase === undefined ? {} : { phase: { ...phase, since: cell.get().at } }),
      ...(operation === undefined
        ? {}
        : { operation: operation === null ? undefined : cell.get().operation }),
    };
  }

  async function saveWithin(patch: RecordPatch): Promise<void> {
    const done = new AbortController();
    const late = clock.sleep(SAVE_MS, { signal: done.signal }).then(() => {
      throw new RumError("timeout", `Writing the record took longer than ${SAVE_MS / 1000} s`);
    }, () => {});
    try {
      await Promise.race([ports.recorder.save(patch), late]);
    } finally {
      done.abort();
    }
  }

  async function consider(asker: Asker): Promise<void> {
    const { request } = asker;
    // It was answered when it left, and what nobody waits for does not begin.
    if (asker.signal?.aborted) return;
    const admission = admit(cell.get().state, request);
    switch (admission.kind) {
      case "wait":
        waiting.push(asker);
        void clock.sleep(asker.queueMs, { signal: asker.over.signal }).then(
          () => giveUp(asker),
          () => {},
        );
        return;
      case "refuse":
        return asker.reject(
          new RumError(admission.code, admission.message, { hint: admission.hint }),
        );
      case "done":
        began(asker);
        return finish(asker, { ok: true, did: admission.did, exit: 0 });
      case "join":
        began(asker);
        pending.push(asker);
        return;
      case "now":
        began(asker);
        return await actNow(asker);
    }
  }

  async function actNow(asker: Asker): Promise<void> {
    const { request } = asker;
    if (request.kind === "interrupt") {
      const verdict = verdictOf(cell.get().state, request.client);
      pending.push({ ...asker, verdict });
      if (verdict.does === "leave") leave(request.client, verdict.exit, "left");
      else leaveQueue(request.client);
    } else pending.push(asker);
    await handle(request);
  }

  /** Whoever waited and may act now does, in the order of asking. */
  async function letIn(): Promise<void> {
    for (let again = true; again;) {
      again = false;
      for (const asker of waiting) {
        if (admit(cell.get().state, asker.request).kind === "wait") continue;
        waiting = waiting.filter((a) => a !== asker);
        asker.over.abort();
        await consider(asker);
        again = true;
        break;
      }
    }
  }

  function answer(event: Event): void {
    for (const asker of pending) {
      const outcome = settle(asker, cell.get().state, event);
      if (outcome === undefined) continue;
      pending = pending.filter((a) => a !== asker);
      finish(asker, outcome);
    }
  }

  function giveUp(asker: Asker): void {
    if (!waiting.includes(asker)) return;
    waiting = waiting.filter((a) => a !== asker);
    const { operation, state, at } = cell.get();
    asker.reject(
      new RumError(
        "busy",
        `Cannot ${asker.request.kind}: the machine is busy with ` +
          `"${operation?.kind ?? state.kind}" since ${operation?.since ?? at}`,
        {
          hint: "rum status",
          data: {
            operation: operation?.kind ?? state.kind,
            since: operation?.since ?? at,
          },
        },
      ),
    );
  }

  /** A client goes: what it only waited for is answered; an accepted down or destroy runs on. */
  function leave(client: ClientId, exit: number, did: "left"): void {
    const owner = ownerOf(cell.get().state);
    const owns = owner.kind === "attached" && owner.client === client;
    const mine = pending.filter((a) =>
      "client" in a.request && a.request.client === client &&
      ["up", "restart", "provision"].includes(a.request.kind)
    );
    pending = pending.filter((a) => !mine.includes(a));
    for (const asker of mine) finish(asker, { ok: true, did, exit });
    if (!owns) leaveQueue(client);
  }

  function leaveQueue(client: ClientId): void {
    const mine = waiting.filter((a) => "client" in a.request && a.request.client === client);
    waiting = waiting.filter((a) => !mine.includes(a));
    for (const asker of mine) {
      asker.over.abort();
      asker.reject(
        new RumError("interrupted", `Called off before "${asker.request.kind}" began`, {
          data: { began: false },
        }),
      );
    }
  }

  /** The caller is gone: what has begun goes on, what has not never does. */
  function withdraw(asker: Asker): void {
    const reason = toRumError(asker.signal?.reason);
    const begun = pending.some((a) => a.request === asker.request);
    waiting = waiting.filter((a) => a !== asker);
    asker.over.abort();
    asker.reject(
      begun ? reason : new RumError(reason.code, reason.message, {
        cause: reason,
        hint: reason.hint,
        data: { ...reason.data, began: false },
      }),
    );
  }

  function began(asker: Asker): void {
    const { request } = asker;
    emit({
      kind: "operation",
      operation: request.operation,
      what: request.kind,
      state: "began",
      ...("client" in request ? { client: request.client } : {}),
    });
  }

  function finish(asker: Asker, outcome: Outcome): void {
    emit({
      kind: "operation",
      operation: asker.request.operation,
      what: asker.request.kind,
      state: "ended",
      outcome: outcome.ok ? outcome.did : outcome.cause.code,
    });
    if (outcome.ok) return asker.resolve(outcome);
    const { code, message, hint, data } = outcome.cause;
    asker.reject(new RumError(code, message, { hint, data }));
  }

  return {
    snapshot: cell.get,
    changed: cell.changed,
    request(input, { signal, queueMs = QUEUE_MS } = {}) {
      if (signal?.aborted) return Promise.reject(signal.reason);
      const request = { ...input, operation: newOperation() } as Request;
      const { promise, resolve, reject } = Promise.withResolvers<Outcome & { ok: true }>();
      const over = new AbortController();
      const asker: Asker = { request, resolve, reject, signal, over, queueMs };
      const onAbort = () => withdraw(asker);
      signal?.addEventListener("abort", onAbort, { once: true });
      const undo = () => signal?.removeEventListener("abort", onAbort);
      promise.then(undo, undo);
      post({ asker });
      return promise;
    },
    observe(fact) {
      const numbered = ["on_seen", "agent_up", "take_up"].includes(fact.kind)
        ? { ...fact, operation: newOperation() }
        : fact;
      post({ event: numbered as EventBody });
    },
    shutdown: shutdown.signal,
    closed: closed.promise,
    startedAt,
    uptimeMs: () => clock.monotonicMs() - startedMs,
  };
}

function randomOperation(): string {
  return [...crypto.getRandomValues(new Uint8Array(8))]
    .map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
