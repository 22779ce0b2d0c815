/**
 * One UDP port of the host that leads to a port of the guest. A flow is one sender (address and
 * port): it has a stream of its own to the guest, where it is one socket, so that answers find their
 * way back. A flow without a datagram either way for 60 s ends.
 *
 * Like the network itself this may drop: while the guest does not take a flow's datagrams, only so
 * many wait, and when there are too many flows the one that was silent longest goes.
 */
import type { Socket } from "node:dgram";
import { type Clock, systemClock } from "../base/clock.ts";
import { RumError } from "../base/errors.ts";
import { dialParams, empty } from "../protocol/agent.ts";
import { decodeDatagrams, encodeDatagram } from "../wire/datagrams.ts";
import type { Duplex } from "../wire/duplex.ts";
import type { Mux } from "../wire/mux_types.ts";
import { AgentCall } from "./agent_call.ts";
import { listenError } from "./forward_tcp.ts";

export interface UdpForwardOptions {
  readonly bind: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** A stream of datagrams to the guest's port. */
  readonly dial: (signal: AbortSignal) => Promise<Duplex>;
  readonly clock?: Clock;
  readonly idleMs?: number;
  readonly maxFlows?: number;
}

export interface UdpForward extends AsyncDisposable {
  readonly port: number;
  /** Flows now, and since the start. */
  readonly active: number;
  readonly total: number;
  /** Idempotent. */
  close(): Promise<void>;
}

const IDLE_MS = 60_000;
const MAX_FLOWS = 256;
/** Datagrams of one flow that wait for the guest. */
const MAX_WAITING = 64;

/** A stream of datagrams to a UDP port inside the guest. */
export async function dialUdpInGuest(
  mux: Mux,
  port: number,
  options: { readonly signal?: AbortSignal } = {},
): Promise<Duplex> {
  const params = { port };
  dialParams(params, "");
  await using call = await AgentCall.open(mux, "dial_udp", params, options);
  await call.result(empty);
  return call.raw();
}

/** @throws {RumError} `port_in_use`, `permission_denied` or `invalid_params` */
export async function openUdpForward(options: UdpForwardOptions): Promise<UdpForward> {
  const { clock = systemClock, idleMs = IDLE_MS, maxFlows = MAX_FLOWS } = options;
  const flows = new Map<string, Flow>();
  const stop = new AbortController();
  let total = 0;
  const v6 = options.bind.includes(":");
  // Here, as few machines ever need it.
  const { createSocket } = await import("node:dgram");
  const socket = createSocket({ type: v6 ? "udp6" : "udp4", ipv6Only: v6 });
  const port = await bound(socket, options);
  // A sender that is gone answers by ICMP; that is its business.
  socket.on("error", () => {});
  socket.on("message", (bytes, from) => {
    const name = `${from.address} ${from.port}`;
    let flow = flows.get(name);
    if (flow === undefined) {
      if (flows.size >= maxFlows) oldest(flows)?.end();
      total++;
      flow = new Flow({
        dial: options.dial,
        answer: (data) => {
          if (!stop.signal.aborted) socket.send(data, from.port, from.address, () => {});
        },
        now: () => clock.monotonicMs(),
        over: () => {
          if (flows.get(name) === flow) flows.delete(name);
        },
      });
      flows.set(name, flow);
    }
    flow.send(Uint8Array.from(bytes));
  });
  const sweeping = sweep(flows, clock, idleMs, stop.signal);
  let closing: Promise<void> | undefined;
  const close = () =>
    closing ??= (async () => {
      stop.abort();
      for (const flow of flows.values()) flow.end();
      await new Promise<void>((resolve) => socket.close(() => resolve()));
      await sweeping;
    })();
  return {
    port,
    get active() {
      return flows.size;
    },
    get total() {
      return total;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function bound(
  socket: Socket,
  { bind, port }: { readonly bind: string; readonly port: number },
): Promise<number> {
  return new Promise((resolve, reject) => {
    const onError = (cause: Error & { code?: string }) => {
      socket.close();
      reject(listenError(bind, port, cause));
    };
    socket.once("error", onError);
    socket.bind({ address: bind, port, exclusive: true }, () => {
      socket.off("error", onError);
      resolve(socket.address().port);
    });
  });
}

async function sweep(
  flows: ReadonlyMap<string, Flow>,
  clock: Clock,
  idleMs: number,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(idleMs / 4, { signal }).catch(() => {});
    const now = clock.monotonicMs();
    for (const flow of [...flows.values()]) if (now - flow.usedAt >= idleMs) flow.end();
  }
}

function oldest(flows: ReadonlyMap<string, Flow>): Flow | undefined {
  let found: Flow | undefined;
  for (const flow of flows.values()) {
    if (found === undefined || flow.usedAt < found.usedAt) found = flow;
  }
  return found;
}

interface FlowOptions {
  readonly dial: (signal: AbortSignal) => Promise<Duplex>;
  readonly answer: (bytes: Uint8Array) => void;
  readonly now: () => number;
  readonly over: () => void;
}

class Flow {
  usedAt: number;
  readonly #options: FlowOptions;
  readonly #stop = new AbortController();
  #waiting: Uint8Array[] = [];
  #wake?: () => void;

  constructor(options: FlowOptions) {
    this.#options = options;
    this.usedAt = options.now();
    void this.#run();
  }

  send(bytes: Uint8Array): void {
    this.usedAt = this.#options.now();
    if (this.#waiting.length >= MAX_WAITING) return;
    this.#waiting.push(bytes);
    this.#wake?.();
  }

  /** Idempotent. */
  end(): void {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort(new RumError("cancelled", "The UDP flow ended"));
    this.#wake?.();
    this.#options.over();
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { signal } = this.#stop;
    let stream: Duplex | undefined;
    try {
      stream = await this.#options.dial(signal);
      if (!signal.aborted) {
        const open = stream;
        signal.addEventListener("abort", () => open.abort(signal.reason), { once: true });
        await Promise.race([this.#toGuest(open), this.#toHost(open)]);
      }
    } catch {
      // Refused, reset, no agent: the next datagram begins a new flow.
    } finally {
      stream?.abort(signal.reason);
      this.end();
    }
  }

  async #toGuest(stream: Duplex): Promise<void> {
    const writer = stream.writable.getWriter();
    writer.closed.catch(() => {});
    while (!this.#stop.signal.aborted) {
      const next = this.#waiting.shift();
      if (next !== undefined) await writer.write(encodeDatagram(next));
      else {
        await new Promise<void>((resolve) => this.#wake = resolve);
        this.#wake = undefined;
      }
    }
  }

  async #toHost(stream: Duplex): Promise<void> {
    for await (const bytes of decodeDatagrams(stream.readable)) {
      this.usedAt = this.#options.now();
      this.#options.answer(bytes);
    }
  }
}
