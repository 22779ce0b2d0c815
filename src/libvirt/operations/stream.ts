/**
 * Byte streams out of a machine: console and channel (open for as long as someone holds them) and
 * the screenshot (finite, done in one go).
 *
 * Console and channel are non-blocking. A blocking receive would hold the stream's lock inside
 * libvirt (its file-descriptor streams do), so that nothing could be sent until the guest speaks.
 * Who would have to wait arms the stream's callback instead; it fires once, on the event thread.
 */
import { OPEN_FORCE, STREAM } from "../../../ffi/constants.ts";
import { lastError } from "../../../ffi/errors.ts";
import type { Libvirt } from "../../../ffi/library.ts";
import {
  type Address,
  addressOf,
  cString,
  type Pointer,
  pointerAt,
  takeCString,
} from "../../../ffi/memory.ts";
import { check, checkPointer, connection, type Thread } from "./call.ts";
import { wantActive } from "./machine.ts";
import { type OwnedArgs, withOwned } from "./owned.ts";

const CHUNK = 64 * 1024;

export interface StreamArgs {
  readonly stream: Address;
}

export interface OpenStreamArgs extends OwnedArgs {
  /** A channel's name, or the first console. */
  readonly channel?: string;
  /** Take it over from whoever holds it. */
  readonly force: boolean;
  /** The event thread's function, and what it is told to say. */
  readonly callback: Address;
  readonly key: number;
}

export const streamOperations = {
  streamOpen(thread: Thread, args: OpenStreamArgs): Address {
    return withOwned(thread, args, (domain, libvirt) => {
      wantActive(libvirt, domain, args);
      const stream = newStream(libvirt, args.connection, STREAM.NONBLOCK);
      try {
        const flags = args.force ? OPEN_FORCE : 0;
        if (args.channel === undefined) {
          const result = libvirt.virDomainOpenConsole(domain, null, stream, flags);
          check(libvirt, "virDomainOpenConsole", result);
        } else {
          const result = libvirt.virDomainOpenChannel(
            domain,
            cString(args.channel),
            stream,
            flags,
          );
          check(libvirt, "virDomainOpenChannel", result);
        }
        const result = libvirt.virStreamEventAddCallback(
          stream,
          0,
          pointerAt(args.callback),
          pointerAt(BigInt(args.key)),
          null,
        );
        check(libvirt, "virStreamEventAddCallback", result);
        return addressOf(stream);
      } catch (error) {
        discard(libvirt, stream);
        throw error;
      }
    });
  },

  /** Bytes, `wait` when there are none yet, `end` when there will be none. */
  streamReceive(
    { libraries: { libvirt } }: Thread,
    { stream }: StreamArgs,
  ): Uint8Array<ArrayBuffer> | "wait" | "end" {
    const buffer = new Uint8Array(CHUNK);
    const count = libvirt.virStreamRecv(pointerAt(stream), buffer, BigInt(CHUNK));
    if (count === STREAM.WOULD_BLOCK) return "wait";
    check(libvirt, "virStreamRecv", count);
    return count === 0 ? "end" : buffer.slice(0, count);
  },

  /** How many bytes were taken; 0 = wait. */
  streamSend(
    { libraries: { libvirt } }: Thread,
    { stream, bytes }: StreamArgs & { readonly bytes: Uint8Array<ArrayBuffer> },
  ): number {
    const count = libvirt.virStreamSend(pointerAt(stream), bytes, BigInt(bytes.length));
    if (count === STREAM.WOULD_BLOCK) return 0;
    return check(libvirt, "virStreamSend", count);
  },

  /** Asks for one callback when any of `events` is true. */
  streamArm(
    { libraries: { libvirt } }: Thread,
    { stream, events }: StreamArgs & { readonly events: number },
  ): void {
    const result = libvirt.virStreamEventUpdateCallback(pointerAt(stream), events);
    check(libvirt, "virStreamEventUpdateCallback", result);
  },

  streamClose({ libraries: { libvirt } }: Thread, { stream }: StreamArgs): void {
    if (libvirt.virStreamEventRemoveCallback(pointerAt(stream)) < 0) libvirt.virResetLastError();
    discard(libvirt, pointerAt(stream));
  },

  screenshot(
    thread: Thread,
    args: OwnedArgs & { readonly screen: number },
  ): { readonly mime: string; readonly bytes: Uint8Array<ArrayBuffer> } {
    return withOwned(thread, args, (domain, libvirt) => {
      wantActive(libvirt, domain, args);
      const stream = newStream(libvirt, args.connection, 0);
      try {
        const mime = checkPointer(
          libvirt,
          "virDomainScreenshot",
          libvirt.virDomainScreenshot(domain, stream, args.screen, 0),
        );
        const name = takeCString(mime, libvirt.free);
        const bytes = receiveAll(libvirt, stream);
        check(libvirt, "virStreamFinish", libvirt.virStreamFinish(stream));
        libvirt.virStreamFree(stream);
        return { mime: name, bytes };
      } catch (error) {
        discard(libvirt, stream);
        throw error;
      }
    });
  },
};

function newStream(libvirt: Libvirt, address: Address, flags: number): Pointer {
  const stream = libvirt.virStreamNew(connection(address), flags);
  return checkPointer(libvirt, "virStreamNew", stream);
}

/** Abort of a stream that never opened, or ended already, is refused; that is fine. */
function discard(libvirt: Libvirt, stream: Pointer): void {
  if (libvirt.virStreamAbort(stream) < 0) libvirt.virResetLastError();
  libvirt.virStreamFree(stream);
}

function receiveAll(libvirt: Libvirt, stream: Pointer): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  let total = 0;
  while (true) {
    const buffer = new Uint8Array(CHUNK);
    const count = libvirt.virStreamRecv(stream, buffer, BigInt(CHUNK));
    if (count < 0) throw lastError(libvirt, "virStreamRecv");
    if (count === 0) break;
    parts.push(buffer.subarray(0, count));
    total += count;
  }
  const all = new Uint8Array(total);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
