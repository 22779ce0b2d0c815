/**
 * libvirt's last error as a value. It is kept per thread, so it must be read on the thread that made
 * the failing call, before the next call; that is why every call runs blocking inside a worker.
 */
import type { Libvirt } from "./library.ts";
import { readCString } from "./memory.ts";

/** struct _virError { int code; int domain; char *message; virErrorLevel level; … } */
const OFFSET = { code: 0, domain: 4, message: 8 } as const;

/** A refusal by libvirt: its code, the part of it that spoke, its text. */
export class LibvirtError extends Error {
  override readonly name = "LibvirtError";
  constructor(
    readonly call: string,
    readonly code: number,
    readonly domain: number,
    text: string,
  ) {
    super(text);
  }
}

/** The error that this thread's last call left, as something to throw. */
export function lastError(libvirt: Libvirt, call: string): LibvirtError {
  const pointer = libvirt.virGetLastError();
  if (pointer === null) {
    return new LibvirtError(call, 0, 0, `${call} failed and libvirt gave no reason`);
  }
  const view = new Deno.UnsafePointerView(pointer);
  const error = new LibvirtError(
    call,
    view.getInt32(OFFSET.code),
    view.getInt32(OFFSET.domain),
    readCString(view.getPointer(OFFSET.message)),
  );
  libvirt.virResetLastError();
  return error;
}
