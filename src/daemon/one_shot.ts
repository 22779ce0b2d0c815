/**
 * The voice of a holder that is no daemon: `down` or `destroy` working without one. It listens at
 * the machine's socket like a daemon and answers `ping` and `status`, so that nobody takes the
 * machine for hung; everything else is `busy`, with what is being done and since when.
 */
import { VERSION } from "../base/version.ts";
import type { MachinePaths } from "../plan/paths.ts";
import { busyError, type LockHandle } from "../store/flock.ts";
import { buildName } from "./client.ts";
import { publishSocket } from "./publish.ts";
import { DaemonServer } from "./server.ts";

export interface OneShotOptions {
  readonly paths: MachinePaths;
  /** Held by this process. */
  readonly lock: LockHandle;
  status(): Readonly<Record<string, unknown>>;
}

/** Serves until disposed; disposing never throws. @throws {RumError} as `publishSocket` */
export async function serveOneShot(options: OneShotOptions): Promise<AsyncDisposable> {
  const { paths, lock } = options;
  const published = await publishSocket(paths);
  const started = performance.now();
  const busy = () => {
    throw busyError(lock.holder);
  };
  const server = new DaemonServer({
    info: {
      version: VERSION,
      build: buildName(),
      capabilities: [],
      configHash: () => undefined,
    },
    lines: {
      ping: () => ({
        version: VERSION,
        pid: Deno.pid,
        uptime_ms: Math.round(performance.now() - started),
      }),
      status: () => options.status(),
      release: busy,
      shutdown: () => Promise.resolve().then(busy),
      destroy: () => Promise.resolve().then(busy),
    },
    token: () => Promise.reject(busyError(lock.holder)),
    shuttingDown: new AbortController().signal,
    log: () => {},
  });
  server.listen(published.listener, published.boundPath);
  return {
    async [Symbol.asyncDispose]() {
      await server.stopAccepting();
      await server.drain(200);
      await published.remove();
    },
  };
}
