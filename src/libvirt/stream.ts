/**
 * A libvirt stream as a Duplex. Receiving and sending are non-blocking calls; whoever would have to
 * wait arms the stream's callback for its direction. The callback fires once and disarms both, so
 * what is still wanted is armed again.
 *
 * All calls on one stream run one after the other: two armings on two threads could pass each other
 * and lose a direction, and the stream must not be given back while a call is inside it.
 *
 * libvirt's streams know no half-close: closing `writable` only means that nothing more is sent. The
 * stream is given back when the guest's side ends, on cancel, and on abort.
 */
import { STREAM } from "../../ffi/constants.ts";
import type { Address } from "../../ffi/memory.ts";
import { RumError } from "../base/errors.ts";
import type { Duplex } from "../wire/duplex.ts";
import type { RawEvent } from "./messages.ts";

/** Asks a call thread; the errors are RumErrors already. */
export interface StreamCalls {
  receive(stream: Address): Promise<Uint8Array<ArrayBuffer> | "wait" | "end">;
  send(stream: Address, bytes: Uint8Array<ArrayBuffer>): Promise<number>;
  arm(stream: Address, events: number): Promise<void>;
  close(stream: Address): Promise<void>;
}

const SEND_AT_MOST = 64 * 1024;

type Direction = "readable" | "writable";
const EVENT_OF = { readable: STREAM.READABLE, writable: STREAM.WRITABLE } as const;

export class LibvirtStream implements Duplex {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly #address: Address;
  readonly #calls: StreamCalls;
  readonly #onClosed: () => void;
  readonly #waiting: Partial<Record<Direction, PromiseWithResolvers<void>>> = {};
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;
  #stuck = false;
  #readController!: ReadableStreamDefaultController<Uint8Array>;
  #writeController!: WritableStreamDefaultController;

  constructor(address: Address, calls: StreamCalls, onClosed: () => void) {
    this.#address = address;
    this.#calls = calls;
    this.#onClosed = onClosed;
    this.readable = new ReadableStream<Uint8Array>({
      start: (controller) => void (this.#readController = controller),
      pull: (controller) => this.#pull(controller),
      cancel: () => this.#close(),
    }, { highWaterMark: 0 });
    this.writable = new WritableStream<Uint8Array>({
      start: (controller) => void (this.#writeController = controller),
      write: (chunk) => this.#write(chunk),
      abort: () => this.#close(),
    });
  }

  abort(reason: unknown = new Error("The stream was aborted")): void {
    if (this.#closed) return;
    this.#fail(reason);
  }

  /** From the event thread: what became true. */
  handle(event: Extract<RawEvent, { kind: "stream" }>): void {
    const both = (event.events & (STREAM.ERROR | STREAM.HANGUP)) !== 0;
    for (const direction of ["readable", "writable"] as const) {
      if (both || (event.events & EVENT_OF[direction]) !== 0) this.#wake(direction);
    }
    if (Object.keys(this.#waiting).length > 0) this.#arm();
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    try {
      while (!this.#closed) {
        const got = await this.#inTurn(() =>
          this.#closed ? Promise.resolve("end" as const) : this.#calls.receive(this.#address)
        );
        if (this.#closed) return;
        if (got === "wait") {
          await this.#wait("readable");
          continue;
        }
        if (got !== "end") return controller.enqueue(got);
        controller.close();
        await this.#close();
        return;
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  async #write(chunk: Uint8Array): Promise<void> {
    let rest = chunk.slice();
    while (rest.length > 0) {
      if (this.#closed) throw new Error("The machine's end of the stream is closed");
      const part = rest.subarray(0, SEND_AT_MOST);
      const sent = await this.#inTurn(() =>
        this.#closed ? Promise.resolve(0) : this.#calls.send(this.#address, part)
      );
      if (sent === 0 && !this.#closed) await this.#wait("writable");
      rest = rest.subarray(sent);
    }
  }

  #wait(direction: Direction): Promise<void> {
    const waiting = Promise.withResolvers<void>();
    this.#waiting[direction] = waiting;
    this.#arm();
    return waiting.promise;
  }

  #wake(direction: Direction): void {
    const waiting = this.#waiting[direction];
    delete this.#waiting[direction];
    waiting?.resolve();
  }

  #arm(): void {
    const arming = this.#inTurn(async () => {
      let events = 0;
      for (const direction of ["readable", "writable"] as const) {
        if (this.#waiting[direction] !== undefined) events |= EVENT_OF[direction];
      }
      if (events === 0 || this.#closed) return;
      await this.#calls.arm(this.#address, events);
    });
    arming.catch((error) => this.#fail(error));
  }

  #inTurn<T>(call: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(call);
    this.#last = mine.catch((error) => {
      if (error instanceof RumError && error.code === "hypervisor_stuck") this.#stuck = true;
    });
    return mine;
  }

  #fail(reason: unknown): void {
    if (this.#closed) return;
    const closed = this.#close();
    this.#readController.error(reason);
    this.#writeController.error(reason);
    closed.catch(() => {});
  }

  /** Gives the stream back, after any arming under way; idempotent. */
  async #close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#wake("readable");
    this.#wake("writable");
    try {
      await this.#inTurn(async () => {
        // A call that never came back still uses the stream: better kept than freed under it.
        if (!this.#stuck) await this.#calls.close(this.#address);
      });
    } catch {
      // The connection is gone, and the stream with it.
    } finally {
      this.#onClosed();
    }
  }
}
