/** Why a program did not start, as the error that the host shows. */
import { RumError } from "../../src/base/errors.ts";

export function spawnFailed(program: string, cause: unknown): RumError {
  const code = cause instanceof Deno.errors.NotFound ? 127 : 126;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new RumError("exec_failed", `Cannot run "${program}" in the guest: ${reason}`, {
    cause,
    data: { code },
  });
}
