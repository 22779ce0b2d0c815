/**
 * A failure of a libvirt thread → the RumError that the user gets: rum's code by libvirt's, a
 * sentence with what was tried, libvirt's own words, and a remedy. `data` carries the raw numbers.
 */
import { ERR, FROM } from "../../ffi/constants.ts";
import { assertNever } from "../base/assert_never.ts";
import { type ErrorCode, RumError } from "../base/errors.ts";
import { CallFailed } from "./call_threads.ts";
import type { Failure } from "./messages.ts";

export interface FailureContext {
  /** `start machine "dev"` */
  readonly doing: string;
  readonly uri: string;
  /** What a failure of this call means when libvirt's code says no more. */
  readonly otherwise?: ErrorCode;
}

export const INSTALL_HINT = "rum doctor --fix";

export function describeFailure(thrown: unknown, context: FailureContext): unknown {
  if (!(thrown instanceof CallFailed)) return thrown;
  const { failure } = thrown;
  switch (failure.kind) {
    case "libvirt":
      return fromLibvirt(failure, context);
    case "library_missing":
      return new RumError(
        "library_missing",
        `Cannot ${context.doing}: ${failure.library} is not installed`,
        { hint: INSTALL_HINT, cause: new Error(failure.text), data: { library: failure.library } },
      );
    case "symbol_missing":
      return new RumError(
        "symbol_missing",
        `Cannot ${context.doing}: ${failure.library} is too old, it has no ${failure.symbol}`,
        {
          hint: "apt-get install --only-upgrade libvirt0",
          data: { library: failure.library, symbol: failure.symbol },
        },
      );
    case "refused": {
      const { code, message, hint, data } = failure;
      return new RumError(code, message, { hint, data });
    }
    case "defect":
      return new RumError("internal", `Cannot ${context.doing}: a libvirt thread broke`, {
        cause: new Error(failure.text),
      });
    default:
      return assertNever(failure);
  }
}

function fromLibvirt(
  failure: Extract<Failure, { kind: "libvirt" }>,
  { doing, uri, otherwise }: FailureContext,
): RumError {
  const code = codeOf(failure, otherwise);
  return new RumError(code, `Cannot ${doing}: ${failure.text}`, {
    hint: hintFor(code, uri),
    data: {
      uri,
      call: failure.call,
      libvirt_code: failure.code,
      libvirt_domain: failure.domain,
      libvirt_text: failure.text,
    },
  });
}

function codeOf(
  { code, call, domain }: { code: number; call: string; domain: number },
  otherwise: ErrorCode | undefined,
): ErrorCode {
  if (call === "virConnectOpen") return "hypervisor_unreachable";
  if (isConnectionLoss({ code, domain })) return "hypervisor_unreachable";
  switch (code) {
    case ERR.NO_DOMAIN:
      return "machine_not_found";
    case ERR.NO_SUPPORT:
    case ERR.CONFIG_UNSUPPORTED:
    case ERR.ARGUMENT_UNSUPPORTED:
    case ERR.OPERATION_UNSUPPORTED:
      return "not_supported";
    case ERR.OPERATION_DENIED:
    case ERR.AUTH_FAILED:
    case ERR.AUTH_CANCELLED:
    case ERR.AUTH_UNAVAILABLE:
    case ERR.ACCESS_DENIED:
      return "permission_denied";
    default:
      return otherwise ?? "hypervisor_error";
  }
}

/** The other end is gone; the object may well be fine. */
export function isConnectionLoss({ code, domain }: { code: number; domain: number }): boolean {
  return code === ERR.RPC || code === ERR.NO_CONNECT || code === ERR.INVALID_CONN ||
    (domain === FROM.RPC && (code === ERR.SYSTEM_ERROR || code === ERR.INTERNAL_ERROR));
}

function hintFor(code: ErrorCode, uri: string): string | undefined {
  switch (code) {
    case "hypervisor_unreachable":
    case "permission_denied":
      return uri.startsWith("qemu+") ? `virsh -c ${uri} uri` : "rum doctor";
    case "start_failed":
      return "rum log --source boot";
    case "machine_not_found":
      return "rum up";
    default:
      return undefined;
  }
}
