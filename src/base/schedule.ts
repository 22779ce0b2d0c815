/** Back-off schedules: pure, so that a policy can be printed and tested as a table. */
export interface BackOff {
  readonly kind: "fixed" | "linear" | "exponential";
  readonly firstMs: number;
  readonly maxMs: number;
}

/** Delay before attempt `n` (1 = the first retry). */
export function backOffMs(policy: BackOff, n: number): number {
  const factor = policy.kind === "fixed"
    ? 1
    : policy.kind === "linear"
    ? n
    : 2 ** Math.min(n - 1, 30);
  return Math.min(policy.firstMs * factor, policy.maxMs);
}
