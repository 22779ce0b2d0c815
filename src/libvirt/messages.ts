/** What travels between the main thread and libvirt's threads. Structured clones, never objects. */
import type { ErrorCode } from "../base/errors.ts";
import type { LibraryNames } from "../../ffi/library.ts";
import type { CallbackAddresses } from "./operations/events.ts";
import type { OperationName } from "./operations/table.ts";

export type ToCallThread =
  | { readonly kind: "serve_calls"; readonly libraries: LibraryNames }
  | {
    readonly kind: "call";
    readonly id: number;
    readonly operation: OperationName;
    readonly args: unknown;
  };

export type FromCallThread =
  | { readonly kind: "done"; readonly id: number; readonly result: unknown }
  | { readonly kind: "failed"; readonly id: number; readonly failure: Failure };

/** A failure as data: whose it is decides what the main side makes of it. */
export type Failure =
  | {
    readonly kind: "libvirt";
    readonly call: string;
    readonly code: number;
    readonly domain: number;
    readonly text: string;
  }
  | { readonly kind: "library_missing"; readonly library: string; readonly text: string }
  | { readonly kind: "symbol_missing"; readonly library: string; readonly symbol: string }
  | {
    readonly kind: "refused";
    readonly code: ErrorCode;
    readonly message: string;
    readonly hint?: string;
    readonly data?: Readonly<Record<string, unknown>>;
  }
  | { readonly kind: "defect"; readonly text: string };

export interface ToEventThread {
  readonly kind: "run_event_loop";
  readonly libraries: LibraryNames;
  /** One Int32: not 0 = end the loop at the next wake-up. */
  readonly stop: SharedArrayBuffer;
}

export type FromEventThread =
  | { readonly kind: "ready"; readonly callbacks: CallbackAddresses; readonly wakeTimer: number }
  | { readonly kind: "failed"; readonly failure: Failure }
  | { readonly kind: "ended" }
  | RawEvent;

/** `key` says which connection or stream registered for it. */
export type RawEvent =
  | {
    readonly kind: "lifecycle";
    readonly key: number;
    readonly uuid: string;
    readonly event: number;
    readonly detail: number;
  }
  | { readonly kind: "reboot"; readonly key: number; readonly uuid: string }
  | {
    readonly kind: "watchdog";
    readonly key: number;
    readonly uuid: string;
    readonly action: number;
  }
  | {
    readonly kind: "io_error";
    readonly key: number;
    readonly uuid: string;
    readonly path: string;
    readonly device: string;
    readonly action: number;
    readonly reason: string;
  }
  | {
    readonly kind: "monitor";
    readonly key: number;
    readonly uuid: string;
    readonly event: string;
    readonly details: string;
  }
  | { readonly kind: "stream"; readonly key: number; readonly events: number };
