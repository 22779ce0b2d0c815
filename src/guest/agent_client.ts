/**
 * The guest agent as typed methods: what the rest of rum calls. One client per authenticated link;
 * when the link dies every call ends with `agent_restarted` and `agent_session.ts` makes a new one.
 *
 * Short calls have a deadline of their own, because a guest that keeps the link alive and never
 * answers must not hold anybody; those that last as long as their work end by their signal.
 */
import { RumError } from "../base/errors.ts";
import { withDeadline } from "../base/deadline.ts";
import { printable, printableLine } from "../base/printable.ts";
import {
  type ApplyOutcome,
  type ApplyParams,
  applyResult,
  dialParams,
  empty,
  type ExecParams,
  type ExecResult,
  type FileDigest,
  type FileMeta,
  type GuestStats,
  type HelloInfo,
  type Listener,
  listenersResult,
  logsResult,
  type ProvisionEvent,
  provisionEvent,
  type ProvisionParams,
  type ProvisionResult,
  provisionResult,
  statsResult,
  type TimeResult,
  timeResult,
  type TreeResult,
  type WriteParams,
} from "../protocol/agent.ts";
import { KIND } from "../protocol/calls.ts";
import type { Shape } from "../protocol/shape.ts";
import type { Duplex } from "../wire/duplex.ts";
import type { Mux } from "../wire/mux_types.ts";
import { AgentCall } from "./agent_call.ts";
import { execInGuest, type ExecOptions, type ExecStreams } from "./agent_exec.ts";
import {
  type FileSink,
  readFromGuest,
  readTreeFromGuest,
  statInGuest,
  type TreeSink,
  type TreeSource,
  writeToGuest,
  writeTreeToGuest,
} from "./agent_files.ts";
import { sayHello, shownAddress, type TokenStore } from "./agent_hello.ts";
import { upgradeAgent } from "./agent_upgrade.ts";
import type { TreeBounds } from "./tree_names.ts";

const SHORT_MS = 15_000;
const APPLY_MS = 10 * 60_000;

export interface AgentOptions {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

export interface BoundedOptions {
  readonly signal?: AbortSignal;
  readonly bounds?: TreeBounds;
}

/** Says hello over a fresh link. @throws {RumError} `unauthorized`, `version_mismatch`, … */
export async function connectAgent(
  mux: Mux,
  options: { tokens: TokenStore; signal?: AbortSignal; timeoutMs?: number },
): Promise<AgentClient> {
  const info = await withDeadline(
    {
      waitingFor: "The guest agent's hello",
      timeoutMs: options.timeoutMs ?? SHORT_MS,
      signal: options.signal,
      hint: "rum log --source boot",
    },
    (signal) => sayHello(mux, options.tokens, { signal }),
  );
  return new AgentClient(mux, info);
}

export class AgentClient {
  readonly hello: HelloInfo;
  readonly mux: Mux;

  constructor(mux: Mux, hello: HelloInfo) {
    this.mux = mux;
    this.hello = hello;
  }

  exec(
    params: Omit<ExecParams, "stdin">,
    streams: ExecStreams,
    options?: ExecOptions,
  ): Promise<ExecResult> {
    return execInGuest(this.mux, params, streams, options);
  }

  /** Runs what is due and streams the output; lasts as long as the scripts do. */
  async provision(
    params: ProvisionParams,
    take: (event: ProvisionEvent) => void | Promise<void>,
    options: { signal?: AbortSignal } = {},
  ): Promise<ProvisionResult> {
    await using call = await AgentCall.open(this.mux, "provision", params, options);
    for (;;) {
      const next = await call.next(provisionResult);
      if (next.kind === "final") return shownResult(next.value);
      if (next.record.kind !== KIND.event) throw call.lied("sent bytes instead of script output");
      await take(shownEvent(call.read(next.record, provisionEvent)));
    }
  }

