/** file.stat, file.read, file.write: single files, whole or not at all. */
import { RumError } from "../../src/base/errors.ts";
import {
  type FileDigest,
  type FileMeta,
  pathParams,
  type WriteParams,
  writeParams,
} from "../../src/protocol/agent.ts";
import { accountOf } from "../accounts.ts";
import type { Call } from "../call.ts";
import { metaOf } from "../files/meta.ts";
import { receiveFile } from "../files/receive.ts";
import { sendFile } from "../files/send.ts";

export async function fileStat(call: Call): Promise<FileMeta> {
  const { path, followLinks } = call.params(pathParams);
  return await asRumError(`look at "${path}"`, () => metaOf(absolute(path), followLinks ?? true));
}

export async function fileRead(call: Call): Promise<FileDigest> {
  const { path } = call.params(pathParams);
  return await asRumError(`read "${path}"`, async () => {
    const meta = await metaOf(absolute(path), true);
    if (meta.type !== "file") {
      throw new RumError("invalid_params", `Cannot read "${path}" in the guest: it is no file`);
    }
    await call.event(meta);
    return await sendFile(call, path);
  });
}

export async function fileWrite(call: Call): Promise<FileDigest> {
  const params = await ownerByName(call.params(writeParams));
  return await asRumError(`write "${params.path}"`, async () => {
    const there = await Deno.stat(absolute(params.path)).catch(() => undefined);
    if (there === undefined) return await receiveFile(call, params);
    if (!there.isFile) {
      throw new RumError("invalid_params", `Cannot write "${params.path}" in the guest: no file`);
    }
    return await receiveFile(call, {
      ...ownerOver(there, params),
      // Whoever copies over a link to a file means the file.
      path: await Deno.realPath(params.path).catch(() => params.path),
      mode: params.mode ?? (there.mode ?? 0o644) & 0o7777,
      mtimeMs: params.mtimeMs,
    });
  });
}

/** Whose a file is that takes the place of another: whose that was, unless somebody was named. */
export function ownerOver(
  there: Deno.FileInfo,
  { uid, gid, ownerOfNew }: Pick<WriteParams, "uid" | "gid" | "ownerOfNew">,
): Pick<WriteParams, "uid" | "gid"> {
  const named = ownerOfNew !== true && (uid !== undefined || gid !== undefined);
  return named ? { uid, gid } : { uid: there.uid ?? undefined, gid: there.gid ?? undefined };
}

/** @throws {RumError} `invalid_params` when the guest has no such user */
export async function ownerByName(params: WriteParams): Promise<WriteParams> {
  if (params.user === undefined) return params;
  const account = await accountOf(params.user);
  if (account === undefined) {
    throw new RumError("invalid_params", `The guest has no user "${params.user}"`);
  }
  return { ...params, uid: account.uid, gid: account.gid };
}

export function absolute(path: string): string {
  if (path.startsWith("/")) return path;
  throw new RumError("invalid_params", `A path in the guest must be absolute, found "${path}"`);
}

/** What the kernel says of a path, as the codes that the host shows. */
export async function asRumError<T>(action: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const because = (what: string) => `Cannot ${action} in the guest: ${what}`;
    if (cause instanceof Deno.errors.NotFound) {
      throw new RumError("no_such_file", because("it does not exist"), { cause });
    }
    if (cause instanceof Deno.errors.NotADirectory) {
      throw new RumError("no_such_file", because("a part of its path is no folder"), { cause });
    }
    if (cause instanceof Error && /No space left|os error 28|ENOSPC/.test(cause.message)) {
      throw new RumError("disk_full", because("its disk is full"), { cause });
    }
    if (cause instanceof RumError || !(cause instanceof Error)) throw cause;
    throw new RumError("agent_error", because(cause.message), { cause });
  }
}
