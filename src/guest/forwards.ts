/**
 * All forwards of one machine: those of rum.toml, those added while it runs, those found by
 * themselves. Listeners are bound before the boot, so that a taken port is found before anything
 * starts, and stay bound while the guest reboots; a connection that comes while no agent is there is
 * reset at once instead of being kept waiting.
 *
 *   listening  bound, and the agent is there       waiting  bound, the agent is not
 *   failed     not bound, with the reason; tried again by `restore`
 *
 * Changes queue behind one another, so that two of them never race for one port. This object knows
 * no machine and no file: who holds a foreign port and what is to be remembered are told by callbacks.
 */
import { type Clock, systemClock } from "../base/clock.ts";
import { RumError, toRumError } from "../base/errors.ts";
import type { AutoPortsConfig, PortConfig } from "../config/types.ts";
import type { Listener } from "../protocol/agent.ts";
import type { ForwardRow } from "../protocol/daemon.ts";
import type { ForwardEvent } from "../protocol/machine_events.ts";
import type { Duplex } from "../wire/duplex.ts";
import { watchGuestPorts } from "./auto_ports.ts";
import {
  type Entry,
  type ForwardSpec,
  noneFree,
  type Open,
  overlap,
  ownConflict,
  portOf,
  rowOf,
  same,
  type SavedForward,
  savedOf,
} from "./forward_entry.ts";
import { openTcpForward } from "./forward_tcp.ts";
import { openUdpForward } from "./forward_udp.ts";

export interface ForwardsOptions {
  readonly dial: (port: number, signal: AbortSignal) => Promise<Duplex>;
  readonly dialUdp: (port: number, signal: AbortSignal) => Promise<Duplex>;
  /** The agent is there. */
  readonly reachable: () => boolean;
  /** What listens in the guest; undefined while nobody can be asked. */
  readonly listeners?: (signal: AbortSignal) => Promise<readonly Listener[] | undefined>;
  readonly emit: (event: ForwardEvent) => void;
  /** Who has a port of this host: the end of the sentence "it is held by …". */
  readonly holder?: (port: number, proto: "tcp" | "udp") => Promise<string | undefined>;
  /** Awaited after every change, with what has to be there again after a restart of the daemon. */
  readonly changed?: (forwards: readonly SavedForward[]) => void | Promise<void>;
  readonly clock?: Clock;
}

const NEXT_TRIES = 100;

export class Forwards implements AsyncDisposable {
  readonly #options: ForwardsOptions;
  readonly #clock: Clock;
  #entries: Entry[] = [];
  #queue: Promise<unknown> = Promise.resolve();
  #auto?: { readonly config: AutoPortsConfig; readonly stop: AbortController; done: Promise<void> };

  constructor(options: ForwardsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /**
   * Before a boot: exactly these, all or none. Those that are open already stay open.
   *
   * @throws {RumError} `port_in_use` with the holder's name, `permission_denied`
   */
  reserve(ports: readonly PortConfig[]): Promise<void> {
    return this.#inTurn(async () => {
      await this.#stopAuto();
      const { keep, go, come } = this.#difference(ports, () => true);
      const made: Entry[] = [];
      for (const entry of go) await entry.open?.close();
      this.#entries = keep;
      try {
        for (const spec of come) made.push(await this.#bind({ spec, origin: "config" }, made));
      } catch (error) {
        for (const entry of made) await entry.open?.close();
        for (const entry of go) this.#tell(entry, "closed");
        throw error;
      }
      for (const entry of go) this.#tell(entry, "closed");
      this.#entries = [...keep, ...made];
      for (const entry of made) this.#tell(entry, "listening");
    });
  }

