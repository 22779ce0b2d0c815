/** time: sets the clock when it is off by more than half a second, as after a pause or a resume. */
import { RumError } from "../../src/base/errors.ts";
import { timeParams, type TimeResult } from "../../src/protocol/agent.ts";
import { errno, libc } from "../../ffi/libc.ts";
import type { Call } from "../call.ts";
import type { AgentContext } from "../context.ts";

const TOLERATED_MS = 500;
const CLOCK_REALTIME = 0;

export function time(call: Call, context: AgentContext): Promise<TimeResult> {
  const { nowMs } = call.params(timeParams);
  const offsetMs = nowMs - Date.now();
  if (Math.abs(offsetMs) <= TOLERATED_MS || context.options.dry) {
    return Promise.resolve({ offsetMs, set: false });
  }
  const spec = new BigInt64Array(2);
  spec[0] = BigInt(Math.floor(nowMs / 1000));
  spec[1] = BigInt(Math.floor((nowMs % 1000) * 1_000_000));
  if (libc("clock_settime")(CLOCK_REALTIME, new Uint8Array(spec.buffer)) !== 0) {
    throw new RumError("agent_error", `The guest's clock cannot be set (errno ${errno()})`);
  }
  context.log.write(`clock set, it was off by ${Math.round(offsetMs)} ms`);
  return Promise.resolve({ offsetMs, set: true });
}
