/**
 * The figures of docs/decisions/mux.md and bootcmd-agent.md, on a real guest:
 *
 *   deno run -A tests/support/mux_measure.ts [rounds]
 *
 * One boot; every figure is taken `rounds` times (3 unless told) and printed with its median.
 */
import { virtioLink } from "../../src/guest/link_virtio.ts";
import type { Mux } from "../../src/wire/mux_types.ts";
import { testImageFile } from "./machine.ts";
import type { GuestFacts, GuestOrder } from "./mux_guest.ts";
import { type BareMachine, bootBareMachine } from "./bare_machine.ts";

const BULK = 64 * 1024 * 1024;

async function measure(image: string, rounds: number): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "rum-mux-" });
  try {
    await using machine = await bootBareMachine(image, folder);
    const link = virtioLink(machine.socketPath);
    const mux = await link.next({ signal: AbortSignal.timeout(600_000) });
    const first = performance.now() - machine.startedAt;
    const facts = await ask<GuestFacts>(mux, { op: "facts" });
    report("QEMU start → session, ms", [first]);
    report("kernel start → program's first line, ms", [facts.upAtStartMs]);
    await booted(machine);
    report("QEMU start → cloud-init finished, ms", [performance.now() - machine.startedAt]);
    const all: Record<string, number[]> = {};
    const add = (name: string, value: number) => (all[name] ??= []).push(value);
    for (let i = 0; i < rounds; i++) {
      add("round trip (ping), ms", await roundTrip(mux));
      await bulk(mux, machine, "guest → host", () => download(mux), add);
      await bulk(mux, machine, "host → guest", () => upload(mux), add);
    }
    const before = await ask<GuestFacts>(mux, { op: "facts" });
    await new Promise((done) => setTimeout(done, 10_000));
    const after = await ask<GuestFacts>(mux, { op: "facts" });
    add("idle: guest CPU, ms in 10 s", after.cpuMs - before.cpuMs);
    add("resident, MiB", after.rssBytes / 2 ** 20);
    const vsock = await ask<{ count: number; seconds: number; tripMs: number }>(mux, {
      ...{ op: "vsock", bytes: BULK },
    });
    add("vsock loopback in the guest, MB/s", vsock.count / 1e6 / vsock.seconds);
    add("vsock loopback in the guest, round trip, ms", vsock.tripMs);
    for (const [name, values] of Object.entries(all)) report(name, values);
    link.close();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function bulk(
  mux: Mux,
  machine: BareMachine,
  name: string,
  move: () => Promise<void>,
  add: (name: string, value: number) => void,
): Promise<void> {
  const guest = (await ask<GuestFacts>(mux, { op: "facts" })).cpuMs;
  const host = cpuMs(Deno.pid);
  const qemu = cpuMs(machine.qemuPid);
  const started = performance.now();
  await move();
  const seconds = (performance.now() - started) / 1000;
  const per100 = 100e6 / BULK / 1000;
  add(`${name}, MB/s`, BULK / 1e6 / seconds);
  const guestAfter = (await ask<GuestFacts>(mux, { op: "facts" })).cpuMs;
  add(`${name}: guest program CPU, s per 100 MB`, (guestAfter - guest) * per100);
  add(`${name}: host program CPU, s per 100 MB`, (cpuMs(Deno.pid) - host) * per100);
  add(`${name}: QEMU CPU, s per 100 MB`, (cpuMs(machine.qemuPid) - qemu) * per100);
}

async function download(mux: Mux): Promise<void> {
  const stream = await mux.open(order({ op: "source", bytes: BULK }));
  let count = 0;
  for await (const chunk of stream.readable) count += chunk.length;
  if (count !== BULK) throw new Error(`Received ${count} bytes, wanted ${BULK}`);
}

async function upload(mux: Mux): Promise<void> {
  const stream = await mux.open(order({ op: "sink" }));
  const writer = stream.writable.getWriter();
  const chunk = new Uint8Array(64 * 1024).fill(7);
  for (let sent = 0; sent < BULK; sent += chunk.length) await writer.write(chunk);
  await writer.close();
  const { count } = JSON.parse(await new Response(stream.readable as BodyInit).text());
  if (count !== BULK) throw new Error(`The guest got ${count} bytes, wanted ${BULK}`);
}

async function roundTrip(mux: Mux): Promise<number> {
  const trips: number[] = [];
  for (let i = 0; i < 200; i++) trips.push(await mux.ping());
  return median(trips);
}

export async function ask<T>(mux: Mux, what: GuestOrder): Promise<T> {
  const stream = await mux.open(order(what));
  return JSON.parse(await new Response(stream.readable as BodyInit).text());
}

export function order(what: GuestOrder): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(what));
}

async function booted(machine: BareMachine): Promise<void> {
  const until = performance.now() + 600_000;
  while (!/Cloud-init .* finished/.test(await machine.console())) {
    if (performance.now() > until) throw new Error("cloud-init did not finish in 600 s");
    await new Promise((done) => setTimeout(done, 100));
  }
}

function cpuMs(pid: number): number {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1].split(" ");
  return (Number(stat[11]) + Number(stat[12])) * 10;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

function report(name: string, values: readonly number[]): void {
  const all = values.map((value) => value.toPrecision(3)).join(" ");
  console.log(`${name}: ${median(values).toPrecision(3)}   (${all})`);
}

if (import.meta.main) {
  await measure(await testImageFile(), Number(Deno.args[0] ?? "3"));
}
