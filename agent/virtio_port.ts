/**
 * The guest end of the virtio-serial port, one carrier per host connection.
 *
 * Why raw calls: a port can be opened only once, and `Deno.FsFile` queues a write behind a read that
 * waits. So this drives the descriptor itself: non-blocking read and write on this thread, and a
 * `poll` on another when there is nothing to do.
 *
 * What the kernel's driver does, and this relies on (drivers/char/virtio_console.c):
 * - No host: `poll` reports POLLHUP at once, for ever, `read` gives 0, a blocking `write` waits until
 *   a host connects. So the first write of a carrier is a blocking one, on a thread: it costs no
 *   CPU while it waits and ends the moment a host is there. Nothing is read before that.
 * - A read gives at most one page, a write takes at most 32 KiB; both are called in a loop.
 * - What was written and not yet fetched is delivered to the next host; the mux skips it.
 */
import { RumError } from "../src/base/errors.ts";
import type { Duplex } from "../src/wire/duplex.ts";
import { cPath, errno, libc } from "../ffi/libc.ts";

const O_RDWR = 0o2;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const F_SETFL = 4;
const EFD_CLOEXEC = 0o2000000;
const POLLIN = 0x1;
const POLLOUT = 0x4;
const EINTR = 4;
const EAGAIN = 11;
const EBUSY = 16;

const READ_BYTES = 64 * 1024;
/** Reads in a row before other work gets a turn, when the host never pauses. */
const READS_PER_TURN = 4;

/** The descriptor, held for the life of the agent. */
export class VirtioPort implements Disposable {
  readonly #fd: number;
  #current: PortCarrier | undefined;

  /** @param fd an open descriptor, whose ownership passes here */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * @throws {RumError} `agent_error` when the port is not there or somebody else holds it
   */
  static open(path: string): VirtioPort {
    const fd = libc("open")(cPath(path), O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) {
      const code = errno();
      const why = code === EBUSY ? "another process holds it" : `errno ${code}`;
      throw new RumError("agent_error", `Opening the host's port "${path}" failed: ${why}`);
    }
    return new VirtioPort(fd);
  }

  /** The next host connection; what is written first waits for it. Ends the one before. */
  async connect(): Promise<Duplex> {
    this.#current?.abort();
    await this.#current?.settled;
    this.#current = new PortCarrier(this.#fd);
    return this.#current;
  }

  [Symbol.dispose](): void {
    this.#current?.abort();
    const fd = this.#fd;
    const close = () => libc("close")(fd);
    if (this.#current === undefined) close();
    else this.#current.settled.then(close);
  }
}

class PortCarrier implements Duplex {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly #fd: number;
  /** Made readable to end every poll; both polls watch it. */
  readonly #wakeFd: number;
  readonly #connected = Promise.withResolvers<void>();
  readonly #settled = Promise.withResolvers<void>();
  /** Calls on other threads that still use the descriptors. */
  #pending = 0;
  #first = true;
  #over = false;
  #reason: unknown;
  #source!: ReadableStreamDefaultController<Uint8Array>;
  #sink!: WritableStreamDefaultController;
  #readsInTurn = 0;
  /** For the next read, when the last one was small and copied out of it. */
  #spare: Uint8Array<ArrayBuffer> | undefined;

