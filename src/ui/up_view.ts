/**
 * What a person sees while a machine comes up: events in, a list of milestones out. Pure; the
 * terminal's owner (`interactive.ts`) turns the view into a frame and the frame into bytes.
 *
 * A milestone is a step that takes time on every machine, in the order in which they come. It ends
 * when the next one begins, and it fails with the phase.
 */
import type { EventCause, MachineEvent } from "../protocol/machine_events.ts";

export interface Milestone {
  readonly title: string;
  /** Milliseconds since the view began. */
  readonly startedMs: number;
  readonly endedMs?: number;
  readonly outcome: "going" | "done" | "failed";
  /** What is known of how far it is: `42 of 416 MiB`. */
  readonly progress?: string;
}

export interface UpView {
  readonly milestones: readonly Milestone[];
  /** The last lines of the script that runs now. */
  readonly tail: readonly string[];
  readonly script?: string;
  readonly notes: readonly string[];
  readonly cause?: EventCause;
  /** Nothing more is to come of this start. */
  readonly settled: boolean;
}

export const EMPTY_VIEW: UpView = Object.freeze({
  milestones: Object.freeze([]),
  tail: Object.freeze([]),
  notes: Object.freeze([]),
  settled: false,
});

const TAIL_LINES = 5;

/** Title of the step that a phase and its stage stand for; undefined when it is none. */
function titleOf(phase: string, stage: string | undefined): string | undefined {
  switch (phase) {
    case "preparing":
      return "Prepare image and disks";
    case "starting":
      switch (stage) {
        case "greeting":
          return "Boot until the agent answers";
        case "settling":
          return "Reboot";
        case "backing_off":
          return "Wait before starting again";
        default:
          return "Start the machine";
      }
    case "provisioning":
      return stage === "readying" ? "Wait until ready" : "Provision";
    case "stopping":
      return stage === "wiping" ? "Remove the half-made machine" : "Stop the machine";
    case "destroying":
      return "Delete the machine";
    default:
      return undefined;
  }
}

export function applyEvent(view: UpView, event: MachineEvent, atMs: number): UpView {
  switch (event.kind) {
    case "phase":
      return onPhase(view, event, atMs);
    case "progress":
      return withLast(view, (last) => ({ ...last, progress: event.text }));
    case "script":
      if (event.state === "started") return { ...view, script: event.script, tail: [] };
      if (event.state === "failed") return { ...view, script: event.script };
      return { ...view, script: undefined, tail: [] };
    case "line":
      return { ...view, tail: [...view.tail, event.text].slice(-TAIL_LINES) };
    case "changes":
      return {
        ...view,
        notes: [
          ...view.notes,
          ...event.applied.map((text) => `applied: ${text}`),
          ...event.needs.map((text) => `not applied: ${text}`),
        ],
      };
    case "warning":
      return { ...view, notes: [...view.notes, event.text] };
    case "forward":
      if (event.state !== "listening") return view;
      return {
        ...view,
        notes: [...view.notes, `${event.bind}:${event.host} → guest port ${event.guest}`],
      };
    default:
      return view;
  }
}

function onPhase(
  view: UpView,
  event: Extract<MachineEvent, { kind: "phase" }>,
  atMs: number,
): UpView {
  const failed = event.phase === "failed";
  const title = titleOf(event.phase, event.stage);
  const last = view.milestones.at(-1);
  if (title !== undefined && last?.title === title && last.outcome === "going") return view;
  const ended = withLast(view, (m) =>
    m.outcome !== "going" ? m : {
      ...m,
      endedMs: atMs,
      outcome: failed ? "failed" : "done",
      progress: undefined,
    });
  if (title === undefined) {
    return {
      ...ended,
      settled: true,
      ...(event.cause === undefined ? {} : { cause: event.cause }),
      ...(failed ? {} : { tail: [], script: undefined }),
    };
  }
  return {
    ...ended,
    settled: false,
    milestones: [...ended.milestones, { title, startedMs: atMs, outcome: "going" }],
  };
}

function withLast(view: UpView, change: (last: Milestone) => Milestone): UpView {
  const last = view.milestones.at(-1);
  if (last === undefined) return view;
  return { ...view, milestones: [...view.milestones.slice(0, -1), change(last)] };
}
