/**
 * One piece of work, carried out through the ports: its deadline, its cancellation, and the one event
 * that tells its end. A port that ignores its signal gets a grace, then it is given up and named;
 * whatever it says later is nobody's news any more.
 */
import { type Clock } from "../base/clock.ts";
import { RumError, toRumError } from "../base/errors.ts";
import { assertNever } from "../base/assert_never.ts";
import type { Ports, Work, WorkContext, WorkDeadlines } from "./effects.ts";
import type { WorkDone, WorkFailed, WorkKind } from "./events.ts";
import type { Cause } from "./state.ts";

export interface RunningWork {
  readonly work: Work;
  /** Calls it off; its end still comes. Idempotent. */
  cancel(why: string): void;
  /** Never rejects. */
  readonly ended: Promise<WorkDone | WorkFailed>;
}

export interface WorkOptions {
  readonly ports: Ports;
  readonly clock: Clock;
  readonly deadlines: WorkDeadlines;
  /** How long called-off work may take to clean up. */
  readonly graceMs: number;
}

/** Inside a shutdown: services get 10 s between TERM and KILL, and a little for the way. */
const SERVICES_STOP_MS = 15_000;

export function beginWork(work: Work, options: WorkOptions): RunningWork {
  const { clock, graceMs } = options;
  const controller = new AbortController();
  const over = new AbortController();
  const { promise: ended, resolve } = Promise.withResolvers<WorkDone | WorkFailed>();
  const end = (event: WorkDone | WorkFailed) => {
    over.abort();
    resolve(event);
  };
  const fail = (thrown: unknown) =>
    end({ kind: "failed", work: work.work, operation: work.operation, cause: causeOf(thrown) });

  const callOff = (reason: RumError) => {
    if (controller.signal.aborted) return;
    controller.abort(reason);
    after(graceMs, () =>
      fail(
        new RumError(
          reason.code,
          `${reason.message}; "${NAMES[work.work]}" did not end within ${
            graceMs / 1000
          } s after that`,
        ),
      ));
  };
  const after = (ms: number, what: () => void) =>
    void clock.sleep(ms, { signal: over.signal }).then(what, () => {});

  const deadlineMs = deadlineOf(work, options.deadlines);
  after(
    deadlineMs,
    () =>
      callOff(
        new RumError(
          "timeout",
          `Waiting for "${NAMES[work.work]}" took longer than ${deadlineMs / 1000} s`,
          { hint: "rum log" },
        ),
      ),
  );
  const context: WorkContext = { operation: work.operation, signal: controller.signal, deadlineMs };
  perform(work, context, options).then((result) => {
    // Each result belongs to its own kind; the pair is only made here.
    end({ kind: "done", work: work.work, operation: work.operation, result } as WorkDone);
  }, (thrown) => fail(controller.signal.aborted ? controller.signal.reason : thrown));
  return {
    work,
    ended,
    cancel: (why) => callOff(new RumError("interrupted", `Called off: ${why}`)),
  };
}

export function causeOf(thrown: unknown): Cause {
  const { code, message, hint, data } = toRumError(thrown);
  return {
    code,
    message,
    ...(hint === undefined ? {} : { hint }),
    ...(data === undefined ? {} : { data }),
  };
}

function deadlineOf(work: Work, deadlines: WorkDeadlines): number {
  switch (work.work) {
    case "shut_down":
      // It keeps its own time and answers `off: false`; this is the wall behind it.
      return work.timeoutMs + 10_000;
    case "back_off":
      return work.ms + 10_000;
    default:
      return deadlines[work.work];
  }
}

