/**
 * What every operation stands on: a libvirt call that failed becomes an exception with the error of
 * this very thread, and every object that libvirt hands out is given back on every path. Runs only
 * on a call thread (`call_thread.ts`), blocking, so that no other call comes between a failure and
 * the reading of its reason.
 */
import { lastError, type LibvirtError } from "../../../ffi/errors.ts";
import type { Libraries, Libvirt } from "../../../ffi/library.ts";
import { type Address, type Pointer, pointerAt, takeCString } from "../../../ffi/memory.ts";

/** What an operation gets beside its own arguments. */
export interface Thread {
  readonly libraries: Libraries;
}

export function connection(address: Address): Pointer {
  return pointerAt(address);
}

/** The value of a call that says "failed" by -1. */
export function check(libvirt: Libvirt, call: string, result: number): number {
  if (result < 0) throw lastError(libvirt, call);
  return result;
}

/** The value of a call that says "failed" by NULL. */
export function checkPointer(libvirt: Libvirt, call: string, result: Pointer): Pointer {
  if (result === null) throw lastError(libvirt, call);
  return result;
}

/** A `char *` result that is ours to free. */
export function checkString(libvirt: Libvirt, call: string, result: Pointer): string {
  return takeCString(checkPointer(libvirt, call, result), libvirt.free);
}

/** Runs `use` with an object that is freed afterwards whatever happens. */
export function using<T>(object: Pointer, free: (object: Pointer) => number, use: () => T): T {
  try {
    return use();
  } finally {
    free(object);
  }
}

/** NULL with one expected code means "there is none"; any other failure is thrown. */
export function absentIf(
  libvirt: Libvirt,
  call: string,
  result: Pointer,
  isAbsent: (error: LibvirtError) => boolean,
): Pointer {
  if (result !== null) return result;
  const error = lastError(libvirt, call);
  if (isAbsent(error)) return null;
  throw error;
}
