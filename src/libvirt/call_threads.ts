/**
 * The main side of the call threads: hands out calls, gives each its own answer, and never blocks.
 *
 *   - One call at a time per thread. Nearly all take a millisecond, and a thread takes 60 to start, so two that
 *     meet share one; a further thread starts, up to MAX_THREADS, when a call has waited a while, and
 *     the surplus ends after a while without work.
 *   - Each call has a deadline. Past it the caller gets `hypervisor_stuck`, and the thread is left to
 *     the call it is stuck in: nothing can end a blocked C call. It does not count any more, so the
 *     next caller gets a fresh thread; when the call does return, the thread is used again. Too many
 *     stuck threads, and new calls are refused at once.
 *   - What a call returns after its caller has gone goes to `abandoned`, so that nothing leaks.
 */
import { RumError } from "../base/errors.ts";
import type { LibraryNames } from "../../ffi/library.ts";
import type { Failure, FromCallThread, ToCallThread } from "./messages.ts";
import type { OperationArgs, OperationName, OperationResult } from "./operations/table.ts";
import { startThread } from "./start_thread.ts";

const MAX_THREADS = 4;
const MAX_STUCK = 8;
const ANOTHER_STARTS_AFTER_MS = 250;
const SURPLUS_ENDS_AFTER_MS = 10_000;

export interface CallOptions<N extends OperationName> {
  readonly deadlineMs: number;
  /** For the sentence when it does not come back: `start machine "dev"`. */
  readonly doing: string;
  readonly signal?: AbortSignal;
  /** Gets a result that nobody waits for any more. */
  readonly abandoned?: (result: OperationResult<N>) => void;
  /** Told once no thread is inside the call any more, however late. */
  readonly returned?: () => void;
}

/** Thrown with the thread's own words; `describe_failure.ts` makes a RumError of it. */
export class CallFailed extends Error {
  override readonly name = "CallFailed";
  constructor(readonly failure: Failure) {
    super("text" in failure ? failure.text : "message" in failure ? failure.message : failure.kind);
  }
}

interface Pending {
  readonly id: number;
  readonly operation: OperationName;
  readonly args: unknown;
  /** Absent once the caller has gone. */
  settle?: { resolve(result: unknown): void; reject(error: unknown): void };
  readonly abandoned?: (result: never) => void;
  readonly returned?: () => void;
}

interface Thread {
  readonly worker: Worker;
  current?: Pending;
  stuck: boolean;
}

export class CallThreads {
  readonly #threads = new Set<Thread>();
  readonly #queue: Pending[] = [];
  readonly #libraries: LibraryNames;
  #nextId = 1;
  #anotherTimer?: ReturnType<typeof setTimeout>;
  #surplusTimer?: ReturnType<typeof setTimeout>;
  #closed = false;

  constructor(libraries: LibraryNames) {
    this.#libraries = libraries;
  }

  call<N extends OperationName>(
    operation: N,
    args: OperationArgs<N>,
    options: CallOptions<N>,
  ): Promise<OperationResult<N>> {
    const { signal, deadlineMs, doing } = options;
    const refusal = this.#refusal(doing, signal);
    if (refusal !== undefined) {
      options.returned?.();
      return Promise.reject(refusal.reason);
    }
    return new Promise((resolve, reject) => {
      const pending: Pending = {
        id: this.#nextId++,
        operation,
        args,
        abandoned: options.abandoned as Pending["abandoned"],
        returned: options.returned,
      };
      const finish = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        pending.settle = undefined;
      };
      const leave = (reason: unknown) => {
        finish();
        const queued = this.#queue.indexOf(pending);
        if (queued >= 0) {
          this.#queue.splice(queued, 1);
          pending.returned?.();
        }
        reject(reason);
      };
      const onAbort = () => leave(signal!.reason);
      const timer = setTimeout(() => {
        const thread = [...this.#threads].find((t) => t.current === pending);
        if (thread !== undefined) thread.stuck = true;
        leave(stuck(doing, deadlineMs, thread === undefined ? "no thread was free; all" : "it"));
        this.#pump();
      }, deadlineMs);
      signal?.addEventListener("abort", onAbort, { once: true });
      pending.settle = {
        resolve: (result) => {
          finish();
          resolve(result as OperationResult<N>);
        },
        reject: (error) => {
          finish();
          reject(error);
        },
      };
      this.#queue.push(pending);
      this.#pump();
    });
  }

