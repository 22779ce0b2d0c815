/** A file's bytes as records: data, or runs of zeros for holes, hashed on the way. */
import { createHash } from "../../src/base/hash.ts";
import type { FileDigest } from "../../src/protocol/agent.ts";
import { KIND } from "../../src/protocol/calls.ts";
import { zeroRuns } from "../../src/protocol/zeros.ts";
import type { Call } from "../call.ts";

const CHUNK = 64 * 1024;

export async function sendFile(call: Call, path: string): Promise<FileDigest> {
  const hash = createHash("sha256");
  let bytes = 0;
  let zeros = 0;
  using file = await Deno.open(path);
  const buffer = new Uint8Array(CHUNK);
  for (;;) {
    const filled = await file.read(buffer);
    if (filled === null) break;
    const chunk = buffer.subarray(0, filled);
    hash.update(chunk);
    bytes += filled;
    for (const run of zeroRuns(chunk)) {
      if (run.zeros) {
        zeros += run.bytes.length;
        continue;
      }
      if (zeros > 0) await call.zeros(zeros);
      zeros = 0;
      await call.bytes(KIND.data, run.bytes);
    }
  }
  if (zeros > 0) await call.zeros(zeros);
  return { sha256: hash.digest("hex"), bytes };
}
