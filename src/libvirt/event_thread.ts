/**
 * The event thread: runs libvirt's default event loop, blocking, for as long as anyone is connected.
 * The functions that libvirt calls back are made here and called here, while `virEventRunDefaultImpl`
 * is on the stack, so no foreign thread ever waits for JavaScript. They copy what they were given
 * and post it; nothing else.
 *
 * Being blocked, it cannot be told anything by message. To end it, the main side sets `stop` and has
 * a call thread fire the wake-up timer.
 */
import { CALLBACKS } from "../../ffi/callbacks.ts";
import { lastError } from "../../ffi/errors.ts";
import { Libraries } from "../../ffi/library.ts";
import { addressOf, type Pointer, readCString, readUuid, uuidBuffer } from "../../ffi/memory.ts";
import { failureOf } from "./failure.ts";
import type { FromEventThread, ToEventThread } from "./messages.ts";

/** Runs until told to stop, then ends this worker. */
export function runEventLoop(order: ToEventThread): void {
  try {
    run(order);
    post({ kind: "ended" });
  } catch (thrown) {
    post({ kind: "failed", failure: failureOf(thrown) });
  }
  self.close();
}

function run({ libraries: names, stop }: ToEventThread): void {
  const { libvirt } = new Libraries(names);
  if (libvirt.virEventRegisterDefaultImpl() < 0) {
    throw lastError(libvirt, "virEventRegisterDefaultImpl");
  }
  const uuidOf = (domain: Pointer) => {
    const buffer = uuidBuffer();
    return libvirt.virDomainGetUUIDString(domain, buffer) === 0 ? readUuid(buffer) : "";
  };
  const keyOf = (opaque: Pointer) => Number(addressOf(opaque));

  using wake = callback(CALLBACKS.timeout, (timer) => libvirt.virEventUpdateTimeout(timer, -1));
  using lifecycle = callback(CALLBACKS.lifecycle, (_conn, domain, event, detail, opaque) => {
    post({ kind: "lifecycle", key: keyOf(opaque), uuid: uuidOf(domain), event, detail });
    return 0;
  });
  using reboot = callback(CALLBACKS.generic, (_conn, domain, opaque) => {
    post({ kind: "reboot", key: keyOf(opaque), uuid: uuidOf(domain) });
  });
  using watchdog = callback(CALLBACKS.watchdog, (_conn, domain, action, opaque) => {
    post({ kind: "watchdog", key: keyOf(opaque), uuid: uuidOf(domain), action });
  });
  using ioError = callback(
    CALLBACKS.ioError,
    (_conn, domain, path, device, action, reason, opaque) => {
      post({
        kind: "io_error",
        key: keyOf(opaque),
        uuid: uuidOf(domain),
        path: readCString(path),
        device: readCString(device),
        action,
        reason: readCString(reason),
      });
    },
  );
  using monitorEvent = callback(
    CALLBACKS.monitorEvent,
    (_conn, domain, event, _seconds, _micros, details, opaque) => {
      post({
        kind: "monitor",
        key: keyOf(opaque),
        uuid: uuidOf(domain),
        event: readCString(event),
        details: readCString(details),
      });
    },
  );
  // Fires once: whoever still waits arms it again (operations/stream.ts).
  using stream = callback(CALLBACKS.stream, (pointer, events, opaque) => {
    libvirt.virStreamEventUpdateCallback(pointer, 0);
    post({ kind: "stream", key: keyOf(opaque), events });
  });

  const wakeTimer = libvirt.virEventAddTimeout(-1, wake.pointer, null, null);
  if (wakeTimer < 0) throw lastError(libvirt, "virEventAddTimeout");
  post({
    kind: "ready",
    wakeTimer,
    callbacks: {
      lifecycle: addressOf(lifecycle.pointer),
      reboot: addressOf(reboot.pointer),
      watchdog: addressOf(watchdog.pointer),
      ioError: addressOf(ioError.pointer),
      monitorEvent: addressOf(monitorEvent.pointer),
      stream: addressOf(stream.pointer),
    },
  });
  const flag = new Int32Array(stop);
  while (Atomics.load(flag, 0) === 0) {
    if (libvirt.virEventRunDefaultImpl() < 0) throw lastError(libvirt, "virEventRunDefaultImpl");
  }
  libvirt.virEventRemoveTimeout(wakeTimer);
}

/** A function for libvirt to call, given back when the loop is over. */
function callback<const T extends Deno.UnsafeCallbackDefinition>(
  definition: T,
  body: Deno.UnsafeCallbackFunction<T["parameters"], T["result"]>,
): Disposable & { readonly pointer: Deno.PointerObject } {
  const made = new Deno.UnsafeCallback(definition, body as never);
  return {
    pointer: made.pointer as Deno.PointerObject,
    [Symbol.dispose]: () => made.close(),
  };
}

function post(message: FromEventThread): void {
  self.postMessage(message);
}
