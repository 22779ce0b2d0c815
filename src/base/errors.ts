/**
 * Every failure that rum reports, as one table and one class.
 *
 * Scripts match on `code` (the word) and on the exit code; people read the sentence and run the
 * hint. So the words in this table never change meaning once released, a new failure gets a new
 * row, and `docs/errors.md` is generated from here. What a message must say: the action, the value
 * it was about, what was found and what was wanted. The hint is a command where there is one.
 */

/** Exit codes of SPEC section 10. */
export const EXIT = {
  ok: 0,
  internal: 1,
  usage: 2,
  config: 3,
  not_found: 4,
  not_running: 5,
  busy: 6,
  daemon: 7,
  protocol: 8,
  hypervisor: 9,
  provisioning: 10,
  agent_unreachable: 11,
  host_prerequisite: 12,
  timeout: 124,
  interrupted: 130,
} as const;

/** rum's own failure where the exit code is a guest program's, which is not expected to use it. */
export const OWN_FAILURE = 255;

export type ExitName = keyof typeof EXIT;

interface ErrorRow {
  readonly exit: ExitName;
  /** What the code means, for the reference; never shown instead of the message. */
  readonly means: string;
}

/** The stable codes. Sorted by exit code, then by name. */
export const ERRORS = {
  internal: { exit: "internal", means: "A defect in rum itself; the message names what broke." },

  usage: {
    exit: "usage",
    means: "The command line does not parse: unknown verb, option or operand.",
  },
  invalid_params: {
    exit: "usage",
    means: "A value given to a command or method is not acceptable.",
  },
  not_supported: {
    exit: "usage",
    means:
      "This hypervisor, guest or build cannot do what was asked; the message says which and why.",
  },
  unsafe_refused: {
    exit: "usage",
    means: "A monitor command that changes the machine needs --unsafe.",
  },
  needs_confirmation: {
    exit: "usage",
    means:
      "A question needs an answer, and --no-input or, where nothing is meant by it, a missing terminal forbids asking.",
  },
  already_exists: {
    exit: "usage",
    means: "The thing to be made is there already and is not overwritten.",
  },

  config_invalid: {
    exit: "config",
    means: "rum.toml has mistakes; each is listed with file:line:col.",
  },
  config_unreadable: { exit: "config", means: "rum.toml, or a file it names, cannot be read." },
  untrusted_config: {
    exit: "config",
    means: "rum.toml has keys that reach the host and that nobody approved yet (rum trust).",
  },
  image_refused: {
    exit: "config",
    means: "The image has a backing or data file, or a format other than qcow2 and raw.",
  },

  config_not_found: { exit: "not_found", means: "No rum.toml here or in any folder above." },
  machine_not_found: { exit: "not_found", means: "No machine of this user has that name or id." },
  image_not_found: { exit: "not_found", means: "No such image: unknown short name, path or URL." },
  service_not_found: { exit: "not_found", means: "rum.toml defines no service of that name." },
  forward_not_found: { exit: "not_found", means: "No such port forward." },
  no_such_file: { exit: "not_found", means: "The file to read or copy does not exist." },
  log_not_found: { exit: "not_found", means: "There is no log of that source." },

  not_running: {
    exit: "not_running",
    means: "The machine is not running, and the command needs it to.",
  },
  service_not_running: { exit: "not_running", means: "No instance of the service runs." },

  busy: {
    exit: "busy",
    means: "Another operation holds the machine; the message says which, since when.",
  },
  service_already_running: {
    exit: "busy",
    means: "At least one instance of the service runs already.",
  },
  port_in_use: {
    exit: "busy",
    means: "A host port is taken; the message says by whom, where known.",
  },
  machine_exists: {
    exit: "busy",
    means: "Something of that name exists which this rum.toml did not make; it is not touched.",
  },

  daemon_failed: {
    exit: "daemon",
    means: "The background process did not start or died; its log is named.",
  },
  daemon_hung: {
    exit: "daemon",
    means: "The background process holds its lock but does not answer.",
  },
  daemon_unreachable: {
    exit: "daemon",
    means: "The socket of the background process cannot be used.",
  },
  shutting_down: {
    exit: "daemon",
    means: "The background process is ending and takes no new work.",
  },
  state_invalid: {
    exit: "daemon",
    means: "What is recorded of the machine is unreadable or not ours.",
  },
  state_newer: { exit: "daemon", means: "The machine's records were written by a newer rum." },
  not_owner: { exit: "daemon", means: "A folder, file or socket belongs to another user." },

  protocol_error: {
    exit: "protocol",
    means: "The peer sent something the protocol does not allow.",
  },
  too_large: { exit: "protocol", means: "A frame, request or answer is over its limit." },
  version_mismatch: { exit: "protocol", means: "The two sides share no protocol version." },
  method_not_found: { exit: "protocol", means: "The peer does not know that method." },
  unauthorized: { exit: "protocol", means: "The peer did not prove the machine's token." },

  hypervisor_unreachable: {
    exit: "hypervisor",
    means: "libvirt does not answer at the chosen URI.",
  },
  hypervisor_error: {
    exit: "hypervisor",
    means: "libvirt refused or failed; its own code and text follow.",
  },
  hypervisor_stuck: { exit: "hypervisor", means: "A libvirt call passed its deadline." },
  start_failed: {
    exit: "hypervisor",
    means: "The machine was defined but its QEMU did not start or died.",
  },
  foreign_machine: {
    exit: "hypervisor",
    means:
      "libvirt has something of that name or UUID that rum did not create; it is never touched.",
  },
  monitor_error: {
    exit: "hypervisor",
    means: "QEMU's monitor refused the command; its words follow.",
  },
  guest_panicked: { exit: "hypervisor", means: "The guest's kernel panicked." },

  provision_failed: {
    exit: "provisioning",
    means: "A provisioning script failed; name, code, tail, log.",
  },
  script_failed: { exit: "provisioning", means: "A single script run on request failed." },
  mount_failed: {
    exit: "provisioning",
    means: "A mount or file system could not be set up in the guest.",
  },

  agent_unavailable: { exit: "agent_unreachable", means: "The guest agent does not answer." },
  agent_restarted: {
    exit: "agent_unreachable",
    means: "The guest agent went away in mid-request.",
  },
  agent_error: {
    exit: "agent_unreachable",
    means: "The guest agent answered with an error of its own.",
  },
  agent_lied: { exit: "agent_unreachable", means: "The guest sent an answer that fits no schema." },
  agent_newer: { exit: "agent_unreachable", means: "The agent in the guest is of a newer rum." },
  exec_failed: {
    exit: "agent_unreachable",
    means: "The program could not be started in the guest.",
  },

  host_prerequisite: {
    exit: "host_prerequisite",
    means: "The host lacks something; rum doctor lists it.",
  },
  host_limit: {
    exit: "host_prerequisite",
    means: "A limit of the host stands in the way; the message names it, the hint raises it.",
  },
  library_missing: { exit: "host_prerequisite", means: "libvirt's library is not installed." },
  symbol_missing: { exit: "host_prerequisite", means: "libvirt's library is too old for a call." },
  not_linux: { exit: "host_prerequisite", means: "rum needs Linux." },
  disk_full: {
    exit: "host_prerequisite",
    means: "There is not enough free space; found and wanted follow.",
  },
  memory_short: { exit: "host_prerequisite", means: "There is not enough free memory." },
  permission_denied: {
    exit: "host_prerequisite",
    means: "The host does not let this user do that.",
  },
  image_download: {
    exit: "host_prerequisite",
    means: "An image could not be fetched; the cause follows.",
  },
  image_stalled: { exit: "host_prerequisite", means: "A download got no byte for 60 s." },
  image_checksum: {
    exit: "host_prerequisite",
    means: "An image's bytes do not match its checksum.",
  },
  image_corrupt: {
    exit: "host_prerequisite",
    means: "An image is truncated or not an image at all.",
  },
  image_build: { exit: "host_prerequisite", means: "Building an image from packages failed." },
  image_in_use: { exit: "busy", means: "A machine's disk stands on that base image." },

  timeout: { exit: "timeout", means: "A deadline passed; nothing was stopped or wiped." },
  not_ready: { exit: "timeout", means: "The machine runs, but [ready] was not met in time." },
  cancelled: { exit: "interrupted", means: "The operation was called off before it ended." },
  interrupted: { exit: "interrupted", means: "Ctrl+C, or another command pre-empted this one." },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

export function isErrorCode(word: string): word is ErrorCode {
  return Object.hasOwn(ERRORS, word);
}

/** The number that travels in protocol errors: its place is fixed by the exit code's class. */
export function exitCodeOf(code: ErrorCode): number {
  return EXIT[ERRORS[code].exit];
}

export interface RumErrorOptions {
  /** A command to run next, or one sentence where no command helps. */
  readonly hint?: string;
  readonly cause?: unknown;
  /** Values for machines (JSON consumers); must be JSON-safe. */
  readonly data?: Readonly<Record<string, unknown>>;
}

/** A failure that is told to the user as it is; anything else thrown is a defect (`internal`). */
export class RumError extends Error {
  override readonly name = "RumError";
  readonly code: ErrorCode;
  readonly hint?: string;
  readonly data?: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: RumErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.data = options.data;
  }

  get exitCode(): number {
    return exitCodeOf(this.code);
  }
}

