/**
 * JSON from a peer that may be hostile: size is bounded by the frame it came in, nesting here,
 * before the parser sees it (16 MB of `[[[[` would block it for seconds).
 */
import { RumError } from "../base/errors.ts";
import { nestsDeeperThan } from "./depth.ts";

export const MAX_NESTING = 64;

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** @throws {RumError} `protocol_error` that names `what` */
export function parseJson(bytes: Uint8Array, what: string): unknown {
  if (nestsDeeperThan(bytes, MAX_NESTING)) {
    throw new RumError("protocol_error", `${what} nests deeper than ${MAX_NESTING} levels`);
  }
  try {
    return JSON.parse(utf8.decode(bytes));
  } catch (cause) {
    throw new RumError("protocol_error", `${what} is not JSON in UTF-8`, { cause });
  }
}
