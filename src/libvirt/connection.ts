/**
 * One connection to libvirt that mends itself: every call goes through here with a deadline, its
 * own error and a sentence; a connection that closed is opened again (0.2 → 5 s between tries) and
 * whoever registered something is told to do it again.
 *
 *   open ──(a call fails because the other end is gone, or the poll finds it dead)──▶ lost
 *   lost ──(opened again)──▶ open        lost ──(close)──▶ closed        open ──(close)──▶ closed
 *
 * A call made while lost waits for the connection, within its own deadline. A connection is given
 * back only when no call is inside it any more; one that has a stuck call is never given back, as
 * libvirt would free it under that call.
 */
import { CallFailed } from "./call_threads.ts";
import { describeFailure, isConnectionLoss } from "./describe_failure.ts";
import { RumError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";
import { withDeadline } from "../base/deadline.ts";
import { backOffMs } from "../base/schedule.ts";
import { systemClock } from "../base/clock.ts";
import type { Address } from "../../ffi/memory.ts";
import type { LibvirtRuntime } from "./runtime.ts";
import type { OperationArgs, OperationName, OperationResult } from "./operations/table.ts";

const OPEN_WITHIN_MS = 90_000;
const CLOSE_WITHIN_MS = 10_000;
const REOPEN = { kind: "exponential", firstMs: 200, maxMs: 5000 } as const;

export interface CallContext<R = unknown> {
  /** `start machine "dev"` */
  readonly doing: string;
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
  readonly otherwise?: ErrorCode;
  readonly abandoned?: (result: R) => void;
}

export interface ConnectionHooks {
  /** Before every opening; an embedded root is prepared here. */
  beforeOpen(): Promise<void>;
  /** After every opening, with the connection's address: register, settle. */
  afterOpen(call: DirectCall): Promise<void>;
  onLost(reason: string): void;
  onBack(): void;
}

/** A call on the connection that is being set up. */
export type DirectCall = <N extends OperationName>(
  operation: N,
  args: Omit<OperationArgs<N>, "connection">,
  context: CallContext<OperationResult<N>>,
) => Promise<OperationResult<N>>;

interface Open {
  readonly address: Address;
  /** Calls that a thread is in, waited for or not. */
  inside: number;
}

export class Connection {
  readonly uri: string;
  readonly #runtime: LibvirtRuntime;
  readonly #hooks: ConnectionHooks;
  readonly #closing = new AbortController();
  #open?: Open;
  #reopening?: Promise<void>;
  #lastReason = "";

  private constructor(uri: string, runtime: LibvirtRuntime, hooks: ConnectionHooks) {
    this.uri = uri;
    this.#runtime = runtime;
    this.#hooks = hooks;
  }

  static async open(
    uri: string,
    runtime: LibvirtRuntime,
    hooks: ConnectionHooks,
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<Connection> {
    const connection = new Connection(uri, runtime, hooks);
    await connection.#openOnce(signal);
    return connection;
  }

  /** Runs one operation on the connection, waiting for it to come back first where it is lost. */
  async call<N extends OperationName>(
    operation: N,
    args: Omit<OperationArgs<N>, "connection">,
    context: CallContext<OperationResult<N>>,
  ): Promise<OperationResult<N>> {
    const started = systemClock.monotonicMs();
    const open = this.#open ?? await this.#whenBack(context);
    const deadlineMs = Math.max(1, context.deadlineMs - (systemClock.monotonicMs() - started));
    try {
      return await this.#callOn(open, operation, args, { ...context, deadlineMs });
    } catch (error) {
      if (this.#open === open && isLoss(error)) this.#lose(open, String(error.failure.text));
      throw describeFailure(error, { ...context, uri: this.uri });
    }
  }

  /** Asks whether the other end is still there; a dead one starts the mending. */
  async checkAlive(): Promise<void> {
    const open = this.#open;
    if (open === undefined) return;
    const alive = await this.#callOn(open, "isAlive", {}, {
      doing: "ask whether libvirt is there",
      deadlineMs: 5000,
    });
    if (!alive && this.#open === open) this.#lose(open, "the connection is closed");
  }

  /** Idempotent, never throws. */
  async close(before: (call: DirectCall) => Promise<void>): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(new RumError("cancelled", "The connection to libvirt was closed"));
    await this.#reopening?.catch(() => {});
    const open = this.#open;
    this.#open = undefined;
    if (open === undefined) return;
    try {
      await before((operation, args, context) => this.#callOn(open, operation, args, context));
    } catch {
      // What cannot be deregistered dies with the connection.
    }
    await this.#giveBack(open);
  }

  async #openOnce(signal?: AbortSignal): Promise<void> {
    await this.#hooks.beforeOpen();
    const doing = `open ${this.uri}`;
    try {
      const address = await this.#runtime.call("open", { uri: this.uri }, {
        deadlineMs: OPEN_WITHIN_MS,
        doing,
        signal,
        abandoned: (late) => void this.#giveBack({ address: late, inside: 0 }),
      });
      const open: Open = { address, inside: 0 };
      try {
        await this.#hooks.afterOpen((operation, args, context) =>
          this.#callOn(open, operation, args, context)
        );
      } catch (error) {
        await this.#giveBack(open);
        throw error;
      }
      this.#open = open;
    } catch (error) {
      throw describeFailure(error, { doing, uri: this.uri, otherwise: "hypervisor_unreachable" });
    }
  }

  async #callOn<N extends OperationName>(
    open: Open,
    operation: N,
    args: Omit<OperationArgs<N>, "connection">,
    context: CallContext<OperationResult<N>>,
  ): Promise<OperationResult<N>> {
    open.inside++;
    const whole = { ...args, connection: open.address } as OperationArgs<N>;
    return await this.#runtime.call(operation, whole, {
      deadlineMs: context.deadlineMs,
      doing: context.doing,
      signal: context.signal,
      abandoned: context.abandoned,
      returned: () => void open.inside--,
    });
  }

  #lose(open: Open, reason: string): void {
    this.#open = undefined;
    this.#lastReason = reason;
    this.#hooks.onLost(reason);
    void this.#giveBack(open);
    this.#reopening = this.#reopen().finally(() => this.#reopening = undefined);
    this.#reopening.catch(() => {});
  }

  async #reopen(): Promise<void> {
    const { signal } = this.#closing;
    for (let attempt = 1; !signal.aborted; attempt++) {
      await systemClock.sleep(backOffMs(REOPEN, attempt), { signal });
      try {
        await this.#openOnce(signal);
        this.#hooks.onBack();
        return;
      } catch (error) {
        this.#lastReason = error instanceof Error ? error.message : String(error);
      }
    }
  }

  #whenBack(
    context: Pick<CallContext, "doing" | "deadlineMs" | "signal">,
  ): Promise<Open> {
    return withDeadline(
      {
        waitingFor: `Waiting for libvirt at ${this.uri} to ${context.doing}`,
        timeoutMs: context.deadlineMs,
        signal: context.signal,
        lastSeen: () => this.#lastReason,
      },
      async () => {
        await this.#reopening;
        if (this.#open !== undefined) return this.#open;
        throw new RumError(
          "hypervisor_unreachable",
          `Cannot ${context.doing}: the connection to ${this.uri} is closed`,
        );
      },
    ).catch((error) => {
      if (!(error instanceof RumError) || error.code !== "timeout") throw error;
      throw new RumError("hypervisor_unreachable", error.message, { hint: "rum doctor" });
    });
  }

  async #giveBack(open: Open): Promise<void> {
    const until = systemClock.monotonicMs() + CLOSE_WITHIN_MS;
    while (open.inside > 0 && systemClock.monotonicMs() < until) await systemClock.sleep(10);
    if (open.inside > 0) return;
    try {
      await this.#runtime.call("close", { connection: open.address }, {
        deadlineMs: CLOSE_WITHIN_MS,
        doing: `close ${this.uri}`,
      });
    } catch {
      // A connection that cannot be closed is closed already.
    }
  }
}

function isLoss(
  error: unknown,
): error is CallFailed & { failure: { kind: "libvirt"; text: string } } {
  return error instanceof CallFailed && error.failure.kind === "libvirt" &&
    isConnectionLoss(error.failure);
}
