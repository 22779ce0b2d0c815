/** A row of numbers as a small picture in text. Pure. */

const BARS = " ▁▂▃▄▅▆▇█";

/** One character a column, the newest on the right; more values than columns are averaged. */
export function sparkline(values: readonly number[], columns: number, top: number): string {
  const cells = resample(values, columns);
  return cells.map((value) => {
    const share = top <= 0 ? 0 : Math.min(1, Math.max(0, value / top));
    // Something is never drawn as nothing.
    return BARS[value <= 0 ? 0 : Math.max(1, Math.round(share * (BARS.length - 1)))];
  }).join("");
}

/** `label  chart  now, at most`: aligned by whoever gives the width of the label. */
export function chartLine(
  label: string,
  values: readonly number[],
  options: {
    readonly columns: number;
    readonly top?: number;
    readonly show: (value: number) => string;
  },
): string {
  const highest = values.length === 0 ? 0 : Math.max(...values);
  const top = options.top ?? highest;
  const now = values.at(-1);
  const chart = sparkline(values, options.columns, Math.max(top, highest));
  return `${label} │${chart.padStart(options.columns)}│ ${
    now === undefined ? "not counted" : `${options.show(now)}, at most ${options.show(highest)}`
  }`;
}

function resample(values: readonly number[], columns: number): number[] {
  if (values.length <= columns) return [...values];
  return Array.from({ length: columns }, (_, i) => {
    const from = Math.floor(i * values.length / columns);
    const to = Math.max(from + 1, Math.floor((i + 1) * values.length / columns));
    const part = values.slice(from, to);
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
}
