/** Counters of one machine, as libvirt's typed parameters: `block.0.rd.bytes` → value. */
import {
  PARAM,
  PARAM_SIZE,
  PARAM_TYPE_AT,
  PARAM_VALUE_AT,
  STATS,
  STATS_NOWAIT,
} from "../../../ffi/constants.ts";
import { OutPointer, type Pointer, pointerArray, readCString } from "../../../ffi/memory.ts";
import { check, type Thread } from "./call.ts";
import { type OwnedArgs, withOwned } from "./owned.ts";

export type RawStats = Readonly<Record<string, number | string | boolean>>;

const WANTED = STATS.STATE | STATS.CPU_TOTAL | STATS.BALLOON | STATS.VCPU | STATS.INTERFACE |
  STATS.BLOCK;

export const statsOperations = {
  stats(thread: Thread, args: OwnedArgs): RawStats {
    return withOwned(thread, args, (domain, libvirt) => {
      const records = new OutPointer();
      const count = check(
        libvirt,
        "virDomainListGetStats",
        libvirt.virDomainListGetStats(pointerArray([domain]), WANTED, records.bytes, STATS_NOWAIT),
      );
      try {
        return count === 0 ? {} : readRecord(records.value);
      } finally {
        libvirt.virDomainStatsRecordListFree(records.value);
      }
    });
  },
};

/** struct _virDomainStatsRecord { virDomainPtr dom; virTypedParameterPtr params; int nparams; } */
function readRecord(records: Pointer): RawStats {
  const first = new Deno.UnsafePointerView(records!).getPointer(0);
  const record = new Deno.UnsafePointerView(first!);
  const params = record.getPointer(8);
  const count = record.getInt32(16);
  const stats: Record<string, number | string | boolean> = {};
  if (params === null) return stats;
  const view = new Deno.UnsafePointerView(params);
  for (let i = 0; i < count; i++) {
    const at = i * PARAM_SIZE;
    const value = readValue(view, at);
    if (value !== undefined) stats[view.getCString(at)] = value;
  }
  return stats;
}

/** Counters above 2^53 lose their last bits, which no reader of a counter sees. */
function readValue(
  view: Deno.UnsafePointerView,
  at: number,
): number | string | boolean | undefined {
  const value = at + PARAM_VALUE_AT;
  switch (view.getInt32(at + PARAM_TYPE_AT)) {
    case PARAM.INT:
      return view.getInt32(value);
    case PARAM.UINT:
      return view.getUint32(value);
    case PARAM.LLONG:
      return Number(view.getBigInt64(value));
    case PARAM.ULLONG:
      return Number(view.getBigUint64(value));
    case PARAM.DOUBLE:
      return view.getFloat64(value);
    case PARAM.BOOLEAN:
      return view.getInt8(value) !== 0;
    case PARAM.STRING:
      return readCString(view.getPointer(value));
    default:
      return undefined;
  }
}