  /** Sets up user, keys, hostname, mounts, file systems; each item's outcome, failures included. */
  async apply(params: ApplyParams, options: AgentOptions = {}): Promise<ApplyOutcome[]> {
    const { outcomes } = await this.#ask("apply", params, applyResult, {
      timeoutMs: APPLY_MS,
      ...options,
    });
    return outcomes.map((each) => ({
      ...each,
      item: printableLine(each.item),
      message: each.message === undefined ? undefined : printable(each.message),
    }));
  }

  /**
   * A connection to a TCP port inside the guest; half-close and reset pass through.
   *
   * @throws {RumError} `agent_error` with `data.reason` `refused` when nothing listens there
   */
  async dial(
    port: number,
    options: AgentOptions & { host?: string } = {},
  ): Promise<Duplex> {
    const params = { port, host: options.host };
    dialParams(params, "");
    return await withDeadline(
      {
        waitingFor: `A connection to port ${port} in the guest`,
        timeoutMs: options.timeoutMs ?? SHORT_MS,
        signal: options.signal,
      },
      async (signal) => {
        await using call = await AgentCall.open(this.mux, "dial", params, { signal });
        await call.result(empty);
        return call.raw();
      },
    );
  }

  async listeners(options?: AgentOptions): Promise<Listener[]> {
    return (await this.#ask("listeners", {}, listenersResult, options)).listeners
      .map((each) => ({ ...each, address: printableLine(each.address) }));
  }

  /** Sets the guest's clock to the host's when it is off by more than half a second. */
  syncTime(options?: AgentOptions): Promise<TimeResult> {
    return this.#ask("time", { nowMs: Date.now() }, timeResult, options);
  }

  async shutdown(kind: "poweroff" | "reboot", options?: AgentOptions): Promise<void> {
    await this.#ask("shutdown", { kind }, empty, options);
  }

  /** The end of the agent's own log. */
  async logs(bytes: number, options?: AgentOptions): Promise<string> {
    return printable((await this.#ask("logs", { bytes }, logsResult, options)).text);
  }

  async stats(options?: AgentOptions): Promise<GuestStats> {
    const stats = await this.#ask("stats", {}, statsResult, options);
    return { ...stats, addresses: stats.addresses?.map(shownAddress) };
  }

  stat(
    path: string,
    options?: { signal?: AbortSignal; followLinks?: boolean },
  ): Promise<FileMeta> {
    return statInGuest(this.mux, path, options);
  }

  readFile(path: string, sink: FileSink, options?: BoundedOptions): Promise<FileDigest> {
    return readFromGuest(this.mux, path, sink, options);
  }

  writeFile(
    params: WriteParams,
    content: AsyncIterable<Uint8Array>,
    options?: { signal?: AbortSignal },
  ): Promise<FileDigest> {
    return writeToGuest(this.mux, params, content, options);
  }

  readTree(path: string, sink: TreeSink, options?: BoundedOptions): Promise<TreeResult> {
    return readTreeFromGuest(this.mux, path, sink, options);
  }

  writeTree(
    params: WriteParams,
    entries: AsyncIterable<TreeSource>,
    options?: { signal?: AbortSignal },
  ): Promise<TreeResult> {
    return writeTreeToGuest(this.mux, params, entries, options);
  }

  /** Replaces the guest's agent by this one; the link then ends and the new one says hello. */
  upgrade(
    program: { digest: string; files: readonly { name: string; path: string; bytes: number }[] },
    options?: { signal?: AbortSignal },
  ): Promise<void> {
    return upgradeAgent(this.mux, program, options);
  }

  /** Round trip in milliseconds. */
  async ping(options: AgentOptions = {}): Promise<number> {
    return await withDeadline(
      {
        waitingFor: "The guest agent's answer to a ping",
        timeoutMs: options.timeoutMs ?? SHORT_MS,
        signal: options.signal,
      },
      (signal) => this.mux.ping({ signal }),
    );
  }

  close(reason?: RumError): void {
    this.mux.close(reason ?? new RumError("cancelled", "The host closed the link to the guest"));
  }

  async #ask<T>(
    method: string,
    params: unknown,
    shape: Shape<T>,
    options: AgentOptions = {},
  ): Promise<T> {
    return await withDeadline(
      {
        waitingFor: `The guest agent's answer to ${method}`,
        timeoutMs: options.timeoutMs ?? SHORT_MS,
        signal: options.signal,
        hint: "rum status",
      },
      async (signal) => {
        await using call = await AgentCall.open(this.mux, method, params, { signal });
        return await call.result(shape);
      },
    );
  }
}

function shownEvent(event: ProvisionEvent): ProvisionEvent {
  return {
    ...event,
    script: event.script === undefined ? undefined : printableLine(event.script),
    message: event.message === undefined ? undefined : printableLine(event.message),
    lines: event.lines?.map((line) => ({ ...line, text: oneLine(line.text) })),
  };
}

function shownResult(result: ProvisionResult): ProvisionResult {
  const { failed } = result;
  return {
    ...result,
    failed: failed === undefined ? undefined : {
      ...failed,
      name: printableLine(failed.name),
      reason: printableLine(failed.reason),
      tail: failed.tail.map(oneLine),
    },
    ran: result.ran.map((each) => ({ ...each, name: printableLine(each.name) })),
    skipped: result.skipped.map((each) => printableLine(each)),
  };
}

/** Tabs stay; a line feed inside a "line" would forge another one. */
function oneLine(text: string): string {
  return printable(text).replaceAll("\n", " ");
}
