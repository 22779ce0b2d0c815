/** One thing that reads bytes of others, and the loop that feeds it. */
import { type Random, seeded } from "../support/seeded.ts";

export interface Target {
  readonly name: string;
  /** One input, made and checked. Returns the input, so that a failure can show it. @throws when broken */
  readonly once: (random: Random, show: (input: Uint8Array) => void) => Promise<void> | void;
}

export interface Found {
  readonly case: number;
  readonly input: Uint8Array;
  readonly thrown: unknown;
}

/** No input may keep a parser longer than this; the largest is some hundred KiB. */
const CASE_MS = 20_000;

/** Each case has a seed of its own, so that one can be repeated alone: `--seed S --case N`. */
export async function fuzz(
  target: Target,
  options: {
    readonly seed: number;
    readonly until: (cases: number) => boolean;
    readonly from?: number;
  },
): Promise<{ readonly cases: number; readonly found?: Found }> {
  const from = options.from ?? 0;
  let cases = 0;
  for (; !options.until(cases); cases++) {
    let input = new Uint8Array();
    const loose: unknown[] = [];
    const onLoose = (event: PromiseRejectionEvent) => {
      event.preventDefault();
      loose.push(event.reason);
    };
    globalThis.addEventListener("unhandledrejection", onLoose);
    const begun = performance.now();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`It took longer than ${CASE_MS} ms`)), CASE_MS);
    });
    try {
      const random = seeded(Math.imul(options.seed, 0x9e3779b1) ^ (from + cases));
      await Promise.race([
        late,
        target.once(random, (bytes) => {
          input = new Uint8Array(bytes);
        }),
      ]);
      if (loose.length > 0) throw loose[0];
      const took = performance.now() - begun;
      if (took > CASE_MS) throw new Error(`It took ${Math.round(took)} ms`);
    } catch (thrown) {
      return { cases, found: { case: from + cases, input, thrown } };
    } finally {
      clearTimeout(timer);
      globalThis.removeEventListener("unhandledrejection", onLoose);
    }
  }
  return { cases };
}
