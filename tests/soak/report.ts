/** The end of a soak: a table for people, and whether it passed. */
import { median } from "../bench/table.ts";
import type { Tally } from "./tally.ts";
import type { Measured, Sample } from "./watch.ts";

/** More than this, over the idle points of one life, is growth. */
const GROWTH = 1.1;
/** Fewer idle points than this in the calm half say nothing about growth. */
export const JUDGED_FROM = 8;

/**
 * `calm` are the idle points of one daemon and one agent that lived on while the work did, the first of
 * their life left out: a runtime fills its caches before it is level.
 */
export function report(tally: Tally, storm: readonly Sample[], calm: readonly Sample[]): string[] {
  const lines = ["", "| work | done | expected errors | other errors |", "|---|---|---|---|"];
  for (const [work, { done, expected, unexpected }] of tally.rows) {
    const names = [...expected].map(([code, count]) => `${count} ${code}`).join(", ");
    lines.push(`| ${work} | ${done} | ${names === "" ? "0" : names} | ${unexpected} |`);
  }
  const times = tally.healedMs.toSorted((a, b) => a - b);
  const seconds = (ms: number | undefined) => ms === undefined ? "-" : (ms / 1000).toFixed(1);
  lines.push(
    "",
    `${[...tally.disturbances].map(([how, count]) => `${how} ${count}`).join(", ")} disturbed; ` +
      `ready again after ${seconds(times[times.length >> 1])} s (median), ` +
      `${seconds(times.at(-1))} s (longest)`,
    `the agent was given up as silent ${tally.silences} times on a crowded host`,
    `${(tally.bytes / 2 ** 20).toFixed(0)} MiB checked byte by byte; ` +
      `${storm.length + calm.length} idle points`,
    "",
    `| of one life (${calm.length} idle points), by its trend | at first | at last |`,
    "|---|---|---|",
  );
  for (const who of ["daemon", "agent"] as const) {
    for (const [what, unit] of Object.entries(UNITS)) {
      const [first, last] = ends(calm.map((sample) => sample[who][what as keyof Measured]));
      const shown = (n: number) =>
        unit === "MiB" ? `${(n / 1024).toFixed(1)} MiB` : String(Math.round(n));
      lines.push(`| ${who}, ${NAMES[what as keyof Measured]} | ${shown(first)} | ${shown(last)} |`);
    }
  }
  return lines;
}

/** What else than told faults makes the soak fail. */
export function judge(tally: Tally, calm: readonly Sample[]): void {
  if (calm.length < JUDGED_FROM) {
    console.log(
      `growth is not judged: ${calm.length} idle points of one life, ${JUDGED_FROM} wanted`,
    );
    return;
  }
  for (const who of ["daemon", "agent"] as const) {
    if (new Set(calm.map((sample) => sample[`${who}Pid`])).size !== 1) {
      tally.fault(`the ${who} was replaced though nothing killed it`);
      continue;
    }
    for (const what of ["anon", "fds", "threads"] as const) {
      const values = calm.map((sample) => sample[who][what]);
      const [first, last] = ends(values);
      // Counts come in steps: a thread for libvirt's calls has six descriptors, and comes and goes.
      const level = what === "anon" ? first : Math.max(...values.slice(0, values.length >> 1));
      if (last > level * GROWTH) {
        tally.fault(`${who}: ${NAMES[what]} grew from ${level.toFixed(0)} to ${last.toFixed(0)}`);
      }
    }
  }
}

const UNITS = { anon: "MiB", resident: "MiB", fds: "", threads: "" } as const;
const NAMES: Readonly<Record<keyof Measured, string>> = {
  anon: "private memory",
  resident: "resident memory",
  fds: "open descriptors",
  threads: "threads",
};

/**
 * Where the trend of the values begins and ends. A single look at a heap is a tenth too high or too low,
 * as the collector's timing is not ours; the median of the slopes between all pairs cares little.
 */
function ends(values: readonly number[]): [number, number] {
  const slopes = values.flatMap((from, i) =>
    values.slice(i + 1).map((to, j) => (to - from) / (j + 1))
  );
  const slope = median(slopes);
  const first = median(values.map((value, i) => value - slope * i));
  return [first, first + slope * (values.length - 1)];
}
