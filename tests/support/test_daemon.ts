/**
 * A daemon with everything around the machine's logic real, and a logic that does what tests ask:
 *
 *   deno run -A test_daemon.ts DATA_FOLDER ID [start-delay-ms]
 *
 * Methods: echo (params back), ticks (events), flood (emits without end), spill (offers without
 * end), cat (input back as events), sleep, change (a mutation), outlive (survives its client).
 */
import { RumError } from "../../src/base/errors.ts";
import { machinePaths, rumPaths } from "../../src/plan/paths.ts";
import { anything, integer, object, optional } from "../../src/protocol/shape.ts";
import { type Composition, type DaemonHost, serve } from "../../src/daemon/serve.ts";
import { type CallIo, method, type MethodTable } from "../../src/wire/rpc_types.ts";

export function testPaths(data: string, id: string) {
  return machinePaths(rumPaths({ uid: Deno.uid() ?? 0, home: data, xdgDataHome: data }), id);
}

export function testMethods(marker?: string): MethodTable {
  return {
    echo: method({ params: anything(), kind: "read", handle: (_, params) => params }),
    status: method({ params: object({}), kind: "read", handle: () => ({ phase: "running" }) }),
    ticks: method({
      params: object({ count: integer(0, 100_000) }),
      kind: "stream",
      async handle(_, { count }, io) {
        for (let n = 1; n <= count; n++) await io.emit({ n });
        return { count };
      },
    }),
    flood: method({
      params: object({ bytes: integer(1, 64 * 1024) }),
      kind: "stream",
      async handle(_, { bytes }, io) {
        const data = "x".repeat(bytes);
        for (;;) await io.emit({ data });
      },
    }),
    spill: method({
      params: object({ count: integer(1), bytes: integer(0) }),
      kind: "stream",
      handle(_, { count, bytes }, io) {
        const data = "x".repeat(bytes);
        for (let n = 1; n <= count; n++) io.offer({ n, data });
        return { count };
      },
    }),
    cat: method({
      params: object({}),
      kind: "stream",
      async handle(_, _params, io) {
        let bytes = 0;
        for await (const chunk of io.input) {
          bytes += chunk.length;
          await io.emit({ data: chunk.toBase64() });
        }
        return { bytes };
      },
    }),
    sleep: method({
      params: object({ ms: integer(0) }),
      kind: "stream",
      handle: (_, { ms }, io) => sleep(ms, io),
    }),
    change: method({
      params: object({ ms: optional(integer(0)) }),
      kind: "mutation",
      handle: (_, { ms }, io) => sleep(ms ?? 0, io),
    }),
    outlive: method({
      params: object({ ms: integer(0) }),
      kind: "mutation",
      survivesDisconnect: true,
      async handle(_, { ms }, io) {
        await sleep(ms, io);
        if (marker !== undefined) await Deno.writeTextFile(marker, "done");
        return { done: true };
      },
    }),
  };
}

function sleep(ms: number, io: CallIo): Promise<{ slept: number }> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve({ slept: ms }), ms);
    io.signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(io.signal.reason);
    }, { once: true });
  });
}

/** Bytes that are this process's alone; pages of code come and go with what runs. */
function ownMemory(): number {
  const status = Deno.readTextFileSync("/proc/self/status");
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)![1]) * 1024;
}

export function testComposition(host: DaemonHost): Composition {
  const over = Promise.withResolvers<void>();
  return {
    methods: testMethods(`${host.paths.folder}/marker`),
    lines: {
      status: () => ({
        phase: "running",
        pid: Deno.pid,
        started_at: host.startedAt,
        uptime_ms: host.uptimeMs(),
        memory: ownMemory(),
      }),
      shutdown() {
        over.resolve();
        return Promise.resolve({ phase: "stopped" });
      },
      destroy: () =>
        Promise.reject(new RumError("not_supported", "This\nmachine cannot be destroyed")),
    },
    ended: over.promise,
    release: () => Promise.resolve(),
  };
}

/** Removes the folder in the middle of the daemon's moving in: its socket is there, its record is not. */
async function removedOnceListening({ folder, socket }: DaemonHost["paths"]): Promise<void> {
  while (!await Deno.lstat(socket).then(() => true, () => false)) {
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  Deno.removeSync(folder, { recursive: true });
  await new Promise((resolve) => setTimeout(resolve, 100));
}

/** The same with the file that the daemon is at gone first, the rest of the folder some time later. */
async function removedBitByBit({ folder, daemonJson }: DaemonHost["paths"]): Promise<void> {
  // What stands in its place keeps it from being written, as surely as its going would.
  Deno.mkdirSync(daemonJson);
  await new Promise((resolve) => setTimeout(resolve, 300));
  Deno.removeSync(folder, { recursive: true });
}

if (import.meta.main) {
  const [data, id, delay] = Deno.args;
  Deno.exit(
    await serve({
      id,
      paths: testPaths(data, id),
      env: Deno.env.toObject(),
      selfCheckMs: Number(Deno.env.get("TEST_SELF_CHECK_MS") ?? 5000),
      async compose(host) {
        if (delay !== undefined) await new Promise((go) => setTimeout(go, Number(delay)));
        if (Deno.env.get("TEST_COMPOSE_FAILS") !== undefined) {
          throw new RumError("hypervisor_unreachable", "libvirt does not answer", {
            hint: "rum doctor",
          });
        }
        const composition = testComposition(host);
        const last = Deno.env.get("TEST_LAST_WORK");
        if (last === undefined || await Deno.stat(last).then(() => true, () => false)) {
          return composition;
        }
        // As a destroy that was cut short and is taken up again, in the first daemon only.
        await Deno.writeTextFile(last, "done");
        return Deno.env.get("TEST_LAST_WORK_IS_LONG") === undefined
          ? { ...composition, ended: removedOnceListening(host.paths) }
          : { ...composition, leaving: () => true, ended: removedBitByBit(host.paths) };
      },
    }),
  );
}
