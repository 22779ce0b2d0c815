/**
 * The unsafe idioms, each once: strings in and out, out-parameters, arrays of pointers. Pointers
 * cross threads as bigint, because libvirt's objects may be used from any thread of the process
 * while Deno's pointer objects belong to one.
 */
export type Pointer = Deno.PointerValue;
export type Address = bigint;

const encoder = new TextEncoder();

/** A NUL-terminated copy. A NUL inside would cut the string short, so it is refused. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) {
    throw new TypeError(`Cannot pass ${JSON.stringify(text)} to C: holds NUL`);
  }
  return encoder.encode(text + "\0");
}

/** `const char *` that stays C's. */
export function readCString(pointer: Pointer): string {
  return pointer === null ? "" : Deno.UnsafePointerView.getCString(pointer);
}

/** `char *` that became ours: read, then given back. */
export function takeCString(pointer: Pointer, free: (pointer: Pointer) => void): string {
  if (pointer === null) return "";
  try {
    return Deno.UnsafePointerView.getCString(pointer);
  } finally {
    free(pointer);
  }
}

export function addressOf(pointer: Pointer): Address {
  return BigInt(Deno.UnsafePointer.value(pointer));
}

export function pointerAt(address: Address): Pointer {
  return Deno.UnsafePointer.create(address);
}

/** Room for one `T *`, to be filled by C. */
export class OutPointer {
  readonly buffer = new BigUint64Array(1);

  get bytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.buffer.buffer);
  }

  get value(): Pointer {
    return pointerAt(this.buffer[0]);
  }
}

/** Room for one `int`. */
export class OutInt {
  readonly buffer = new Int32Array(1);

  get bytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.buffer.buffer);
  }

  get value(): number {
    return this.buffer[0];
  }
}

/** `T *list[]`, NULL at the end. */
export function pointerArray(pointers: readonly Pointer[]): Uint8Array<ArrayBuffer> {
  const list = new BigUint64Array(pointers.length + 1);
  pointers.forEach((pointer, i) => list[i] = addressOf(pointer));
  return new Uint8Array(list.buffer);
}

/** The first `count` entries of a `T **` that C filled. */
export function readPointers(list: Pointer, count: number): Pointer[] {
  if (list === null) return [];
  const view = new Deno.UnsafePointerView(list);
  return Array.from({ length: count }, (_, i) => pointerAt(view.getBigUint64(i * 8)));
}

/** A 36-character UUID out of `char buf[37]`. */
export function uuidBuffer(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(37);
}

export function readUuid(buffer: Uint8Array): string {
  return new TextDecoder().decode(buffer.subarray(0, 36));
}
