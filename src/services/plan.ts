/**
 * What a new set of specs means for the instances that are there: pure, an ordered list of actions.
 * Removals and scaling down come first, the highest index first, so that at no time more runs than
 * the new set allows (INV-D004, INV-D006); then restarts; starts come last, in the order of `after`.
 */
import type { ServiceSpec } from "../protocol/services.ts";

export type ServiceAction =
  | {
    readonly kind: "stop";
    readonly service: string;
    readonly index: number;
    readonly why: "removed" | "scaled_down";
  }
  /** The process has to know what changed; one that had given up gets another chance. */
  | { readonly kind: "restart"; readonly service: string; readonly index: number }
  /** Only the supervisor has to know: policy, health, log limits, order. */
  | { readonly kind: "update"; readonly service: string; readonly fields: readonly string[] }
  | { readonly kind: "start"; readonly service: string; readonly index: number };

/** A service as it is now. */
export interface PresentService {
  readonly spec: ServiceSpec;
  /** Instances that exist, running or not: 0 … count − 1. */
  readonly count: number;
  /** False after a `stop`: then nothing of it starts, neither for a new command nor new instances. */
  readonly wanted: boolean;
}

const PROCESS_FIELDS = ["command", "cwd", "env", "user"] as const;
const OTHER_FIELDS = ["restart", "health", "shutdown", "log", "after"] as const;

export function planServices(
  wanted: readonly ServiceSpec[],
  present: ReadonlyMap<string, PresentService>,
): ServiceAction[] {
  const actions: ServiceAction[] = [];
  const names = new Set(wanted.map((spec) => spec.name));
  for (const [service, { count }] of present) {
    if (names.has(service)) continue;
    for (let index = count - 1; index >= 0; index--) {
      actions.push({ kind: "stop", service, index, why: "removed" });
    }
  }
  for (const spec of wanted) {
    const count = present.get(spec.name)?.count ?? 0;
    for (let index = count - 1; index >= spec.instances; index--) {
      actions.push({ kind: "stop", service: spec.name, index, why: "scaled_down" });
    }
  }
  for (const spec of startOrder(wanted)) {
    const now = present.get(spec.name);
    if (now === undefined) continue;
    const renewed = PROCESS_FIELDS.some((field) => differs(spec[field], now.spec[field]));
    for (let index = 0; renewed && now.wanted && index < now.count; index++) {
      if (index < spec.instances) actions.push({ kind: "restart", service: spec.name, index });
    }
    const fields = OTHER_FIELDS.filter((field) => differs(spec[field], now.spec[field]));
    if (fields.length > 0) actions.push({ kind: "update", service: spec.name, fields });
  }
  for (const spec of startOrder(wanted)) {
    const now = present.get(spec.name);
    if (now !== undefined && !now.wanted) continue;
    for (let index = now?.count ?? 0; index < spec.instances; index++) {
      actions.push({ kind: "start", service: spec.name, index });
    }
  }
  return actions;
}

/**
 * Each service after those that it names; otherwise as given. Names that do not exist, and circles
 * (the config refuses both), hold nobody back.
 */
export function startOrder(specs: readonly ServiceSpec[]): ServiceSpec[] {
  const byName = new Map(specs.map((spec) => [spec.name, spec]));
  const ordered: ServiceSpec[] = [];
  const seen = new Set<string>();
  // A stack of our own: a chain of `after` may be as long as the list.
  for (const root of specs) {
    const stack: { spec: ServiceSpec; next: number }[] = [];
    const enter = (spec: ServiceSpec) => {
      if (seen.has(spec.name)) return;
      seen.add(spec.name);
      stack.push({ spec, next: 0 });
    };
    enter(root);
    while (stack.length > 0) {
      const top = stack[stack.length - 1];
      if (top.next < top.spec.after.length) {
        const before = byName.get(top.spec.after[top.next++]);
        if (before !== undefined) enter(before);
      } else {
        ordered.push(top.spec);
        stack.pop();
      }
    }
  }
  return ordered;
}

function differs(a: unknown, b: unknown): boolean {
  return canonical(a) !== canonical(b);
}

/** JSON with sorted keys: the order of an env table means nothing. */
function canonical(value: unknown): string {
  return JSON.stringify(
    value,
    (_key, each) =>
      typeof each === "object" && each !== null && !Array.isArray(each)
        ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => a < b ? -1 : 1))
        : each,
  ) ?? "";
}
