/**
 * libvirt's header as data: each function that rum calls, with the C declaration beside each
 * parameter. Nothing is opened here; `library.ts` does that on first use.
 *
 * Every entry is optional at load time, so that an old library fails in the one call it lacks
 * ("symbol missing", with the name) and not as a whole ("library missing").
 *
 * `free` belongs to libc; the dynamic linker finds it through libvirt's own dependencies, so the
 * strings that libvirt hands over are given back to the allocator they came from.
 */
export const LIBVIRT = {
  virInitialize: { parameters: [], result: "i32" },
  virGetVersion: {
    parameters: [
      "buffer", // unsigned long *libVer
      "pointer", // const char *type
      "pointer", // unsigned long *typeVer
    ],
    result: "i32",
  },
  free: { parameters: ["pointer" /* void *ptr */], result: "void" },

  // Errors: per thread, so only the thread that made the call can read them.
  virGetLastError: { parameters: [], result: "pointer" },
  virResetLastError: { parameters: [], result: "void" },
  virSetErrorFunc: {
    parameters: [
      "pointer", // void *userData
      "pointer", // virErrorFunc handler
    ],
    result: "void",
  },

  // The default event loop.
  virEventRegisterDefaultImpl: { parameters: [], result: "i32" },
  virEventRunDefaultImpl: { parameters: [], result: "i32" },
  virEventAddTimeout: {
    parameters: [
      "i32", // int frequency
      "function", // virEventTimeoutCallback cb
      "pointer", // void *opaque
      "pointer", // virFreeCallback ff
    ],
    result: "i32",
  },
  virEventUpdateTimeout: {
    parameters: ["i32", /* int timer */ "i32" /* int frequency */],
    result: "void",
  },
  virEventRemoveTimeout: { parameters: ["i32" /* int timer */], result: "i32" },

  // Private to libvirt: see src/libvirt/module_age.ts.
  virUpdateSelfLastChanged: { parameters: ["buffer" /* const char *path */], result: "void" },

  // Connections.
  virConnectOpen: { parameters: ["buffer" /* const char *name */], result: "pointer" },
  virConnectClose: { parameters: ["pointer" /* virConnectPtr conn */], result: "i32" },
  virConnectIsAlive: { parameters: ["pointer" /* virConnectPtr conn */], result: "i32" },
  virConnectSetKeepAlive: {
    parameters: [
      "pointer", // virConnectPtr conn
      "i32", // int interval
      "u32", // unsigned int count
    ],
    result: "i32",
  },
  virConnectGetVersion: {
    parameters: ["pointer", /* virConnectPtr conn */ "buffer" /* unsigned long *hvVer */],
    result: "i32",
  },
  virConnectGetCapabilities: {
    parameters: ["pointer" /* virConnectPtr conn */],
    result: "pointer", // char *, ours to free
  },
  virConnectGetDomainCapabilities: {
    parameters: [
      "pointer", // virConnectPtr conn
      "buffer", // const char *emulatorbin
      "buffer", // const char *arch
      "buffer", // const char *machine
      "buffer", // const char *virttype
      "u32", // unsigned int flags
    ],
    result: "pointer", // char *, ours to free
  },
  virConnectListAllDomains: {
    parameters: [
      "pointer", // virConnectPtr conn
      "buffer", // virDomainPtr **domains
      "u32", // unsigned int flags
    ],
    result: "i32",
  },

  // Domains.
  virDomainLookupByName: {
    parameters: ["pointer", /* virConnectPtr conn */ "buffer" /* const char *name */],
    result: "pointer",
  },
  virDomainLookupByUUIDString: {
    parameters: ["pointer", /* virConnectPtr conn */ "buffer" /* const char *uuid */],
    result: "pointer",
  },
  virDomainDefineXMLFlags: {
    parameters: [
      "pointer", // virConnectPtr conn
      "buffer", // const char *xml
      "u32", // unsigned int flags
    ],
    result: "pointer",
  },
  virDomainFree: { parameters: ["pointer" /* virDomainPtr domain */], result: "i32" },
  virDomainGetName: { parameters: ["pointer" /* virDomainPtr domain */], result: "pointer" },
  virDomainGetUUIDString: {
    parameters: ["pointer", /* virDomainPtr domain */ "buffer" /* char *buf, 37 bytes */],
    result: "i32",
  },
  virDomainGetState: {
    parameters: [
      "pointer", // virDomainPtr domain
      "buffer", // int *state
      "buffer", // int *reason
      "u32", // unsigned int flags
    ],
    result: "i32",
  },
  virDomainGetXMLDesc: {
    parameters: ["pointer", /* virDomainPtr domain */ "u32" /* unsigned int flags */],
    result: "pointer", // char *, ours to free
  },
  virDomainGetMetadata: {
    parameters: [
      "pointer", // virDomainPtr domain
      "i32", // int type
      "buffer", // const char *uri
      "u32", // unsigned int flags
    ],
    result: "pointer", // char *, ours to free
  },
  virDomainCreateWithFlags: {
    parameters: ["pointer", /* virDomainPtr domain */ "u32" /* unsigned int flags */],
    result: "i32",
  },
  virDomainShutdownFlags: {
    parameters: ["pointer", /* virDomainPtr domain */ "u32" /* unsigned int flags */],
    result: "i32",
  },
  virDomainDestroyFlags: {
    parameters: ["pointer", /* virDomainPtr domain */ "u32" /* unsigned int flags */],
    result: "i32",
  },
  virDomainUndefineFlags: {
    parameters: ["pointer", /* virDomainPtr domain */ "u32" /* unsigned int flags */],
    result: "i32",
  },
  virDomainSuspend: { parameters: ["pointer" /* virDomainPtr domain */], result: "i32" },
  virDomainResume: { parameters: ["pointer" /* virDomainPtr domain */], result: "i32" },
  virDomainReboot: {
    parameters: ["pointer", /* virDomainPtr domain */ "u32" /* unsigned int flags */],
    result: "i32",
  },
  virDomainReset: {
    parameters: ["pointer", /* virDomainPtr domain */ "u32" /* unsigned int flags */],
    result: "i32",
  },
  virDomainRename: {
    parameters: [
      "pointer", // virDomainPtr dom
      "buffer", // const char *new_name
      "u32", // unsigned int flags
    ],
    result: "i32",
  },
  virDomainMemoryStats: {
    parameters: [
      "pointer", // virDomainPtr dom
      "buffer", // virDomainMemoryStatPtr stats
      "u32", // unsigned int nr_stats
      "u32", // unsigned int flags
    ],
    result: "i32",
  },
  virDomainSetMemoryFlags: {
    parameters: [
      "pointer", // virDomainPtr domain
      "usize", // unsigned long memory, KiB
      "u32", // unsigned int flags
    ],
    result: "i32",
  },
  virDomainAttachDeviceFlags: {
    parameters: [
      "pointer", // virDomainPtr domain
      "buffer", // const char *xml
      "u32", // unsigned int flags
    ],
    result: "i32",
  },
  virDomainDetachDeviceFlags: {
    parameters: [
      "pointer", // virDomainPtr domain
      "buffer", // const char *xml
      "u32", // unsigned int flags
    ],
    result: "i32",
  },
  virDomainUpdateDeviceFlags: {
    parameters: [
      "pointer", // virDomainPtr domain
      "buffer", // const char *xml
      "u32", // unsigned int flags
    ],
    result: "i32",
  },
  virDomainBlockResize: {
    parameters: [
      "pointer", // virDomainPtr dom
      "buffer", // const char *disk
      "u64", // unsigned long long size
      "u32", // unsigned int flags
    ],
    result: "i32",
  },
  virDomainSendKey: {
    parameters: [
      "pointer", // virDomainPtr domain
      "u32", // unsigned int codeset
      "u32", // unsigned int holdtime
      "buffer", // unsigned int *keycodes
      "i32", // int nkeycodes
      "u32", // unsigned int flags
    ],
    result: "i32",
  },
  virDomainScreenshot: {
    parameters: [
      "pointer", // virDomainPtr domain
      "pointer", // virStreamPtr stream
      "u32", // unsigned int screen
      "u32", // unsigned int flags
    ],
    result: "pointer", // char *mime, ours to free
  },
  virDomainOpenConsole: {
    parameters: [
      "pointer", // virDomainPtr dom
      "pointer", // const char *dev_name
      "pointer", // virStreamPtr st
      "u32", // unsigned int flags
    ],
    result: "i32",
  },
  virDomainOpenChannel: {
    parameters: [
      "pointer", // virDomainPtr dom
      "buffer", // const char *name
      "pointer", // virStreamPtr st
      "u32", // unsigned int flags
    ],
    result: "i32",
  },
  virDomainListGetStats: {
    parameters: [
      "buffer", // virDomainPtr *doms, NULL-terminated
      "u32", // unsigned int stats
      "buffer", // virDomainStatsRecordPtr **retStats
      "u32", // unsigned int flags
    ],
    result: "i32",
  },
  virDomainStatsRecordListFree: {
    parameters: ["pointer" /* virDomainStatsRecordPtr *stats */],
    result: "void",
  },

  // Events.
  virConnectDomainEventRegisterAny: {
    parameters: [
      "pointer", // virConnectPtr conn
      "pointer", // virDomainPtr dom
      "i32", // int eventID
      "pointer", // virConnectDomainEventGenericCallback cb
      "pointer", // void *opaque
      "pointer", // virFreeCallback freecb
    ],
    result: "i32",
  },
  virConnectDomainEventDeregisterAny: {
    parameters: ["pointer", /* virConnectPtr conn */ "i32" /* int callbackID */],
    result: "i32",
  },

  // Streams.
  virStreamNew: {
    parameters: ["pointer", /* virConnectPtr conn */ "u32" /* unsigned int flags */],
    result: "pointer",
  },
  virStreamRecv: {
    parameters: [
      "pointer", // virStreamPtr st
      "buffer", // char *data
      "usize", // size_t nbytes
    ],
    result: "i32",
  },
  virStreamSend: {
    parameters: [
      "pointer", // virStreamPtr st
      "buffer", // const char *data
      "usize", // size_t nbytes
    ],
    result: "i32",
  },
  virStreamFinish: { parameters: ["pointer" /* virStreamPtr st */], result: "i32" },
  virStreamAbort: { parameters: ["pointer" /* virStreamPtr st */], result: "i32" },
  virStreamFree: { parameters: ["pointer" /* virStreamPtr st */], result: "i32" },
  virStreamEventAddCallback: {
    parameters: [
      "pointer", // virStreamPtr stream
      "i32", // int events
      "pointer", // virStreamEventCallback cb
      "pointer", // void *opaque
      "pointer", // virFreeCallback ff
    ],
    result: "i32",
  },
  virStreamEventUpdateCallback: {
    parameters: ["pointer", /* virStreamPtr stream */ "i32" /* int events */],
    result: "i32",
  },
  virStreamEventRemoveCallback: {
    parameters: ["pointer" /* virStreamPtr stream */],
    result: "i32",
  },

  // Networks.
  virNetworkLookupByName: {
    parameters: ["pointer", /* virConnectPtr conn */ "buffer" /* const char *name */],
    result: "pointer",
  },
  virNetworkLookupByUUIDString: {
    parameters: ["pointer", /* virConnectPtr conn */ "buffer" /* const char *uuid */],
    result: "pointer",
  },
  virNetworkDefineXML: {
    parameters: ["pointer", /* virConnectPtr conn */ "buffer" /* const char *xmlDesc */],
    result: "pointer",
  },
  virNetworkCreate: { parameters: ["pointer" /* virNetworkPtr network */], result: "i32" },
  virNetworkDestroy: { parameters: ["pointer" /* virNetworkPtr network */], result: "i32" },
  virNetworkUndefine: { parameters: ["pointer" /* virNetworkPtr network */], result: "i32" },
  virNetworkIsActive: { parameters: ["pointer" /* virNetworkPtr net */], result: "i32" },
  virNetworkGetUUIDString: {
    parameters: ["pointer", /* virNetworkPtr network */ "buffer" /* char *buf, 37 bytes */],
    result: "i32",
  },
  virNetworkFree: { parameters: ["pointer" /* virNetworkPtr network */], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The QEMU driver's own calls: a library of its own, opened only when one of them is used. */
export const LIBVIRT_QEMU = {
  virDomainQemuMonitorCommand: {
    parameters: [
      "pointer", // virDomainPtr domain
      "buffer", // const char *cmd
      "buffer", // char **result
      "u32", // unsigned int flags
    ],
    result: "i32",
  },
  virConnectDomainQemuMonitorEventRegister: {
    parameters: [
      "pointer", // virConnectPtr conn
      "pointer", // virDomainPtr dom
      "buffer", // const char *event
      "pointer", // virConnectDomainQemuMonitorEventCallback cb
      "pointer", // void *opaque
      "pointer", // virFreeCallback freecb
      "u32", // unsigned int flags
    ],
    result: "i32",
  },
  virConnectDomainQemuMonitorEventDeregister: {
    parameters: ["pointer", /* virConnectPtr conn */ "i32" /* int callbackID */],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

/**
 * Addresses of C functions that are handed to C, never called from here.
 *
 * `virFreeError(NULL)` does nothing, and its first argument sits where an error handler gets its
 * `userData`. Installed as the handler with NULL userData it keeps libvirt from printing each error
 * to stderr, from any thread, without a callback into JavaScript (which would make a foreign thread
 * wait for ours).
 */
export const LIBVIRT_ADDRESSES = {
  virFreeError: { type: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;