  constructor(fd: number) {
    this.#fd = fd;
    this.#wakeFd = libc("eventfd")(0, EFD_CLOEXEC);
    this.#connected.promise.catch(() => {});
    this.readable = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#source = controller;
      },
      pull: () => this.#pull(),
      cancel: (reason) => this.abort(reason),
    }, { highWaterMark: 0 });
    this.writable = new WritableStream<Uint8Array>({
      start: (controller) => {
        this.#sink = controller;
      },
      write: (chunk) => this.#write(chunk),
      close: () => this.abort(),
      abort: (reason) => this.abort(reason),
    });
  }

  /** Resolves once no thread uses the descriptor on this carrier's behalf. */
  get settled(): Promise<void> {
    return this.#settled.promise;
  }

  abort(reason: unknown = new Error("The port was closed on this side")): void {
    if (this.#over) return;
    this.#source.error(reason);
    this.#finish(reason);
  }

  /** The host is gone: what it sent has been read. */
  #hangUp(): void {
    if (this.#over) return;
    this.#source.close();
    this.#finish(new Error("The host left the port"));
  }

  #finish(reason: unknown): void {
    this.#over = true;
    this.#reason = reason;
    this.#sink.error(reason);
    this.#connected.reject(reason);
    libc("write")(this.#wakeFd, new Uint8Array(new BigUint64Array([1n]).buffer), 8n);
    this.#release();
  }

  #release(): void {
    if (!this.#over || this.#pending > 0) return;
    libc("close")(this.#wakeFd);
    this.#settled.resolve();
  }

  async #pull(): Promise<void> {
    try {
      await this.#connected.promise;
    } catch {
      return;
    }
    if (++this.#readsInTurn > READS_PER_TURN) await this.#poll(POLLIN, 0);
    while (!this.#over) {
      const chunk = this.#spare ?? new Uint8Array(READ_BYTES);
      this.#spare = undefined;
      let fill = 0;
      let last = 1;
      while (fill < chunk.length) {
        const room = chunk.subarray(fill);
        last = Number(libc("read")(this.#fd, room, BigInt(room.length)));
        if (last <= 0) break;
        fill += last;
      }
      const small = fill < READ_BYTES / 4;
      if (small) this.#spare = chunk;
      if (fill > 0) {
        this.#source.enqueue(small ? chunk.slice(0, fill) : chunk.subarray(0, fill));
        return;
      }
      const code = last < 0 ? errno() : 0;
      if (last === 0 || (code !== EAGAIN && code !== EINTR)) return this.#hangUp();
      await this.#poll(POLLIN, -1);
    }
  }

  async #write(chunk: Uint8Array): Promise<void> {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#over) throw this.#reason;
      if (this.#first) {
        rest = rest.subarray(await this.#firstWrite(rest));
        continue;
      }
      const taken = Number(
        libc("write")(this.#fd, rest as Uint8Array<ArrayBuffer>, BigInt(rest.length)),
      );
      if (taken > 0) {
        rest = rest.subarray(taken);
        continue;
      }
      const code = taken < 0 ? errno() : 0;
      if (code !== EAGAIN && code !== EINTR && taken < 0) this.#hangUp();
      // Without a host there is no room either: POLLHUP alone means that.
      else if (await this.#poll(POLLOUT, -1) === "hang-up") this.#hangUp();
    }
  }

  /** Blocks, on another thread, until a host is connected and took the bytes. */
  async #firstWrite(bytes: Uint8Array): Promise<number> {
    this.#first = false;
    libc("fcntl")(this.#fd, F_SETFL, O_RDWR);
    this.#pending++;
    try {
      const taken = Number(
        await libc("write_waiting")(
          this.#fd,
          bytes as Uint8Array<ArrayBuffer>,
          BigInt(bytes.length),
        ),
      );
      libc("fcntl")(this.#fd, F_SETFL, O_RDWR | O_NONBLOCK);
      if (taken <= 0) {
        this.#hangUp();
        throw this.#reason;
      }
      this.#connected.resolve();
      return taken;
    } finally {
      this.#pending--;
      this.#release();
    }
  }

  async #poll(events: number, timeoutMs: number): Promise<"ready" | "hang-up"> {
    this.#readsInTurn = 0;
    const fds = new Uint8Array(16);
    const view = new DataView(fds.buffer);
    view.setInt32(0, this.#fd, true);
    view.setInt16(4, events, true);
    view.setInt32(8, this.#wakeFd, true);
    view.setInt16(12, POLLIN, true);
    this.#pending++;
    try {
      await libc("poll_waiting")(fds, 2n, timeoutMs);
    } finally {
      this.#pending--;
      this.#release();
    }
    const seen = view.getInt16(6, true);
    return seen !== 0 && (seen & events) === 0 ? "hang-up" : "ready";
  }
}
