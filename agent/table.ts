/** Every method of the agent by name: the whole of what a host can ask. */
import { apply } from "./methods/apply.ts";
import { dial } from "./methods/dial.ts";
import { dialUdp } from "./methods/dial_udp.ts";
import { exec } from "./methods/exec.ts";
import { fileRead, fileStat, fileWrite } from "./methods/files.ts";
import { folderApply, folderOpen, folderTouch } from "./methods/folder.ts";
import { hello } from "./methods/hello.ts";
import { listeners } from "./methods/listeners.ts";
import { logs } from "./methods/logs.ts";
import { provision } from "./methods/provision.ts";
import {
  serviceApply,
  serviceList,
  serviceLogs,
  serviceRequest,
  serviceShutdown,
  serviceWatch,
} from "./methods/service.ts";
import { shutdown } from "./methods/shutdown.ts";
import { resize, signal } from "./methods/signal.ts";
import { stats } from "./methods/stats.ts";
import { time } from "./methods/time.ts";
import { treeRead, treeWrite } from "./methods/tree.ts";
import { upgrade } from "./methods/upgrade.ts";
import type { MethodTable } from "./serve.ts";

export const METHODS: MethodTable = {
  hello,
  apply,
  exec,
  signal,
  resize,
  provision,
  dial,
  dial_udp: dialUdp,
  listeners,
  logs,
  shutdown,
  stats,
  time,
  upgrade,
  "file.stat": fileStat,
  "file.read": fileRead,
  "file.write": fileWrite,
  "tree.read": treeRead,
  "tree.write": treeWrite,
  "folder.open": folderOpen,
  "folder.apply": folderApply,
  "folder.touch": folderTouch,
  "service.apply": serviceApply,
  "service.request": serviceRequest,
  "service.list": serviceList,
  "service.shutdown": serviceShutdown,
  "service.watch": serviceWatch,
  "service.logs": serviceLogs,
};
