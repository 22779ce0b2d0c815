/**
 * A guest in which processes and time are values: carries out the supervisor's effects as the agent
 * would, keeps what happened as a trace, and complains when an effect makes no sense (a second
 * process for one instance, a signal to nobody, a second reply).
 */
import assert from "node:assert/strict";
import type { HealthPace, HealthSpec, ServiceSpec } from "../../../src/protocol/services.ts";
import {
  type InstanceKey,
  NO_SERVICES,
  type Reply,
  type Supervisor,
  type SupervisorEffect,
  type SupervisorEvent,
  type Verb,
} from "../../../src/services/draft.ts";
import { type InstanceEvent, isLive, type TimerName } from "../../../src/services/instance.ts";
import { stepSupervisor } from "../../../src/services/supervisor.ts";
import { viewInstances } from "../../../src/services/view.ts";

export function spec(name: string, over: Partial<ServiceSpec> = {}): ServiceSpec {
  return {
    name,
    command: ["/bin/true"],
    env: {},
    user: "root",
    instances: 1,
    after: [],
    restart: {
      policy: "on-failure",
      max: 5,
      withinMs: 60_000,
      minUptimeMs: 30_000,
      backoff: "exponential",
      firstMs: 1000,
      maxMs: 300_000,
    },
    health: { kind: "none" },
    shutdown: { signal: "TERM", timeoutMs: 10_000 },
    log: { maxBytes: 1024 * 1024, keep: 3 },
    ...over,
  };
}

export function tcpHealth(over: Partial<HealthPace> = {}): HealthSpec {
  const pace = { intervalMs: 1000, timeoutMs: 1000, unhealthy: 1, healthy: 1, ...over };
  return { kind: "tcp", port: 80, ...pace };
}

interface Process {
  readonly key: InstanceKey;
  readonly generation: number;
  readonly pid: number;
}

interface Timer {
  readonly at: number;
  readonly key: InstanceKey;
  readonly timer: TimerName;
  readonly generation: number;
}

export class World {
  state: Supervisor = NO_SERVICES;
  ms = 1000;
  readonly trace: string[] = [];
  readonly replies = new Map<number, Reply>();
  readonly processes = new Map<string, Process>();
  readonly asked = new Set<number>();
  /** What a process does at a signal: end, or not. */
  obeys: (name: string, signal: string) => boolean = () => true;
  spawns: (name: string) => boolean = () => true;
  /** A spawn is answered after so long; 0 = at once. */
  spawnMs = 0;
  healthy: (name: string) => boolean = () => true;
  #births: { at: number; key: InstanceKey; generation: number }[] = [];
  #timers = new Map<string, Timer>();
  #nextId = 1;
  #nextPid = 100;
  #queue: SupervisorEvent[] = [];

  request(verb: Verb, name: string): number {
    return this.#ask((id) => ({ kind: "request", id, verb, name }));
  }

  apply(...specs: readonly ServiceSpec[]): number {
    return this.#ask((id) => ({ kind: "apply", id, specs }));
  }

  shutdown(): number {
    return this.#ask((id) => ({ kind: "shutdown", id }));
  }

  /** The reply to a request that must have been answered by now. */
  answer(id: number): Reply {
    const reply = this.replies.get(id);
    assert.ok(reply, `request ${id} has no reply`);
    return reply;
  }

  code(id: number): string {
    const reply = this.answer(id);
    return reply.ok ? "ok" : reply.code;
  }

  /** `web/0 running`, one per instance. */
  states(): string[] {
    return viewInstances(this.state, this.now).map((v) => `${v.service}/${v.index} ${v.state}`);
  }

  get now() {
    return { monotonicMs: this.ms, wall: `t${this.ms}` };
  }

  /** A process ends by itself. */
  exit(service: string, index: number, end: { code?: number; signal?: string }): void {
    const process = this.process(service, index);
    assert.ok(process, `${service}/${index} has no process`);
    this.#gone(process, end);
  }

  process(service: string, index: number): Process | undefined {
    return this.processes.get(`${service}/${index}`);
  }

  /** News out of turn: whatever a late or lying source may say. */
  tell(key: InstanceKey, event: InstanceEvent): void {
    this.#send({ kind: "instance", key, event });
  }

