/**
 * The supervisor carried out: the one owner of its state, which it moves by `stepSupervisor` and
 * whose effects it makes real. The spec is cached durably, so services run in a boot without a host;
 * notes of processes live under /run, so a new life of the agent finds what still runs.
 *
 * When the agent ends, services go on: `close` lets go of timers and watchers only. Who wants them
 * ended says `shutdown`.
 */
import type { InstanceView, ServiceSpec } from "../../src/protocol/services.ts";
import { serviceSpecs } from "../../src/protocol/services.ts";
import {
  type InstanceKey,
  NO_SERVICES,
  type Reply,
  type Supervisor,
  type SupervisorEffect,
  type SupervisorEvent,
  type Verb,
} from "../../src/services/draft.ts";
import type { InstanceEvent, Now } from "../../src/services/instance.ts";
import { stepSupervisor } from "../../src/services/supervisor.ts";
import { viewInstances } from "../../src/services/view.ts";
import { readJson, writeDurably } from "../durable.ts";
import { checkHealth } from "./health.ts";
import { rotateLogs, tailLog } from "./log_files.ts";
import {
  findService,
  type ServiceProcess,
  settleWrappers,
  spawnService,
  uptimeMs,
} from "./process.ts";

export interface ServiceRunnerOptions {
  /** Durable: the cached spec and the logs. */
  readonly state: string;
  /** Ends with the boot: notes of processes, what was stopped by request. */
  readonly run: string;
  /** Prefix of /etc for tests; "" in a guest. */
  readonly root: string;
  /** Where processes live apart from the agent, see `process.ts`; absent = with it. */
  readonly group?: string;
  readonly log: (line: string) => void;
  /** An instance's state changed; called after the step, with frozen views. */
  readonly onChange?: (view: InstanceView) => void;
  /** An instance is no more: scaled away, or its service removed. */
  readonly onGone?: (key: InstanceKey) => void;
}

export class ServiceRunner {
  readonly #options: ServiceRunnerOptions;
  readonly #stop = new AbortController();
  #state: Supervisor = NO_SERVICES;
  #queue: SupervisorEvent[] = [];
  readonly #replies = new Map<number, (reply: Reply) => void>();
  readonly #processes = new Map<string, ServiceProcess>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  #lastId = 0;
  #shown = new Map<string, string>();
  #saving: Promise<void> = Promise.resolve();

  private constructor(options: ServiceRunnerOptions) {
    this.#options = options;
  }

  /** Takes over what an earlier life left, and starts the rest of the cached set. */
  static async open(options: ServiceRunnerOptions): Promise<ServiceRunner> {
    for (const folder of [`${options.state}/service-logs`, `${options.run}/services`]) {
      await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
    }
    const runner = new ServiceRunner({ ...options, group: await groupOf(options) });
    await runner.#restore();
    rotateLogs(() => runner.#logs(), { signal: runner.#stop.signal, log: options.log });
    return runner;
  }

  /** A new set; answered when what it has no place for has ended. Cached before anything moves. */
  async apply(specs: readonly ServiceSpec[]): Promise<Reply> {
    await writeDurably(this.#specPath, JSON.stringify(specs));
    return await this.#ask((id) => ({ kind: "apply", id, specs }));
  }

  request(verb: Verb, name: string): Promise<Reply> {
    return this.#ask((id) => ({ kind: "request", id, verb, name }));
  }

  /** Ends every service, for good: this runner starts nothing any more. */
  shutdown(): Promise<Reply> {
    return this.#ask((id) => ({ kind: "shutdown", id }));
  }

  views(): InstanceView[] {
    return viewInstances(this.#state, now());
  }

  /** The last lines of one instance's output. */
  tail(key: InstanceKey, lines: number): Promise<string> {
    return tailLog(this.logPath(key), lines);
  }

  logPath(key: InstanceKey): string {
    return `${this.#options.state}/service-logs/${key.service}-${key.index}.log`;
  }

  /** Lets go; the processes live on. */
  async close(): Promise<void> {
    this.#stop.abort(new Error("The agent is ending"));
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    await this.#saving;
  }

  get #specPath(): string {
    return `${this.#options.state}/services.json`;
  }

  get #stoppedPath(): string {
    return `${this.#options.run}/services/stopped.json`;
  }

  #notePath(key: InstanceKey): string {
    return `${this.#options.run}/services/${key.service}-${key.index}.process`;
  }

