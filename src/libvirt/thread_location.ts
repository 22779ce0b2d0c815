/**
 * Where libvirt's two kinds of threads are loaded from. The one place that names them, so that a
 * build which bundles them can put its own files here; `deno compile` needs both as `--include`.
 */
export const THREAD_MODULES = {
  call: new URL("./call_worker.ts", import.meta.url),
  event: new URL("./event_worker.ts", import.meta.url),
} as const;

export function startThread(kind: keyof typeof THREAD_MODULES): Worker {
  return new Worker(THREAD_MODULES[kind], { type: "module", name: `rum-libvirt-${kind}` });
}