  /** Lets time pass, timer by timer. */
  pass(ms: number): void {
    const until = this.ms + ms;
    for (;;) {
      const [birth] = this.#births;
      const next = [...this.#timers].filter(([, t]) => t.at <= until)
        .sort(([, a], [, b]) => a.at - b.at)[0];
      if (birth !== undefined && birth.at <= Math.min(until, next?.[1].at ?? Infinity)) {
        this.#births.shift();
        this.ms = Math.max(this.ms, birth.at);
        this.tell(birth.key, this.#born(birth.key, birth.generation));
        continue;
      }
      if (next === undefined) break;
      this.#timers.delete(next[0]);
      const { at, key, timer, generation } = next[1];
      this.ms = Math.max(this.ms, at);
      this.#send({ kind: "instance", key, event: { kind: "timer", timer, generation } });
    }
    this.ms = until;
  }

  #ask(make: (id: number) => SupervisorEvent): number {
    const id = this.#nextId++;
    this.asked.add(id);
    this.#send(make(id));
    return id;
  }

  #send(event: SupervisorEvent): void {
    this.#queue.push(event);
    if (this.#queue.length > 1) return;
    while (this.#queue.length > 0) {
      const [state, effects] = stepSupervisor(this.state, this.#queue[0], this.now);
      this.state = state;
      for (const effect of effects) this.#do(effect);
      this.#queue.shift();
    }
    this.#check();
  }

  #do(effect: SupervisorEffect): void {
    switch (effect.kind) {
      case "reply":
        assert.ok(this.asked.has(effect.id), `a reply to nobody: ${effect.id}`);
        assert.ok(!this.replies.has(effect.id), `a second reply to ${effect.id}`);
        assert.ok(effect.reply.message.length > 0);
        this.replies.set(effect.id, effect.reply);
        return;
      case "forget":
        assert.ok(!this.processes.has(name(effect.key)), `${name(effect.key)} forgotten alive`);
        this.trace.push(`forget ${name(effect.key)}`);
        // As the runner does: what a forgotten instance waited for is nobody's any more.
        for (const timer of this.#timers.keys()) {
          if (timer.startsWith(`${name(effect.key)} `)) this.#timers.delete(timer);
        }
        return;
      case "instance":
        return this.#doInstance(effect);
    }
  }

  #doInstance({ key, effect }: Extract<SupervisorEffect, { kind: "instance" }>): void {
    const id = name(key);
    const news = (event: InstanceEvent) => void this.#queue.push({ kind: "instance", key, event });
    const { generation } = effect;
    switch (effect.kind) {
      case "spawn": {
        assert.ok(!this.processes.has(id), `a second process for ${id}`);
        this.trace.push(`spawn ${id} #${generation}`);
        if (this.spawnMs > 0) {
          this.#births.push({ at: this.ms + this.spawnMs, key, generation });
          return;
        }
        if (!this.spawns(key.service)) {
          return news({ kind: "spawn_failed", generation, text: "no such file" });
        }
        return news(this.#born(key, generation));
      }
      case "signal": {
        this.trace.push(`${effect.signal} ${id} #${generation}`);
        const process = this.processes.get(id);
        assert.equal(process?.generation, generation, `${effect.signal} to nobody: ${id}`);
        if (this.obeys(key.service, effect.signal)) {
          this.processes.delete(id);
          news({ kind: "exited", generation, signal: effect.signal });
        }
        return;
      }
      case "check":
        return news({ kind: "checked", generation, ok: this.healthy(key.service), text: "probed" });
      case "timer":
        this.#timers.set(`${id} ${effect.timer}`, {
          ...{ at: this.ms + effect.ms, key, timer: effect.timer, generation },
        });
        return;
      case "stuck":
        this.trace.push(`stuck ${id}`);
    }
  }

  #born(key: InstanceKey, generation: number): InstanceEvent {
    const pid = this.#nextPid++;
    this.processes.set(name(key), { key, generation, pid });
    return { kind: "spawned", generation, pid };
  }

  #gone(process: Process, end: { code?: number; signal?: string }): void {
    this.processes.delete(name(process.key));
    const { key, generation } = process;
    this.#send({ kind: "instance", key, event: { kind: "exited", generation, ...end } });
  }

  /** What holds whenever nothing is under way. */
  #check(): void {
    const keys = new Set<string>();
    for (const view of viewInstances(this.state, this.now)) {
      const key = `${view.service}/${view.index}`;
      assert.ok(!keys.has(key), `${key} twice`);
      keys.add(key);
      const shown = ["starting", "running", "unhealthy"].includes(view.state);
      assert.equal(view.pid !== undefined, shown, `${key} is ${view.state} with pid ${view.pid}`);
      if (view.pid !== undefined) assert.equal(view.pid, this.processes.get(key)?.pid);
    }
    for (const [key, process] of this.processes) {
      const entry = this.state.services.get(process.key.service);
      assert.ok(entry, `${key} runs and is not defined`);
      const instance = entry.instances[process.key.index];
      assert.ok(instance !== undefined, `${key} runs and has no instance`);
      assert.equal(instance.generation, process.generation);
      if (isLive(instance)) {
        assert.ok(!entry.removing && process.key.index < entry.spec.instances, `${key} is extra`);
      } else assert.equal(instance.kind, "stopping", `${key} has a process while ${instance.kind}`);
    }
  }
}

function name(key: InstanceKey): string {
  return `${key.service}/${key.index}`;
}

/** A second after these services were asked for. */
export function running(...specs: readonly ServiceSpec[]): World {
  const world = new World();
  assert.equal(world.code(world.apply(...specs)), "ok");
  world.pass(1000);
  return world;
}
