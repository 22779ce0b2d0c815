/**
 * Records → a file beside its place, verified, then renamed over it: whoever reads the path sees the
 * old file or the whole new one, and a copy that broke off leaves the old one.
 */
import { createHash } from "../../src/base/hash.ts";
import { RumError } from "../../src/base/errors.ts";
import { type FileDigest, fileDigest, type WriteParams } from "../../src/protocol/agent.ts";
import { decodeZeros, KIND, type RecordReader } from "../../src/protocol/calls.ts";
import { parseJson } from "../../src/wire/json.ts";

/** Where a file's bytes come from: a call, or what stands before one. */
export type Records = Pick<RecordReader, "next">;

const ZEROS = new Uint8Array(64 * 1024);

/** A name that no other copy has, beside the place. */
export function temporaryName(): string {
  return `.rum-${crypto.randomUUID().slice(0, 12)}`;
}

export async function receiveFile(
  call: { readonly records: Records },
  params: WriteParams,
): Promise<FileDigest> {
  const slash = params.path.lastIndexOf("/");
  const temporary = `${params.path.slice(0, slash + 1)}${temporaryName()}`;
  try {
    const digest = await receiveInto(call, temporary);
    await dress(temporary, params);
    await Deno.rename(temporary, params.path);
    return digest;
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
}

export async function receiveInto(
  call: { readonly records: Records },
  path: string,
): Promise<FileDigest> {
  const hash = createHash("sha256");
  let at = 0;
  let hole = false;
  using file = await Deno.open(path, { write: true, createNew: true, mode: 0o600 });
  for (;;) {
    const record = await call.records.next();
    if (record === undefined) throw new RumError("protocol_error", "A file ended without its end");
    if (record.kind === KIND.data) {
      hash.update(record.payload);
      if (hole) await file.seek(at, Deno.SeekMode.Start);
      hole = false;
      for (let done = 0; done < record.payload.length;) {
        done += await file.write(record.payload.subarray(done));
      }
      at += record.payload.length;
    } else if (record.kind === KIND.zeros) {
      const count = decodeZeros(record.payload);
      hashZeros(hash, count);
      at += count;
      hole = true;
    } else if (record.kind === KIND.end) {
      if (hole) await file.truncate(at);
      await file.sync();
      const wanted = fileDigest(parseJson(record.payload, "A file's end"), "");
      const sha256 = hash.digest("hex");
      if (wanted.sha256 !== sha256 || wanted.bytes !== at) {
        throw new RumError(
          "protocol_error",
          `What arrived is not what was sent: found ${at} bytes, wanted ${wanted.bytes}` +
            (wanted.bytes === at ? "; the checksums differ" : ""),
        );
      }
      return { sha256, bytes: at };
    } else throw new RumError("protocol_error", `A record of kind ${record.kind} inside a file`);
  }
}

function hashZeros(hash: ReturnType<typeof createHash>, count: number): void {
  for (let left = count; left > 0; left -= ZEROS.length) {
    hash.update(left >= ZEROS.length ? ZEROS : ZEROS.subarray(0, left));
  }
}

/** Owner before mode: a change of owner takes setuid bits away. */
export async function dress(path: string, wanted: Omit<WriteParams, "path">): Promise<void> {
  if (wanted.uid !== undefined || wanted.gid !== undefined) {
    await Deno.chown(path, wanted.uid ?? null, wanted.gid ?? null);
  }
  await Deno.chmod(path, wanted.mode ?? 0o644);
  if (wanted.mtimeMs !== undefined) {
    const mtime = new Date(wanted.mtimeMs);
    await Deno.utime(path, mtime, mtime);
  }
}
