/**
 * The C shapes of the functions that libvirt calls. They are made and run on one thread only: the
 * one that runs libvirt's event loop. Nothing here is called from a foreign thread, because then
 * that thread would wait for ours.
 */
export const CALLBACKS = {
  /** void (*)(int timer, void *opaque) */
  timeout: { parameters: ["i32", "pointer"], result: "void" },
  /** int (*)(virConnectPtr, virDomainPtr, int event, int detail, void *opaque) */
  lifecycle: { parameters: ["pointer", "pointer", "i32", "i32", "pointer"], result: "i32" },
  /** void (*)(virConnectPtr, virDomainPtr, void *opaque) */
  generic: { parameters: ["pointer", "pointer", "pointer"], result: "void" },
  /** void (*)(virConnectPtr, virDomainPtr, int action, void *opaque) */
  watchdog: { parameters: ["pointer", "pointer", "i32", "pointer"], result: "void" },
  /** void (*)(virConnectPtr, virDomainPtr, char *srcPath, char *devAlias, int action, char *reason, void *opaque) */
  ioError: {
    parameters: ["pointer", "pointer", "pointer", "pointer", "i32", "pointer", "pointer"],
    result: "void",
  },
  /** void (*)(virConnectPtr, virDomainPtr, char *event, long long seconds, unsigned micros, char *details, void *opaque) */
  monitorEvent: {
    parameters: ["pointer", "pointer", "pointer", "i64", "u32", "pointer", "pointer"],
    result: "void",
  },
  /** void (*)(virStreamPtr, int events, void *opaque) */
  stream: { parameters: ["pointer", "i32", "pointer"], result: "void" },
} as const satisfies Record<string, Deno.UnsafeCallbackDefinition>;
