/**
 * Starts a libvirt thread. The one place that names its module: in a checkout it is the source beside
 * this file, in a build it stands beside the program (src/build/bundle.ts puts it there).
 */
import { BUILD } from "../base/version.ts";

export function startThread(kind: "call" | "event"): Worker {
  const module = BUILD.form === "source"
    ? new URL("./worker.ts", import.meta.url)
    : new URL("libvirt_worker.js", Deno.mainModule);
  return new Worker(module, { type: "module", name: `rum-libvirt-${kind}` });
}
