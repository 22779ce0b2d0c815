/** Options that are whole numbers. */
import { RumError } from "../base/errors.ts";

/** Undefined when the option was not given. @throws {RumError} `usage` */
export function wholeOption(flag: string, value: unknown, max: number): number | undefined {
  if (value === undefined) return undefined;
  const number = typeof value === "string" && /^\d+$/.test(value) ? Number(value) : NaN;
  if (number <= max) return number;
  throw new RumError("usage", `Cannot read ${flag} "${value}": wanted a number from 0 to ${max}`);
}

const DEFAULT_LINES = 100;

/** Of `-n`: as given, else 100. @throws {RumError} `usage` */
export function lineCount(value: unknown): number {
  return wholeOption("--lines", value, 10_000) ?? DEFAULT_LINES;
}
