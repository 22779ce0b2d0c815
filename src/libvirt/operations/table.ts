/** All operations that a call thread can do, and the types that both sides read off them. */
import type { Thread } from "./call.ts";
import { connectionOperations } from "./connection.ts";
import { deviceOperations } from "./device.ts";
import { eventOperations } from "./events.ts";
import { machineOperations } from "./machine.ts";
import { networkOperations } from "./network.ts";
import { statsOperations } from "./stats.ts";
import { streamOperations } from "./stream.ts";

export const OPERATIONS = {
  ...connectionOperations,
  ...machineOperations,
  ...deviceOperations,
  ...statsOperations,
  ...networkOperations,
  ...streamOperations,
  ...eventOperations,
};

export type Operations = typeof OPERATIONS;
export type OperationName = keyof Operations;
export type OperationArgs<N extends OperationName> = Parameters<Operations[N]>[1];
export type OperationResult<N extends OperationName> = ReturnType<Operations[N]>;

export type AnyOperation = (thread: Thread, args: never) => unknown;
