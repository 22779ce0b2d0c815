/**
 * Services over the agent's life: when the supervisor begins, and who hears what changes.
 *
 * In a fresh boot it begins when this boot's scripts have ended, because services stand on what
 * those set up, or when the host hands it a set, whichever comes first. A set that comes before the
 * beginning is cached first, so that nothing of yesterday's set starts only to be stopped. An agent
 * that died and is back takes over its processes at once: nobody else watches them.
 */
import { RumError } from "../../src/base/errors.ts";
import type { ServiceNews, ServiceRequest } from "../../src/protocol/service_calls.ts";
import type { InstanceView, ServiceSpec } from "../../src/protocol/services.ts";
import type { InstanceKey, Reply } from "../../src/services/draft.ts";
import { writeDurably } from "../durable.ts";
import { ServiceRunner } from "./runner.ts";

export interface SupervisionOptions {
  readonly state: string;
  readonly run: string;
  readonly root: string;
  readonly group?: string;
  readonly log: (line: string) => void;
}

type Listener = (news: ServiceNews) => void;

export class Supervision {
  readonly #options: SupervisionOptions;
  readonly #listeners = new Set<Listener>();
  #opening: Promise<ServiceRunner> | undefined;
  #runner: ServiceRunner | undefined;
  #shut = false;

  constructor(options: SupervisionOptions) {
    this.#options = options;
  }

  /** Something of an earlier life of the agent may still run. */
  async hasRemains(): Promise<boolean> {
    try {
      for await (const entry of Deno.readDir(`${this.#options.run}/services`)) {
        if (entry.name.endsWith(".process")) return true;
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    return false;
  }

  /** Takes over what runs and starts the rest. Only the first call does it. */
  begin(): Promise<ServiceRunner> {
    if (this.#shut && this.#opening === undefined) {
      return Promise.reject(
        new RumError("shutting_down", "The guest's services are being shut down"),
      );
    }
    this.#opening ??= ServiceRunner.open({
      ...this.#options,
      onChange: (view) => this.#tell({ instances: [view], gone: [] }),
      onGone: (key) => this.#tell({ instances: [], gone: [key] }),
    }).then((runner) => {
      this.#runner = runner;
      this.#tell({ whole: true, instances: runner.views(), gone: [] });
      return runner;
    });
    this.#opening.catch(() => this.#opening = undefined);
    return this.#opening;
  }

  /** @throws {RumError} what the supervisor refuses with */
  async apply(specs: readonly ServiceSpec[]): Promise<string> {
    if (this.#opening === undefined && !this.#shut) {
      await Deno.mkdir(this.#options.state, { recursive: true, mode: 0o700 });
      await writeDurably(`${this.#options.state}/services.json`, JSON.stringify(specs));
    }
    return said(await (await this.begin()).apply(specs));
  }

  async request({ verb, name }: ServiceRequest): Promise<string> {
    return said(await (await this.begin()).request(verb, name));
  }

  /** For good: nothing starts any more in this life of the agent. */
  async shutdown(): Promise<string> {
    this.#shut = true;
    if (this.#opening === undefined) return "No service runs";
    return said(await (await this.#opening).shutdown());
  }

  views(): InstanceView[] {
    return this.#runner?.views() ?? [];
  }

  logPath(key: InstanceKey): string {
    return `${this.#options.state}/service-logs/${key.service}-${key.index}.log`;
  }

  /** Called with everything as soon as it is known, and with every change from then on. */
  follow(listener: Listener): Disposable {
    this.#listeners.add(listener);
    if (this.#runner !== undefined) {
      listener({ whole: true, instances: this.views(), gone: [] });
    } else void this.#tellNothing(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** The agent ends; the processes live on. */
  async close(): Promise<void> {
    await this.#runner?.close();
  }

  /** "None" would be a lie while those of an earlier life wait to be found; `begin` tells of them. */
  async #tellNothing(listener: Listener): Promise<void> {
    const remains = await this.hasRemains().catch(() => true);
    if (remains || this.#runner !== undefined || !this.#listeners.has(listener)) return;
    listener({ whole: true, instances: [], gone: [] });
  }

  #tell(news: ServiceNews): void {
    for (const listener of this.#listeners) listener(news);
  }
}

function said(reply: Reply): string {
  if (reply.ok) return reply.message;
  throw new RumError(reply.code, reply.message, hintOf(reply.code));
}

function hintOf(code: RumError["code"]): { hint?: string } {
  switch (code) {
    case "service_not_found":
    case "service_already_running":
    case "service_not_running":
      return { hint: "rum service ls" };
    default:
      return {};
  }
}
