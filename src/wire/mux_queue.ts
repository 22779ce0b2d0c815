/**
 * Received bytes of one stream that nobody read yet. What it takes care of is memory: a view into a
 * 64 KiB chunk must not keep that chunk alive for one byte, and a million frames of one byte must
 * not become a million objects. So small pieces are copied together.
 */
const SMALL = 4096;
const BLOCK = 16 * 1024;

export class ByteQueue {
  #blocks: Uint8Array[] = [];
  /** The last block when it is our own and has room: how much of it is used. */
  #tailFill: number | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#size += bytes.length;
    if (bytes.length >= SMALL) {
      this.#sealTail();
      const wasteful = bytes.buffer.byteLength > 4 * bytes.length;
      this.#blocks.push(wasteful ? bytes.slice() : bytes);
      return;
    }
    if (this.#tailFill !== undefined) {
      const tail = this.#blocks[this.#blocks.length - 1];
      if (this.#tailFill + bytes.length <= tail.length) {
        tail.set(bytes, this.#tailFill);
        this.#tailFill += bytes.length;
        return;
      }
      this.#sealTail();
    }
    if (this.#blocks.length === 0) {
      // Alone in the queue, and probably read at once: no block for it.
      this.#blocks.push(bytes.slice());
      return;
    }
    const block = new Uint8Array(BLOCK);
    block.set(bytes);
    this.#blocks.push(block);
    this.#tailFill = bytes.length;
  }

  /** The next piece, of at most `max` bytes; undefined when empty. */
  take(max: number): Uint8Array | undefined {
    this.#sealTail();
    const first = this.#blocks[0];
    if (first === undefined) return undefined;
    if (first.length <= max) {
      this.#blocks.shift();
      this.#size -= first.length;
      return first;
    }
    this.#blocks[0] = first.subarray(max);
    this.#size -= max;
    return first.subarray(0, max);
  }

  clear(): void {
    this.#blocks = [];
    this.#tailFill = undefined;
    this.#size = 0;
  }

  #sealTail(): void {
    if (this.#tailFill === undefined) return;
    const last = this.#blocks.length - 1;
    this.#blocks[last] = this.#blocks[last].subarray(0, this.#tailFill);
    this.#tailFill = undefined;
  }
}