  /** Ends every thread. One that is stuck in a call is left to the end of the process. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#anotherTimer);
    clearTimeout(this.#surplusTimer);
    for (const pending of this.#queue.splice(0)) {
      pending.settle?.reject(new RumError("cancelled", "The connection to libvirt was closed"));
    }
    for (const thread of this.#threads) {
      thread.current?.settle?.reject(
        new RumError("cancelled", "The connection to libvirt was closed"),
      );
      thread.worker.terminate();
    }
    this.#threads.clear();
  }

  #refusal(doing: string, signal: AbortSignal | undefined): { reason: unknown } | undefined {
    if (this.#closed) {
      return { reason: new RumError("cancelled", `Cannot ${doing}: the connection is closed`) };
    }
    if (signal?.aborted) return { reason: signal.reason };
    if (this.#stuckCount() < MAX_STUCK) return undefined;
    return { reason: stuck(doing, 0, "all threads are") };
  }

  #pump(): void {
    while (this.#queue.length > 0) {
      const thread = this.#freeThread() ?? this.#firstThread();
      if (thread === undefined) return this.#startAnotherLater();
      this.#give(thread);
    }
  }

  #give(thread: Thread): void {
    const pending = this.#queue.shift()!;
    thread.current = pending;
    const { id, operation, args } = pending;
    send(thread.worker, { kind: "call", id, operation, args });
  }

  #freeThread(): Thread | undefined {
    for (const thread of this.#threads) if (thread.current === undefined) return thread;
    return undefined;
  }

  /** Unless one is at work that will come back. */
  #firstThread(): Thread | undefined {
    return this.#threads.size === this.#stuckCount() ? this.#start() : undefined;
  }

  #startAnotherLater(): void {
    if (this.#threads.size - this.#stuckCount() >= MAX_THREADS) return;
    this.#anotherTimer ??= setTimeout(() => {
      this.#anotherTimer = undefined;
      // What waits now may have come just before; a thread too many ends again.
      if (this.#queue.length > 0) this.#give(this.#start());
      this.#pump();
    }, ANOTHER_STARTS_AFTER_MS);
  }

  #start(): Thread {
    const worker = startThread("call");
    const thread: Thread = { worker, stuck: false };
    this.#threads.add(thread);
    worker.addEventListener(
      "message",
      ({ data }: MessageEvent<FromCallThread>) => this.#answered(thread, data),
    );
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.#died(thread, event.message);
    });
    send(worker, { kind: "serve_calls", libraries: this.#libraries });
    return thread;
  }

  #answered(thread: Thread, answer: FromCallThread): void {
    const pending = thread.current;
    thread.current = undefined;
    thread.stuck = false;
    if (pending === undefined || pending.id !== answer.id) return;
    pending.returned?.();
    if (pending.settle === undefined) {
      if (answer.kind === "done") pending.abandoned?.(answer.result as never);
    } else if (answer.kind === "done") pending.settle.resolve(answer.result);
    else pending.settle.reject(new CallFailed(answer.failure));
    this.#pump();
    this.#endSurplusLater();
  }

  #died(thread: Thread, text: string): void {
    this.#threads.delete(thread);
    thread.worker.terminate();
    thread.current?.returned?.();
    thread.current?.settle?.reject(new CallFailed({ kind: "defect", text }));
    this.#pump();
  }

  #endSurplusLater(): void {
    if (this.#threads.size <= 1 || this.#surplusTimer !== undefined) return;
    this.#surplusTimer = setTimeout(() => {
      this.#surplusTimer = undefined;
      for (const thread of [...this.#threads].toReversed()) {
        if (this.#threads.size <= 1) break;
        if (thread.current !== undefined) continue;
        this.#threads.delete(thread);
        thread.worker.terminate();
      }
      this.#endSurplusLater();
    }, SURPLUS_ENDS_AFTER_MS);
  }

  #stuckCount(): number {
    let count = 0;
    for (const thread of this.#threads) if (thread.stuck) count++;
    return count;
  }
}

function send(worker: Worker, message: ToCallThread): void {
  worker.postMessage(message);
}

function stuck(doing: string, deadlineMs: number, what: string): RumError {
  const time = deadlineMs === 0 ? "" : ` for ${deadlineMs / 1000} s`;
  return new RumError(
    "hypervisor_stuck",
    `Cannot ${doing}: libvirt gave no answer${time} (${what} still inside libvirt)`,
    { hint: "rum doctor" },
  );
}
