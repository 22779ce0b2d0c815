/** Whatever was thrown on one of libvirt's threads, as data that can be posted. */
import { LibvirtError } from "../../ffi/errors.ts";
import { LibraryMissing, SymbolMissing } from "../../ffi/library.ts";
import { RumError } from "../base/errors.ts";
import type { Failure } from "./messages.ts";

export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof LibvirtError) {
    const { call, code, domain, message: text } = thrown;
    return { kind: "libvirt", call, code, domain, text };
  }
  if (thrown instanceof LibraryMissing) {
    return { kind: "library_missing", library: thrown.library, text: thrown.message };
  }
  if (thrown instanceof SymbolMissing) {
    return { kind: "symbol_missing", library: thrown.library, symbol: thrown.symbol };
  }
  if (thrown instanceof RumError) {
    const { code, message, hint, data } = thrown;
    return { kind: "refused", code, message, hint, data };
  }
  return {
    kind: "defect",
    text: thrown instanceof Error ? thrown.stack ?? thrown.message : String(thrown),
  };
}