async function perform(work: Work, context: WorkContext, options: WorkOptions): Promise<unknown> {
  const { preparer, hypervisor, guest } = options.ports;
  switch (work.work) {
    case "gather":
      return await preparer.gather({ ...context, firstBoot: work.first_boot, reset: work.reset });
    case "publish":
      await preparer.publish({ ...context, firstBoot: work.first_boot, reset: work.reset });
      return {};
    case "back_off":
      await options.clock.sleep(work.ms, { signal: context.signal });
      return {};
    case "launch":
      return await hypervisor.launch(context);
    case "greet":
      return await guest.greet(context);
    case "provision":
      return await guest.provision({ ...context, scope: work.scope, boot: true });
    case "reprovision":
      return await guest.provision({ ...context, scope: work.scope, boot: false });
    case "await_ready":
      return await guest.awaitReady(context);
    case "apply":
      return await guest.applyChanges(context);
    case "restore":
      await guest.restore(context);
      return {};
    case "pause":
      await hypervisor.pause(context);
      return {};
    case "resume":
      await hypervisor.resume(context);
      return {};
    case "shut_down":
      return await shutDown(work.timeoutMs, context, options);
    case "force_off":
      await hypervisor.forceOff(context);
      return {};
    case "discard":
      await preparer.discard(context);
      return {};
    case "wipe":
      return await preparer.wipe(context);
    case "remove":
      await preparer.remove(context);
      return {};
    default:
      return assertNever(work, "work");
  }
}

/** Services first, then the power button, both inside one time-out. */
async function shutDown(
  timeoutMs: number,
  context: WorkContext,
  { ports, clock }: WorkOptions,
): Promise<{ off: boolean }> {
  const end = clock.monotonicMs() + timeoutMs;
  const servicesMs = Math.min(SERVICES_STOP_MS, timeoutMs / 2);
  await within(servicesMs, context, clock, (signal, deadlineMs) =>
    // An agent that does not answer must not keep the machine from going off.
    ports.guest.stopServices({ ...context, signal, deadlineMs }).catch(() => {}));
  context.signal.throwIfAborted();
  const leftMs = Math.max(0, end - clock.monotonicMs());
  const answer = await within(
    leftMs,
    context,
    clock,
    (signal, deadlineMs) => ports.hypervisor.shutDown({ ...context, signal, deadlineMs }),
  );
  context.signal.throwIfAborted();
  return answer ?? { off: false };
}

/** The value of `work`, or undefined when `ms` passed first; a cancel of the whole passes on. */
async function within<T>(
  ms: number,
  context: WorkContext,
  clock: Clock,
  work: (signal: AbortSignal, deadlineMs: number) => Promise<T>,
): Promise<T | undefined> {
  const inner = new AbortController();
  const done = new AbortController();
  const expired = new RumError("timeout", "The time for this part of the shutdown is over");
  const passOn = () => inner.abort(context.signal.reason);
  context.signal.addEventListener("abort", passOn, { once: true });
  if (context.signal.aborted) passOn();
  try {
    const bell = clock.sleep(ms, { signal: done.signal }).then(() => {
      inner.abort(expired);
      return undefined;
    }, () => undefined);
    return await Promise.race([work(inner.signal, ms), bell]);
  } catch (error) {
    if (inner.signal.aborted && !context.signal.aborted) return undefined;
    throw error;
  } finally {
    done.abort();
    context.signal.removeEventListener("abort", passOn);
  }
}

/** What each work is called in a sentence. */
const NAMES: Readonly<Record<WorkKind, string>> = {
  gather: "preparing the image and disks",
  publish: "putting the disks in place",
  back_off: "the pause before the restart",
  launch: "starting the machine",
  greet: "the guest agent",
  provision: "the provisioning scripts",
  await_ready: "what [ready] asks for",
  apply: "applying the changed plan",
  reprovision: "the provisioning scripts",
  restore: "restoring forwards and services",
  pause: "pausing the machine",
  resume: "resuming the machine",
  shut_down: "the orderly shutdown",
  force_off: "forcing the machine off",
  discard: "removing what was prepared",
  wipe: "removing the half-made machine",
  remove: "removing the machine",
};
