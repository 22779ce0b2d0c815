/**
 * The Hypervisor over libvirt: connection, events and streams of all machines behind one URI. What
 * is done to a single machine is in `libvirt_machine.ts`.
 */
import type { HypervisorChoice } from "../plan/types.ts";
import { parseCapabilities } from "./capabilities.ts";
import { Connection, type DirectCall } from "./connection.ts";
import { describeFailure } from "./describe_failure.ts";
import { embedRootOf, prepareEmbedRoot, shareCapabilities } from "./embed.ts";
import type { CallOptions, Capabilities, Hypervisor, HypervisorNetwork } from "./hypervisor.ts";
import { LibvirtMachine } from "./libvirt_machine.ts";
import type { RawEvent } from "./messages.ts";
import type { Registrations } from "./operations/events.ts";
import type { NetworkRef } from "./operations/network.ts";
import type { MachineRef } from "./operations/owned.ts";
import { acquireRuntime, type LibvirtRuntime, releaseRuntime } from "./runtime.ts";
import { Watchers } from "./watchers.ts";

const SHORT_MS = 15_000;
/** Asking a QEMU for its capabilities for the first time takes seconds per emulator. */
const PROBE_MS = 120_000;

export interface OpenOptions {
  readonly signal?: AbortSignal;
  /** `RumPaths.embedCache`: what embedded roots learned of QEMU, shared between machines. */
  readonly embedCache?: string;
}

export class LibvirtHypervisor implements Hypervisor {
  readonly choice: HypervisorChoice;
  readonly runtime: LibvirtRuntime;
  readonly watchers: Watchers;
  readonly #options: OpenOptions;
  readonly #events: Disposable & { readonly key: number };
  /** Ends every stream when the connection is lost or closed. */
  readonly streams = new Set<{ abort(reason: unknown): void; readonly gone: Promise<void> }>();
  #connection!: Connection;
  #registrations?: Registrations;
  #closed?: Promise<void>;

  private constructor(choice: HypervisorChoice, runtime: LibvirtRuntime, options: OpenOptions) {
    this.choice = choice;
    this.runtime = runtime;
    this.#options = options;
    this.watchers = new Watchers(this);
    this.#events = runtime.listen((event: RawEvent) => this.watchers.handle(event));
  }

  /** @throws {RumError} `library_missing`, `hypervisor_unreachable`, … */
  static async open(choice: HypervisorChoice, options: OpenOptions): Promise<LibvirtHypervisor> {
    const doing = `open ${choice.uri}`;
    let runtime: LibvirtRuntime;
    try {
      runtime = await acquireRuntime();
    } catch (error) {
      throw describeFailure(error, { doing, uri: choice.uri });
    }
    const made = new LibvirtHypervisor(choice, runtime, options);
    try {
      made.#connection = await Connection.open(choice.uri, runtime, {
        beforeOpen: () => made.#prepare(),
        afterOpen: (call) => made.#setUp(call),
        onLost: (reason) => made.#lost(reason),
        onBack: () => made.watchers.connection(true, ""),
      }, options);
      return made;
    } catch (error) {
      made.#events[Symbol.dispose]();
      await releaseRuntime();
      throw error;
    }
  }

  get connection(): Connection {
    return this.#connection;
  }

  machine(ref: MachineRef): LibvirtMachine {
    return new LibvirtMachine(this, ref);
  }

  network(ref: NetworkRef): HypervisorNetwork {
    const named = `network "${ref.name}"`;
    const context = (verb: string, options: CallOptions = {}) => ({
      doing: `${verb} ${named}`,
      deadlineMs: options.deadlineMs ?? 30_000,
      signal: options.signal,
    });
    return {
      ref,
      state: (options) =>
        this.#connection.call("networkState", { network: ref }, context("look at", options)),
      up: (xml, options) =>
        this.#connection.call("networkUp", { network: ref, xml }, context("start", options)),
      down: (options) =>
        this.#connection.call("networkDown", { network: ref }, context("remove", options)),
    };
  }

  versions(options: CallOptions = {}): Promise<{ library: string; hypervisor?: string }> {
    return this.#connection.call("versions", {}, {
      doing: `ask ${this.choice.uri} for its version`,
      deadlineMs: options.deadlineMs ?? PROBE_MS,
      signal: options.signal,
    });
  }

  async capabilities(options: CallOptions = {}): Promise<Capabilities> {
    const xml = await this.#connection.call("capabilities", {}, {
      doing: `ask ${this.choice.uri} what it can run`,
      deadlineMs: options.deadlineMs ?? PROBE_MS,
      signal: options.signal,
    });
    await this.shareWhatWasLearned();
    return await parseCapabilities(xml);
  }

  networkDriver(options: CallOptions = {}): Promise<{ available: boolean; detail: string }> {
    return this.#connection.call("hasNetworks", {}, {
      doing: `ask ${this.choice.uri} for networks`,
      deadlineMs: options.deadlineMs ?? SHORT_MS,
      signal: options.signal,
    });
  }

  /** After anything that may have made libvirt probe QEMU. */
  async shareWhatWasLearned(): Promise<void> {
    const embed = this.#embed();
    if (embed !== undefined) await shareCapabilities(embed);
  }

  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.watchers.close();
    await this.#endStreams(new Error("The connection to libvirt was closed"));
    await this.#connection.close(async (call) => {
      if (this.#registrations === undefined) return;
      await call("eventsDeregister", { registrations: this.#registrations }, {
        doing: "stop listening to libvirt",
        deadlineMs: SHORT_MS,
      });
    });
    this.#events[Symbol.dispose]();
    await this.shareWhatWasLearned();
    await releaseRuntime();
  }

  async #prepare(): Promise<void> {
    const embed = this.#embed();
    if (embed !== undefined) await prepareEmbedRoot(embed);
  }

  async #setUp(call: DirectCall): Promise<void> {
    this.#registrations = await call("eventsRegister", {
      key: this.#events.key,
      callbacks: this.runtime.callbacks,
    }, { doing: "listen to libvirt's events", deadlineMs: SHORT_MS });
    if (this.choice.kind !== "embed") return;
    await call("settle", {}, {
      doing: "wait for libvirt to find its machines again",
      deadlineMs: 60_000,
    });
  }

  #lost(reason: string): void {
    this.#registrations = undefined;
    this.watchers.connection(false, reason);
    void this.#endStreams(new Error(`The connection to libvirt was lost: ${reason}`));
  }

  async #endStreams(reason: Error): Promise<void> {
    const streams = [...this.streams];
    streams.forEach((stream) => stream.abort(reason));
    await Promise.all(streams.map((stream) => stream.gone));
  }

  #embed() {
    if (this.choice.kind !== "embed") return undefined;
    return {
      root: embedRootOf(this.choice.uri),
      asRoot: Deno.uid() === 0,
      cache: this.#options.embedCache,
    };
  }
}