  /**
   * On the running machine: those of rum.toml become these; added and found ones stay. One that
   * cannot be bound is there as `failed`.
   */
  apply(ports: readonly PortConfig[]): Promise<RumError[]> {
    return this.#inTurn(async () => {
      const { go, come } = this.#difference(ports, (entry) => entry.origin === "config");
      for (const entry of go) await this.#drop(entry);
      const errors: RumError[] = [];
      for (const spec of come) {
        // What was found by itself makes room for what the user asked for.
        const found = this.#entries.find((e) => e.origin === "auto" && overlap(e, spec));
        if (found !== undefined) await this.#drop(found);
        const error = await this.#tryBind({ spec, origin: "config" });
        if (error !== undefined) errors.push(error);
      }
      return errors;
    });
  }

  /** After a restart of the daemon: what was there before it, with the same ports. */
  takeUp(saved: readonly SavedForward[]): Promise<void> {
    return this.#inTurn(async () => {
      for (const { origin, wanted, ...rest } of saved) {
        const entry: Entry = { spec: { ...rest, host: wanted }, origin };
        // Two wishes for a picked port look alike: what tells them apart is the one they got.
        if (this.#entries.some((e) => same(e.spec, entry.spec) && portOf(e) === rest.host)) {
          continue;
        }
        await this.#tryBind(entry, rest.host);
      }
    });
  }

  /** The agent is back: what could not be bound is tried once more. */
  restore(): Promise<void> {
    return this.#inTurn(async () => {
      for (const entry of this.#entries.filter((e) => e.open === undefined)) {
        this.#entries = this.#entries.filter((e) => e !== entry);
        await this.#tryBind({ spec: entry.spec, origin: entry.origin });
      }
    });
  }

  /** @throws {RumError} `port_in_use`, `permission_denied`, `invalid_params` */
  add(spec: ForwardSpec): Promise<ForwardRow> {
    return this.#inTurn(async () => {
      const wanted: PortConfig = { ...spec, onConflict: "fail" };
      const there = this.#entries.find((e) => e.open !== undefined && overlap(e, wanted));
      if (there !== undefined && spec.host !== 0) {
        if (there.origin !== "auto" && there.spec.guest === spec.guest) return this.#row(there);
        if (there.origin === "auto") await this.#drop(there);
        else {
          throw ownConflict(spec.bind, spec.host, there);
        }
      }
      const entry = await this.#bind({ spec: wanted, origin: "added" }, []);
      this.#entries.push(entry);
      this.#tell(entry, "listening");
      return this.#row(entry);
    });
  }

  /** Every forward of that host port, or the one on `bind`. @throws {RumError} `forward_not_found` */
  remove(which: { readonly host: number; readonly bind?: string }): Promise<ForwardRow[]> {
    return this.#inTurn(async () => {
      const found = this.#entries.filter((e) =>
        portOf(e) === which.host && (which.bind === undefined || which.bind === e.spec.bind)
      );
      if (found.length === 0) {
        throw new RumError(
          "forward_not_found",
          `There is no forward of host port ${which.host}` +
            (which.bind === undefined ? "" : ` on ${which.bind}`),
          { hint: "rum port ls" },
        );
      }
      const rows = found.map((entry) => this.#row(entry));
      for (const entry of found) await this.#drop(entry);
      return rows;
    });
  }

  /** Sorted by host port. */
  list(): ForwardRow[] {
    return this.#entries.map((entry) => this.#row(entry))
      .sort((a, b) => a.host - b.host || (a.bind < b.bind ? -1 : 1));
  }

  /** Begins, changes or ends the search for listeners in the guest. */
  auto(config: AutoPortsConfig | undefined): Promise<void> {
    return this.#inTurn(async () => {
      if (JSON.stringify(this.#auto?.config) === JSON.stringify(config)) return;
      await this.#stopAuto();
      const { listeners } = this.#options;
      if (config === undefined || listeners === undefined) return;
      const stop = new AbortController();
      const done = watchGuestPorts({
        config,
        listeners,
        clock: this.#clock,
        signal: stop.signal,
        taken: () =>
          new Set(
            this.#entries.filter((e) => e.origin !== "auto" && e.spec.proto === "tcp")
              .map((e) => e.spec.guest),
          ),
        open: (port) => this.#inTurn(() => this.#openFound(port, config.bind, stop.signal)),
        close: (port) => this.#inTurn(() => this.#closeFound(port, stop.signal)),
      });
      this.#auto = { config, stop, done };
    });
  }

  /** Nothing is forwarded any more. Idempotent; the object can be used again. */
  close(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#stopAuto();
      for (const entry of [...this.#entries]) await this.#drop(entry);
    });
  }

  /** The process ends: ports are let go in silence, what is remembered stays. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#inTurn(async () => {
      this.#auto?.stop.abort();
      const entries = this.#entries;
      this.#entries = [];
      for (const entry of entries) await entry.open?.close();
    });
    await this.#auto?.done;
    this.#auto = undefined;
  }

  async #openFound(port: number, bind: string, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false;
    const spec: PortConfig = { bind, host: port, guest: port, proto: "tcp", onConflict: "fail" };
    if (this.#entries.some((e) => overlap(e, spec))) return false;
    try {
      const entry = await this.#bind({ spec, origin: "auto" }, []);
      this.#entries.push(entry);
      this.#tell(entry, "listening");
      return true;
    } catch {
      // Somebody on the host has it: theirs.
      return false;
    }
  }

  async #closeFound(port: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const entry = this.#entries.find((e) => e.origin === "auto" && e.spec.guest === port);
    if (entry !== undefined) await this.#drop(entry);
  }

  /** Ends the search and what it found. Not awaited inside the turn: its loop may queue for one. */
  async #stopAuto(): Promise<void> {
    this.#auto?.stop.abort();
    this.#auto = undefined;
    for (const entry of this.#entries.filter((e) => e.origin === "auto")) await this.#drop(entry);
  }

  #difference(ports: readonly PortConfig[], mine: (entry: Entry) => boolean) {
    const keep: Entry[] = [];
    const go: Entry[] = [];
    for (const entry of this.#entries) {
      const stays = !mine(entry) ||
        (entry.origin === "config" && entry.open !== undefined &&
          ports.some((spec) => same(spec, entry.spec)));
      (stays ? keep : go).push(entry);
    }
    return { keep, go, come: ports.filter((spec) => !keep.some((e) => same(e.spec, spec))) };
  }

  async #tryBind(entry: Entry, first?: number): Promise<RumError | undefined> {
    try {
      const bound = await this.#bind(entry, [], first);
      this.#entries.push(bound);
      this.#tell(bound, "listening");
      return undefined;
    } catch (thrown) {
      const error = toRumError(thrown);
      const failed = { ...entry, error };
      this.#entries.push(failed);
      this.#tell(failed, "failed");
      return error;
    }
  }

  /** `first`: the port that was bound before a restart, to be had again where it is free. */
  async #bind(entry: Entry, others: readonly Entry[], first?: number): Promise<Entry> {
    const { host, onConflict, bind, proto } = entry.spec;
    if (first !== undefined && first !== 0 && first !== host) {
      const again = await this.#listen(entry.spec, first).catch(() => undefined);
      if (again !== undefined) return { ...entry, open: again };
    }
    const tries = onConflict === "next" && host !== 0 ? NEXT_TRIES : 1;
    for (let port = host;; port++) {
      const own = [...this.#entries, ...others].find((e) =>
        overlap(e, { ...entry.spec, host: port })
      );
      try {
        if (own !== undefined && port !== 0) throw ownConflict(bind, port, own);
        return { ...entry, open: await this.#listen(entry.spec, port) };
      } catch (error) {
        if (!(error instanceof RumError) || error.code !== "port_in_use") throw error;
        if (port - host < tries - 1 && port < 65535) continue;
        throw tries > 1 ? noneFree(bind, host, port) : await this.#named(error, port, proto);
      }
    }
  }

  async #listen(spec: PortConfig, port: number): Promise<Open> {
    const { dial, dialUdp, reachable } = this.#options;
    const via = (dialer: typeof dial) => async (signal: AbortSignal): Promise<Duplex> => {
      if (!reachable()) throw new RumError("agent_unavailable", "The guest agent is not there");
      return await dialer(spec.guest, signal);
    };
    return spec.proto === "tcp"
      ? openTcpForward({ bind: spec.bind, port, dial: via(dial) })
      : await openUdpForward({ bind: spec.bind, port, dial: via(dialUdp), clock: this.#clock });
  }

  async #named(error: RumError, port: number, proto: "tcp" | "udp"): Promise<RumError> {
    if (/held by|forwards it/.test(error.message)) return error;
    const holder = await this.#options.holder?.(port, proto).catch(() => undefined);
    return new RumError(
      "port_in_use",
      holder === undefined ? error.message : `${error.message}: it is held by ${holder}`,
      {
        cause: error,
        hint: 'use another host port, host = 0, or on_conflict = "next" in [[ports]]',
        data: { ...error.data, ...(holder === undefined ? {} : { holder }) },
      },
    );
  }

  async #drop(entry: Entry): Promise<void> {
    this.#entries = this.#entries.filter((e) => e !== entry);
    await entry.open?.close();
    this.#tell(entry, "closed");
  }

  #row(entry: Entry): ForwardRow {
    return rowOf(entry, this.#options.reachable());
  }

  #tell(entry: Entry, state: ForwardEvent["state"]): void {
    const { spec, origin, error } = entry;
    this.#options.emit({
      kind: "forward",
      bind: spec.bind,
      host: portOf(entry),
      guest: spec.guest,
      proto: spec.proto,
      state,
      ...(origin === "auto" ? { auto: true } : {}),
      ...(state === "failed" && error !== undefined ? { text: error.message } : {}),
    });
  }

  /** What was done is remembered before it is answered: a kill right after must not undo it. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(async () => {
      try {
        return await work();
      } finally {
        await this.#options.changed?.(this.#entries.flatMap(savedOf));
      }
    });
    this.#queue = turn.catch(() => {});
    return turn;
  }
}
