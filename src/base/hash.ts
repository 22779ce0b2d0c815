/**
 * node:crypto's hashes, loaded by the first one that is made. An import would load it at each start: 50 ms
 * on a host, in an emulated guest a second and a half of what stands between power and the agent's hello.
 */
import type { Hash } from "node:crypto";

export type { Hash };

export function createHash(algorithm: "sha256" | "sha512"): Hash {
  return process.getBuiltinModule("node:crypto").createHash(algorithm);
}