/** The shape of an error in JSON, on stderr and over the wire. */
export interface ErrorDocument {
  readonly v: 1;
  readonly type: "error";
  readonly code: ErrorCode;
  readonly exit: number;
  readonly message: string;
  readonly hint?: string;
  readonly data?: Readonly<Record<string, unknown>>;
  /** Sentences of the chain of causes, outermost first. */
  readonly causes?: readonly string[];
}

/** Anything thrown → a RumError; what is not one yet becomes `internal` with its cause kept. */
export function toRumError(thrown: unknown): RumError {
  if (thrown instanceof RumError) return thrown;
  if (thrown instanceof SuppressedError) return toRumError(thrown.suppressed);
  if (thrown instanceof DOMException && thrown.name === "TimeoutError") {
    return new RumError("timeout", thrown.message || "A deadline passed", { cause: thrown });
  }
  if (thrown instanceof DOMException && thrown.name === "AbortError") {
    return new RumError("cancelled", "The operation was called off", { cause: thrown });
  }
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return new RumError("internal", text || "An error without a message", { cause: thrown });
}

/** The sentences of an error's causes, outermost first, without repeats. */
export function causesOf(error: Error): string[] {
  const sentences: string[] = [];
  let at: unknown = error.cause;
  for (let depth = 0; at !== undefined && at !== null && depth < 8; depth++) {
    const text = at instanceof Error ? at.message : String(at);
    if (text !== "" && text !== error.message && !sentences.includes(text)) sentences.push(text);
    at = at instanceof Error ? at.cause : undefined;
  }
  return sentences;
}

export function errorDocument(thrown: unknown): ErrorDocument {
  const error = toRumError(thrown);
  const causes = causesOf(error);
  return {
    v: 1,
    type: "error",
    code: error.code,
    exit: error.exitCode,
    message: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error.data === undefined ? {} : { data: error.data }),
    ...(causes.length === 0 ? {} : { causes }),
  };
}

/** The way back: a document from a daemon or a log → an error that can be thrown here. */
export function errorFromDocument(
  doc: { code: string; message: string; hint?: string; data?: Readonly<Record<string, unknown>> },
): RumError {
  const code = isErrorCode(doc.code) ? doc.code : "internal";
  return new RumError(code, doc.message, { hint: doc.hint, data: doc.data });
}
