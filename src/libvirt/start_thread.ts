/**
 * Starts a libvirt thread. The one place that names its module: a build that bundles points this
 * name at the bundled file, and `deno compile` needs it as `--include`.
 */
export function startThread(kind: "call" | "event"): Worker {
  return new Worker(new URL("./worker.ts", import.meta.url), {
    type: "module",
    name: `rum-libvirt-${kind}`,
  });
}
