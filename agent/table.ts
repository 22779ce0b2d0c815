/** Every method of the agent by name: the whole of what a host can ask. */
import { dial } from "./methods/dial.ts";
import { exec } from "./methods/exec.ts";
import { hello } from "./methods/hello.ts";
import { listeners } from "./methods/listeners.ts";
import { logs } from "./methods/logs.ts";
import { provision } from "./methods/provision.ts";
import { shutdown } from "./methods/shutdown.ts";
import { resize, signal } from "./methods/signal.ts";
import { stats } from "./methods/stats.ts";
import { time } from "./methods/time.ts";
import type { MethodTable } from "./serve.ts";

export const METHODS: MethodTable = {
  hello,
  exec,
  signal,
  resize,
  provision,
  dial,
  listeners,
  logs,
  shutdown,
  stats,
  time,
};
