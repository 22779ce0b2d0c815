/**
 * libvirt inside this process: the event thread and the call threads, shared by all connections,
 * alive as long as there is one. libvirt's event loop is one per process and must be registered
 * before the first connection is opened; hence this one shared owner.
 */
import { RumError } from "../base/errors.ts";
import { LIBRARY_NAMES, type LibraryNames } from "../../ffi/library.ts";
import { CallFailed, type CallOptions, CallThreads } from "./call_threads.ts";
import type { FromEventThread, RawEvent, ToEventThread } from "./messages.ts";
import type { CallbackAddresses } from "./operations/events.ts";
import type { OperationArgs, OperationName, OperationResult } from "./operations/table.ts";
import { startThread } from "./start_thread.ts";

const EVENT_THREAD_STARTS_WITHIN_MS = 30_000;
const EVENT_THREAD_ENDS_WITHIN_MS = 5_000;

interface EventThread {
  readonly worker: Worker;
  readonly stop: SharedArrayBuffer;
  readonly wakeTimer: number;
  readonly callbacks: CallbackAddresses;
  readonly ended: Promise<void>;
}

export class LibvirtRuntime {
  readonly #calls: CallThreads;
  readonly #events: EventThread;
  readonly #listeners: Map<number, (event: RawEvent) => void>;

  private constructor(
    calls: CallThreads,
    events: EventThread,
    listeners: Map<number, (event: RawEvent) => void>,
  ) {
    this.#calls = calls;
    this.#events = events;
    this.#listeners = listeners;
  }

  static async start(libraries: LibraryNames = LIBRARY_NAMES): Promise<LibvirtRuntime> {
    quietLog();
    const listeners = new Map<number, (event: RawEvent) => void>();
    const events = await startEventThread(
      libraries,
      (event) => listeners.get(event.key)?.(event),
    );
    return new LibvirtRuntime(new CallThreads(libraries), events, listeners);
  }

  get callbacks(): CallbackAddresses {
    return this.#events.callbacks;
  }

  call<N extends OperationName>(
    operation: N,
    args: OperationArgs<N>,
    options: CallOptions<N>,
  ): Promise<OperationResult<N>> {
    return this.#calls.call(operation, args, options);
  }

  /** A number under which events come back to `listener`; given up by disposing. */
  listen(listener: (event: RawEvent) => void): Disposable & { readonly key: number } {
    const key = nextKey++;
    this.#listeners.set(key, listener);
    return { key, [Symbol.dispose]: () => void this.#listeners.delete(key) };
  }

  /** Call only after every connection is closed. Never throws. */
  async close(): Promise<void> {
    Atomics.store(new Int32Array(this.#events.stop), 0, 1);
    try {
      await this.#calls.call("wakeEventLoop", { timer: this.#events.wakeTimer }, {
        deadlineMs: EVENT_THREAD_ENDS_WITHIN_MS,
        doing: "end libvirt's event loop",
      });
      await within(EVENT_THREAD_ENDS_WITHIN_MS, this.#events.ended);
    } catch {
      // A loop that does not end is left to the end of the process; there is no one to tell.
    }
    this.#events.worker.terminate();
    this.#calls.close();
  }
}

/** Never used again, so that an event of a closed stream cannot reach a new one. */
let nextKey = 1;

let shared: { runtime: Promise<LibvirtRuntime>; users: number } | undefined;
let ending: Promise<void> = Promise.resolve();

/** The process's runtime, started by the first user. */
export async function acquireRuntime(): Promise<LibvirtRuntime> {
  shared ??= { runtime: ending.then(() => LibvirtRuntime.start()), users: 0 };
  const mine = shared;
  mine.users++;
  try {
    return await mine.runtime;
  } catch (error) {
    if (shared === mine) shared = undefined;
    throw error;
  }
}

/** Ended by the last user. */
export async function releaseRuntime(): Promise<void> {
  if (shared === undefined || --shared.users > 0) return;
  const { runtime } = shared;
  shared = undefined;
  ending = runtime.then((r) => r.close());
  await ending;
}

/**
 * libvirt reads this when it initialises. Its warnings (a banner, "tainted" at each start) would
 * come out on our stderr; errors still do. Whoever set it wants something else.
 */
function quietLog(): void {
  if (Deno.env.get("LIBVIRT_DEBUG") === undefined) Deno.env.set("LIBVIRT_DEBUG", "error");
}

async function startEventThread(
  libraries: LibraryNames,
  onEvent: (event: RawEvent) => void,
): Promise<EventThread> {
  const worker = startThread("event");
  const stop = new SharedArrayBuffer(4);
  const ready = Promise.withResolvers<Extract<FromEventThread, { kind: "ready" }>>();
  const ended = Promise.withResolvers<void>();
  worker.addEventListener("message", ({ data }: MessageEvent<FromEventThread>) => {
    switch (data.kind) {
      case "ready":
        return ready.resolve(data);
      case "failed":
        ready.reject(new CallFailed(data.failure));
        return ended.resolve();
      case "ended":
        return ended.resolve();
      default:
        return onEvent(data);
    }
  });
  worker.addEventListener("error", (event) => {
    event.preventDefault();
    ready.reject(new CallFailed({ kind: "defect", text: event.message }));
    ended.resolve();
  });
  const start: ToEventThread = { kind: "run_event_loop", libraries, stop };
  worker.postMessage(start);
  try {
    const { callbacks, wakeTimer } = await within(EVENT_THREAD_STARTS_WITHIN_MS, ready.promise);
    return { worker, stop, wakeTimer, callbacks, ended: ended.promise };
  } catch (error) {
    worker.terminate();
    throw error;
  }
}

async function within<T>(timeoutMs: number, promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new RumError("hypervisor_stuck", "libvirt's event loop gave no answer")),
    timeoutMs,
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
