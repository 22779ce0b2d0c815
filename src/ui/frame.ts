/** A view → the lines of a frame: pure, so that what a person sees is a snapshot in the tests. */
import { formatDuration } from "../base/units.ts";
import { printableLine } from "../base/printable.ts";
import type { Milestone, UpView } from "./up_view.ts";

export interface FrameOptions {
  readonly columns: number;
  readonly colour: boolean;
  /** Milliseconds since the view began; moves the spinner and the running step's time. */
  readonly nowMs: number;
  /** The last one: what has not ended by now is not seen to its end here. */
  readonly last?: boolean;
}

const SPINNER = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const SPIN_MS = 100;
/** A frame higher than the terminal cannot be redrawn in place; `rum events` has all of them. */
const NOTES_SHOWN = 8;

export function frameOf(view: UpView, options: FrameOptions): string[] {
  const paint = (code: number, text: string) =>
    options.colour ? `\x1b[${code}m${text}\x1b[0m` : text;
  const fit = (text: string) => fitLine(text, options.columns);
  const lines: string[] = [];
  view.milestones.forEach((milestone, index) => {
    const mark = markOf(milestone, options);
    const colour = milestone.outcome === "failed" ? 31 : milestone.outcome === "done" ? 32 : 36;
    const time = formatDuration((milestone.endedMs ?? options.nowMs) - milestone.startedMs);
    const progress = milestone.progress === undefined ? "" : `  ${milestone.progress}`;
    const text = fit(`   ${index + 1}. ${milestone.title}  ${time}${progress}`);
    lines.push(` ${paint(colour, mark)}${text.slice(2)}`);
  });
  if (view.script !== undefined && view.tail.length > 0) {
    lines.push(paint(2, fit(`      ${view.script}:`)));
    for (const line of view.tail) lines.push(paint(2, fit(`      │ ${printableLine(line)}`)));
  }
  const earlier = view.notes.length - NOTES_SHOWN;
  if (earlier > 0) lines.push(fit(`   • ${earlier} more before (rum events)`));
  for (const note of view.notes.slice(-NOTES_SHOWN)) lines.push(fit(`   • ${printableLine(note)}`));
  return lines;
}

function markOf(milestone: Milestone, { nowMs, last }: FrameOptions): string {
  switch (milestone.outcome) {
    case "done":
      return "✓";
    case "failed":
      return "✗";
    case "going":
      return last ? "–" : SPINNER[Math.floor(nowMs / SPIN_MS) % SPINNER.length];
  }
}

/** Cut to the terminal's width: a line that wraps would break the redraw. */
function fitLine(text: string, columns: number): string {
  const characters = [...text];
  if (characters.length < columns) return text;
  return characters.slice(0, Math.max(1, columns - 2)).join("") + "…";
}
