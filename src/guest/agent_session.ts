/**
 * Keeps a machine's agent within reach: asks the link for the agent's present life, says hello, hands
 * out the client, notices its end, and starts over. A guest reboot and an agent restart look alike on
 * the wire; the hello's boot id and instance tell them apart.
 *
 *   connecting ── hello ──► up(client) ── link ends, or 10 s of silence ──► lost(reason) ── again
 *
 * One loop, one owner; `close` ends it and whatever it waits for.
 */
import { type Clock, systemClock } from "../base/clock.ts";
import { withDeadline } from "../base/deadline.ts";
import { type ErrorCode, RumError, toRumError } from "../base/errors.ts";
import { backOffMs } from "../base/schedule.ts";
import type { Mux } from "../wire/mux_types.ts";
import { type AgentClient, connectAgent } from "./agent_client.ts";
import type { TokenStore } from "./agent_hello.ts";
import { ClockWatch } from "./clock_watch.ts";
import type { GuestLink } from "./link_reconnect.ts";

export type SessionChange = "first" | "agent_restarted" | "guest_rebooted" | "link_restored";

export type SessionEvent =
  | { readonly kind: "up"; readonly client: AgentClient; readonly change: SessionChange }
  | { readonly kind: "lost"; readonly reason: RumError }
  /** Something answered and was refused; tried again, but nobody should wait for it in silence. */
  | { readonly kind: "refused"; readonly reason: RumError };

export interface AgentSessionOptions {
  readonly link: GuestLink;
  readonly tokens: TokenStore;
  readonly on: (event: SessionEvent) => void;
  readonly clock?: Clock;
  /** How often the agent is asked whether it lives, and how long it may be silent. */
  readonly pingEveryMs?: number;
  readonly silenceMs?: number;
  /** True while the machine is paused: silence means nothing then. */
  readonly paused?: () => boolean;
}

const RETRY = { kind: "exponential", firstMs: 200, maxMs: 5000 } as const;

const NOT_YET: ReadonlySet<ErrorCode> = new Set([
  "timeout",
  "agent_restarted",
  "agent_unavailable",
]);

export class AgentSession implements AsyncDisposable {
  readonly #options: AgentSessionOptions;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  #client: AgentClient | undefined;
  #waiting = Promise.withResolvers<AgentClient>();
  #last: { bootId: string; instance: string } | undefined;

  constructor(options: AgentSessionOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#waiting.promise.catch(() => {});
    this.#done = this.#loop();
  }

  /** The client of the live link; undefined while there is none. */
  get client(): AgentClient | undefined {
    return this.#client;
  }

  /** Did an agent ever say hello in this session? */
  get seen(): boolean {
    return this.#last !== undefined;
  }

  /** @throws {RumError} `agent_unavailable` at once when no agent is there */
  require(): AgentClient {
    if (this.#client !== undefined) return this.#client;
    throw new RumError(
      "agent_unavailable",
      `The guest agent does not answer; seen last: ${this.#options.link.lastSeen()}`,
      { hint: "rum log --source boot" },
    );
  }

  /** Waits for the agent. @throws {RumError} `agent_unavailable` at the deadline */
  async ready(options: { timeoutMs: number; signal?: AbortSignal }): Promise<AgentClient> {
    if (this.#client !== undefined) return this.#client;
    try {
      return await withDeadline({
        waitingFor: "Waiting for the guest agent",
        lastSeen: () => this.#options.link.lastSeen(),
        ...options,
      }, () => this.#waiting.promise);
    } catch (cause) {
      if (!(cause instanceof RumError) || cause.code !== "timeout") throw cause;
      throw new RumError("agent_unavailable", cause.message, {
        cause,
        hint: "rum log --source boot",
      });
    }
  }

  async close(): Promise<void> {
    if (!this.#stop.signal.aborted) {
      const reason = new RumError("cancelled", "The link to the guest agent was closed");
      this.#stop.abort(reason);
      this.#options.link.close(reason);
      this.#waiting.reject(reason);
    }
    await this.#done;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #loop(): Promise<void> {
    const { signal } = this.#stop;
    let failures = 0;
    while (!signal.aborted) {
      try {
        const mux = await this.#options.link.next({ signal });
        const client = await this.#greet(mux);
        failures = 0;
        const reason = await this.#live(client);
        if (!signal.aborted) this.#options.on({ kind: "lost", reason });
      } catch (error) {
        if (signal.aborted) return;
        const reason = toRumError(error);
        // A guest that is still booting, or ended in mid-hello, refused nothing.
        if (!NOT_YET.has(reason.code)) this.#options.on({ kind: "refused", reason });
        await this.#pause(backOffMs(RETRY, ++failures));
      }
    }
  }

  async #greet(mux: Mux): Promise<AgentClient> {
    try {
      return await connectAgent(mux, { tokens: this.#options.tokens, signal: this.#stop.signal });
    } catch (error) {
      mux.close(toRumError(error));
      throw error;
    }
  }

  /** Until the link ends; resolves with why. */
  async #live(client: AgentClient): Promise<RumError> {
    const change = this.#changeOf(client);
    this.#client = client;
    this.#waiting.resolve(client);
    this.#options.on({ kind: "up", client, change });
    const over = new AbortController();
    try {
      const watching = this.#watch(client, over.signal);
      const reason = await client.mux.closed;
      this.#noClient();
      over.abort(reason);
      await watching;
      return reason instanceof RumError
        ? reason
        : new RumError("agent_restarted", "The link to the guest agent ended", { cause: reason });
    } finally {
      this.#noClient();
    }
  }

  /** At once when the link ended: nobody gets a dead client. */
  #noClient(): void {
    if (this.#client === undefined) return;
    this.#client = undefined;
    this.#waiting = Promise.withResolvers();
    this.#waiting.promise.catch(() => {});
    if (this.#stop.signal.aborted) this.#waiting.reject(this.#stop.signal.reason);
  }

  #changeOf(client: AgentClient): SessionChange {
    const { bootId, instance } = client.hello;
    const last = this.#last;
    this.#last = { bootId, instance };
    if (last === undefined) return "first";
    if (last.bootId !== bootId) return "guest_rebooted";
    return last.instance === instance ? "link_restored" : "agent_restarted";
  }

  /**
   * Asks now and then whether the agent lives; closes the link after the silence. Sets the guest's
   * clock when it may have stood still; that this fails is no news, the link's end is.
   */
  async #watch(client: AgentClient, over: AbortSignal): Promise<void> {
    const { pingEveryMs = 2500, silenceMs = 10_000, paused } = this.#options;
    const clocks = new ClockWatch(this.#clock);
    const setClock = () =>
      client.syncTime({ signal: over, timeoutMs: pingEveryMs }).catch(() => {});
    if (clocks.isOff(client.hello.nowMs)) await setClock();
    while (!over.aborted) {
      await this.#clock.sleep(pingEveryMs, { signal: over }).catch(() => {});
      const stoodStill = clocks.stoodStill(paused?.() ?? false);
      if (over.aborted || paused?.()) continue;
      if (stoodStill) await setClock();
      try {
        await client.ping({ timeoutMs: silenceMs - pingEveryMs, signal: over });
      } catch (cause) {
        // A pause that began under way explains the silence.
        if (over.aborted || paused?.()) continue;
        client.close(
          new RumError(
            "agent_unavailable",
            `The guest agent has been silent for ${silenceMs / 1000} s`,
            { cause, hint: "rum status" },
          ),
        );
      }
    }
  }

  #pause(ms: number): Promise<void> {
    return this.#clock.sleep(ms, { signal: this.#stop.signal }).catch(() => {});
  }
}
