/** Numbers of libvirt's headers (9.0), under their own names without the `VIR_` of each family. */

/** virErrorNumber: those that rum tells apart. */
export const ERR = {
  INTERNAL_ERROR: 1,
  NO_SUPPORT: 3,
  NO_CONNECT: 5,
  INVALID_CONN: 6,
  INVALID_ARG: 8,
  OPERATION_FAILED: 9,
  XML_ERROR: 27,
  OPERATION_DENIED: 29,
  XML_DETAIL: 35,
  SYSTEM_ERROR: 38,
  RPC: 39,
  NO_DOMAIN: 42,
  NO_NETWORK: 43,
  AUTH_FAILED: 45,
  OPERATION_INVALID: 55,
  CONFIG_UNSUPPORTED: 67,
  OPERATION_TIMEOUT: 68,
  ARGUMENT_UNSUPPORTED: 74,
  AUTH_CANCELLED: 79,
  NO_DOMAIN_METADATA: 80,
  OPERATION_UNSUPPORTED: 84,
  ACCESS_DENIED: 88,
  XML_INVALID_SCHEMA: 92,
  AUTH_UNAVAILABLE: 94,
} as const;

/** virErrorDomain: the parts that mean "the connection", not "the machine". */
export const FROM = { RPC: 7, REMOTE: 13, QEMU: 10 } as const;

/** virDomainState */
export const STATE = {
  NOSTATE: 0,
  RUNNING: 1,
  BLOCKED: 2,
  PAUSED: 3,
  SHUTDOWN: 4,
  SHUTOFF: 5,
  CRASHED: 6,
  PMSUSPENDED: 7,
} as const;

/** virDomainEventID */
export const EVENT = { LIFECYCLE: 0, REBOOT: 1, WATCHDOG: 3, IO_ERROR_REASON: 6 } as const;

/** virDomainModificationImpact */
export const AFFECT = { CURRENT: 0, LIVE: 1, CONFIG: 2 } as const;

/** virDomainMemoryModFlags, beyond AFFECT */
export const MEM_MAXIMUM = 4;

/** virDomainUndefineFlagsValues */
export const UNDEFINE = {
  MANAGED_SAVE: 1,
  SNAPSHOTS_METADATA: 2,
  NVRAM: 4,
  CHECKPOINTS_METADATA: 16,
} as const;

/** virDomainShutdownFlagValues */
export const SHUTDOWN_ACPI = 1;

/** virDomainMetadataType */
export const METADATA_ELEMENT = 2;

/** virDomainXMLFlags */
export const XML_INACTIVE = 2;

/** virDomainBlockResizeFlags */
export const BLOCK_RESIZE_BYTES = 1;

/** virDomainOpenChannel/ConsoleFlags: take it over from whoever holds it. */
export const OPEN_FORCE = 1;

/** virKeycodeSet */
export const KEYCODE_LINUX = 0;
export const SEND_KEY_MAX = 16;

/** virStreamFlags, virStreamEventType, and what recv/send return when they would wait. */
export const STREAM = {
  NONBLOCK: 1,
  READABLE: 1,
  WRITABLE: 2,
  ERROR: 4,
  HANGUP: 8,
  WOULD_BLOCK: -2,
} as const;

/** virDomainStatsTypes */
export const STATS = {
  STATE: 1,
  CPU_TOTAL: 2,
  BALLOON: 4,
  VCPU: 8,
  INTERFACE: 16,
  BLOCK: 32,
} as const;

/** virConnectGetAllDomainStatsFlags: do not wait for a domain that is busy. */
export const STATS_NOWAIT = 1 << 29;

/** virTypedParameterType */
export const PARAM = {
  INT: 1,
  UINT: 2,
  LLONG: 3,
  ULLONG: 4,
  DOUBLE: 5,
  BOOLEAN: 6,
  STRING: 7,
} as const;
/** sizeof(virTypedParameter), and where its parts are. */
export const PARAM_SIZE = 96;
export const PARAM_TYPE_AT = 80;
export const PARAM_VALUE_AT = 88;
