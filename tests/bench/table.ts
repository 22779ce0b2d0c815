/** Pairs → one table: medians, spread, and the ratio, which is what a busy host leaves standing. */
export interface Row {
  readonly id: string;
  readonly what: string;
  readonly peer: string;
  readonly unit: "ms" | "MiB/s" | "MiB" | "ms/s";
  readonly pairs: readonly { readonly ours: number; readonly peer: number }[];
  /** Where the time went, each a median, from the beginning. */
  readonly phases?: Readonly<Record<string, number>>;
}

export interface Summary extends Row {
  readonly ours: number;
  readonly theirs: number;
  readonly ratio: number;
  /** Smallest and largest ratio of a pair. */
  readonly spread: readonly [number, number];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function summary(row: Row): Summary {
  const ratios = row.pairs.map(({ ours, peer }) => ours / peer);
  return {
    ...row,
    ours: median(row.pairs.map(({ ours }) => ours)),
    theirs: median(row.pairs.map(({ peer }) => peer)),
    ratio: median(ratios),
    spread: [Math.min(...ratios), Math.max(...ratios)],
  };
}

/** Markdown; a ratio is ours ÷ peer in the same pair, the median of all pairs. */
export function table(rows: readonly Summary[]): string {
  const lines = [
    "| what | rum | peer | | ratio | pairs, min–max |",
    "|---|---|---|---|---|---|",
  ];
  for (const row of rows) {
    const values = `${shown(row.ours)} ${row.unit} | ${shown(row.theirs)} ${row.unit}`;
    const [low, high] = row.spread.map((ratio) => ratio.toFixed(2));
    lines.push(
      `| ${row.what} | ${values} | ${row.peer} | **${row.ratio.toFixed(2)}** | ` +
        `${row.pairs.length}, ${low}–${high} |`,
    );
  }
  for (const { what, phases } of rows) {
    if (phases === undefined) continue;
    const parts = Object.entries(phases).map(([name, ms]) => `${name} ${shown(ms)} ms`);
    lines.push("", `${what}: ${parts.join(", ")}.`);
  }
  return lines.join("\n");
}

function shown(value: number): string {
  return value >= 100 ? String(Math.round(value)) : value.toPrecision(2);
}
