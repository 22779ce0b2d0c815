/**
 * The guest's end of the real-port tests, instead of the agent: serves the links and does on each
 * stream what its header says. Bundled and carried by the test's seed, run by bootcmd.
 */
import { serveLinks } from "../../agent/link.ts";
import { connCarrier } from "../../src/wire/mux_conn.ts";
import { createMux } from "../../src/wire/mux.ts";
import type { Duplex } from "../../src/wire/duplex.ts";
import type { Mux } from "../../src/wire/mux_types.ts";

export type GuestOrder =
  | { readonly op: "echo" | "sink" | "stall" | "facts" | "die" }
  | { readonly op: "source"; readonly bytes: number }
  | { readonly op: "vsock"; readonly bytes: number };

export interface GuestFacts {
  readonly pid: number;
  /** Since the kernel's start, when this program started. */
  readonly upAtStartMs: number;
  readonly cpuMs: number;
  readonly rssBytes: number;
}

const UP_AT_START = uptimeMs();
const VSOCK_TEST_PORT = 4242;

async function main(): Promise<void> {
  const [link] = Deno.args;
  const signal = new AbortController().signal;
  await serveLinks({ link, signal, log: console.error, serve: (mux) => void serve(mux) });
}

export async function serve(mux: Mux): Promise<void> {
  for await (const { header, stream } of mux.incoming) {
    const order: GuestOrder = JSON.parse(new TextDecoder().decode(header));
    obey(order, stream).catch((error) => stream.abort(error));
  }
}

async function obey(order: GuestOrder, stream: Duplex): Promise<void> {
  switch (order.op) {
    case "echo":
      return await stream.readable.pipeTo(stream.writable);
    case "sink": {
      let count = 0;
      for await (const chunk of stream.readable) count += chunk.length;
      return await answer(stream, { count });
    }
    case "source": {
      const writer = stream.writable.getWriter();
      const chunk = new Uint8Array(64 * 1024).map((_, i) => i * 7);
      for (let left = order.bytes; left > 0; left -= chunk.length) {
        await writer.write(chunk.subarray(0, Math.min(left, chunk.length)));
      }
      return await writer.close();
    }
    case "stall":
      return;
    case "facts":
      return await answer(stream, facts());
    case "vsock":
      return await answer(stream, await overLoopback(order.bytes));
    case "die":
      Deno.kill(Deno.pid, "SIGKILL");
  }
}

async function answer(stream: Duplex, value: unknown): Promise<void> {
  const writer = stream.writable.getWriter();
  await writer.write(new TextEncoder().encode(JSON.stringify(value)));
  await writer.close();
}

function facts(): GuestFacts {
  const stat = Deno.readTextFileSync("/proc/self/stat").split(") ")[1].split(" ");
  return {
    pid: Deno.pid,
    upAtStartMs: UP_AT_START,
    cpuMs: (Number(stat[11]) + Number(stat[12])) * 10,
    rssBytes: Number(stat[21]) * 4096,
  };
}

function uptimeMs(): number {
  return Number(Deno.readTextFileSync("/proc/uptime").split(" ")[0]) * 1000;
}

/** The same mux over this machine's vsock loopback: throughput, round trip, and who is let in. */
async function overLoopback(bytes: number): Promise<Record<string, unknown>> {
  const stop = new AbortController();
  const refused: string[] = [];
  const listen = (link: string, acceptCid: number | undefined) =>
    serveLinks({
      link,
      acceptCid,
      signal: stop.signal,
      log: (line) => refused.push(line),
      serve: (mux) => void serve(mux),
    });
  const served = [listen(`vsock:${VSOCK_TEST_PORT}`, 1), listen("vsock:4243", undefined)];
  const connect = async (port: number) =>
    createMux(connCarrier(await Deno.connect({ transport: "vsock", cid: 1, port })), {
      role: "host",
    });
  const mux = await connect(VSOCK_TEST_PORT);
  await mux.ping();
  const trips: number[] = [];
  for (let i = 0; i < 100; i++) trips.push(await mux.ping());
  const stream = await mux.open(new TextEncoder().encode(`{"op":"source","bytes":${bytes}}`));
  const started = performance.now();
  let count = 0;
  for await (const chunk of stream.readable) count += chunk.length;
  const seconds = (performance.now() - started) / 1000;
  // Not from CID 2: closed before a byte.
  const stranger = await connect(4243);
  const reason = await stranger.closed;
  stop.abort();
  mux.close();
  await Promise.all(served);
  return {
    count,
    seconds,
    tripMs: trips.sort((a, b) => a - b)[50],
    stranger: reason.message,
    refused,
  };
}

if (import.meta.main) await main();
