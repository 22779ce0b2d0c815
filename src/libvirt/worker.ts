/**
 * The module of every libvirt thread; its first message says which kind it is. One file for both, so
 * that a build has one thing to include. Its module graph is kept tiny: each thread is an isolate of
 * its own.
 */
import { serveCalls } from "./call_thread.ts";
import { runEventLoop } from "./event_thread.ts";
import type { ToCallThread, ToEventThread } from "./messages.ts";

self.addEventListener("message", ({ data }: MessageEvent<ToCallThread | ToEventThread>) => {
  switch (data.kind) {
    case "serve_calls":
      return serveCalls(data.libraries);
    case "run_event_loop":
      return runEventLoop(data);
  }
}, { once: true });