  async #restore(): Promise<void> {
    const specs = this.#cached(await readJson(this.#specPath));
    const stopped = await readJson(this.#stoppedPath);
    const found: Extract<SupervisorEvent, { kind: "restore" }>["found"][number][] = [];
    const known = new Map<string, InstanceKey>();
    for (const { name, instances } of specs) {
      for (let index = 0; index < instances; index++) {
        known.set(`${name}-${index}.process`, { service: name, index });
      }
    }
    await settleWrappers(`${this.#options.run}/services`);
    const here = now();
    const up = uptimeMs();
    for await (const entry of Deno.readDir(`${this.#options.run}/services`)) {
      if (!entry.name.endsWith(".process")) continue;
      const note = `${this.#options.run}/services/${entry.name}`;
      const process = await findService(note, this.#stop.signal);
      if (process === undefined) continue;
      const key = known.get(entry.name);
      if (key === undefined) {
        this.#options.log(`service ${entry.name}: runs and is not wanted any more, ended`);
        process.signal("KILL");
        continue;
      }
      this.#watch(key, process);
      const age = up - process.startedUpMs;
      found.push({
        key,
        process: {
          kind: "adopted",
          generation: process.generation,
          pid: process.pid,
          startedMs: here.monotonicMs - age,
          startedAt: new Date(Date.now() - age).toISOString(),
        },
      });
    }
    this.#send({
      ...{ kind: "restore", specs, found },
      stopped: Array.isArray(stopped) ? stopped.filter((name) => typeof name === "string") : [],
    });
  }

  #cached(value: unknown): ServiceSpec[] {
    if (value === undefined) return [];
    try {
      return serviceSpecs(value, "");
    } catch (error) {
      this.#options.log(`cached services: ${error instanceof Error ? error.message : error}`);
      return [];
    }
  }

  #ask(make: (id: number) => SupervisorEvent): Promise<Reply> {
    const id = ++this.#lastId;
    const { promise, resolve } = Promise.withResolvers<Reply>();
    this.#replies.set(id, resolve);
    this.#send(make(id));
    return promise;
  }

  /** One event at a time: what an effect causes at once waits for the step to be done. */
  #send(event: SupervisorEvent): void {
    if (this.#stop.signal.aborted) return;
    this.#queue.push(event);
    if (this.#queue.length > 1) return;
    const stoppedBefore = this.#stoppedNames();
    while (this.#queue.length > 0) {
      const [state, effects] = stepSupervisor(this.#state, this.#queue[0], now());
      this.#state = state;
      for (const effect of effects) this.#carryOut(effect);
      this.#queue.shift();
    }
    const stopped = this.#stoppedNames();
    if (stopped !== stoppedBefore) {
      this.#saving = this.#saving.then(() => writeDurably(this.#stoppedPath, stopped)).catch(
        (error) => this.#options.log(`services: ${error}`),
      );
    }
    this.#tell();
  }

  #stoppedNames(): string {
    return JSON.stringify(
      [...this.#state.services].flatMap(([name, entry]) => entry.wanted ? [] : [name]),
    );
  }

  #carryOut(effect: SupervisorEffect): void {
    switch (effect.kind) {
      case "reply":
        this.#replies.get(effect.id)?.(effect.reply);
        this.#replies.delete(effect.id);
        return;
      case "forget":
        this.#forget(effect.key);
        return;
      case "instance":
        this.#carryOutFor(effect);
    }
  }

  #carryOutFor(to: Extract<SupervisorEffect, { kind: "instance" }>): void {
    const { key, spec, effect } = to;
    const { generation } = effect;
    switch (effect.kind) {
      case "spawn":
        return void this.#spawn(key, spec, generation);
      case "signal": {
        const process = this.#processes.get(nameOf(key));
        if (process?.generation === generation) process.signal(effect.signal);
        return;
      }
      case "check":
        checkHealth(spec, { root: this.#options.root, signal: this.#stop.signal }).then(
          (checked) => this.#news(key, { kind: "checked", generation, ...checked }),
        );
        return;
      case "timer": {
        const { timer, ms } = effect;
        const name = `${nameOf(key)} ${timer}`;
        clearTimeout(this.#timers.get(name));
        this.#timers.set(
          name,
          setTimeout(() => {
            this.#timers.delete(name);
            this.#news(key, { kind: "timer", timer, generation });
          }, ms),
        );
        return;
      }
      case "stuck":
        this.#options.log(`service ${nameOf(key)}: its process does not end by KILL`);
    }
  }

  async #spawn(key: InstanceKey, spec: ServiceSpec, generation: number): Promise<void> {
    let process: ServiceProcess;
    try {
      process = await spawnService(spec, generation, {
        note: this.#notePath(key),
        log: this.logPath(key),
        root: this.#options.root,
        group: this.#options.group,
      });
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      return this.#news(key, { kind: "spawn_failed", generation, text });
    }
    this.#watch(key, process);
    this.#news(key, { kind: "spawned", generation, pid: process.pid });
  }

  #watch(key: InstanceKey, process: ServiceProcess): void {
    this.#processes.set(nameOf(key), process);
    const { generation } = process;
    process.ended.then((end) => {
      if (this.#processes.get(nameOf(key)) === process) this.#processes.delete(nameOf(key));
      this.#news(key, { kind: "exited", generation, ...end });
    });
  }

  #news(key: InstanceKey, event: InstanceEvent): void {
    this.#send({ kind: "instance", key, event });
  }

  #forget(key: InstanceKey): void {
    for (const name of this.#timers.keys()) {
      if (!name.startsWith(`${nameOf(key)} `)) continue;
      clearTimeout(this.#timers.get(name));
      this.#timers.delete(name);
    }
    Deno.remove(this.#notePath(key)).catch(() => {});
  }

  *#logs() {
    for (const [service, { spec, instances }] of this.#state.services) {
      for (let index = 0; index < instances.length; index++) {
        yield [this.logPath({ service, index }), spec.log] as const;
      }
    }
  }

  #tell(): void {
    const shown = new Map<string, string>();
    for (const view of this.views()) {
      const name = `${view.service}/${view.index}`;
      const state = `${view.state} ${view.generation} ${view.text ?? ""}`;
      shown.set(name, state);
      if (this.#shown.get(name) === state) continue;
      this.#options.log(`service ${name}: ${view.state}${view.text ? `, ${view.text}` : ""}`);
      this.#options.onChange?.(Object.freeze(view));
    }
    for (const name of this.#shown.keys()) {
      if (shown.has(name)) continue;
      this.#options.log(`service ${name}: gone`);
      const [service, index] = name.split("/");
      this.#options.onGone?.({ service, index: Number(index) });
    }
    this.#shown = shown;
  }
}

/** Without one (cgroup v1, a container) services end with the agent's unit and are started again. */
async function groupOf({ group, log }: ServiceRunnerOptions): Promise<string | undefined> {
  if (group === undefined) return undefined;
  try {
    await Deno.mkdir(group, { recursive: true });
    await Deno.stat(`${group}/cgroup.procs`);
    return group;
  } catch (error) {
    log(`services have no control group of their own: ${error}`);
    return undefined;
  }
}

function nameOf(key: InstanceKey): string {
  return `${key.service}/${key.index}`;
}

function now(): Now {
  return { monotonicMs: performance.now(), wall: new Date().toISOString() };
}
