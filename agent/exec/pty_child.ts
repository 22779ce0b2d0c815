/**
 * A child with a controlling terminal, without fork in a V8 process: posix_spawn makes it a session
 * leader (SETSID), and opening the slave as fd 0 then makes that its controlling terminal. Raw
 * descriptors live here and nowhere else.
 */
import { errno, libc } from "../../ffi/libc.ts";
import { cPath } from "../../ffi/libc.ts";
import { RumError } from "../../src/base/errors.ts";
import { cStrings } from "../program.ts";
import { spawnFailed } from "./spawn_failed.ts";

const O_RDWR = 0o2;
const O_NOCTTY = 0o400;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const F_SETFL = 4;
const TIOCSWINSZ = 0x5414n;
const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
const POSIX_SPAWN_SETSID = 0x80;
const WNOHANG = 1;
/** pidfd_open has the same number on every architecture. */
const SYS_PIDFD_OPEN = 434n;
/** Larger than any glibc's posix_spawn_file_actions_t, posix_spawnattr_t and sigset_t. */
const OPAQUE_BYTES = 1024;

export interface Terminal {
  /** Non-blocking, close-on-exec. */
  readonly master: number;
  readonly slavePath: string;
}

export function openTerminal(cols: number, rows: number): Terminal {
  const master = libc("posix_openpt")(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) throw failed("open a terminal", errno());
  const name = new Uint8Array(128);
  if (
    libc("grantpt")(master) !== 0 || libc("unlockpt")(master) !== 0 ||
    libc("ptsname_r")(master, name, 128n) !== 0
  ) {
    const code = errno();
    libc("close")(master);
    throw failed("set up a terminal", code);
  }
  libc("fcntl")(master, F_SETFL, O_RDWR | O_NONBLOCK);
  resizeTerminal(master, cols, rows);
  const end = name.indexOf(0);
  return { master, slavePath: new TextDecoder().decode(name.subarray(0, end)) };
}

export function resizeTerminal(master: number, cols: number, rows: number): void {
  libc("ioctl")(master, TIOCSWINSZ, new Uint8Array(Uint16Array.of(rows, cols, 0, 0).buffer));
}

export interface SpawnOptions {
  readonly path: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly slavePath: string;
}

/** @throws {RumError} `exec_failed` */
export function spawnOnTerminal(options: SpawnOptions): number {
  const actions = new Uint8Array(OPAQUE_BYTES);
  const attributes = new Uint8Array(OPAQUE_BYTES);
  libc("posix_spawn_file_actions_init")(actions);
  libc("posix_spawnattr_init")(attributes);
  try {
    libc("posix_spawn_file_actions_addopen")(actions, 0, cPath(options.slavePath), O_RDWR, 0);
    libc("posix_spawn_file_actions_adddup2")(actions, 0, 1);
    libc("posix_spawn_file_actions_adddup2")(actions, 0, 2);
    libc("posix_spawn_file_actions_addchdir_np")(actions, cPath(options.cwd));
    libc("posix_spawnattr_setflags")(
      attributes,
      POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK,
    );
    // Nothing blocked, nothing ignored: this runtime ignores SIGPIPE and a child would inherit it.
    libc("posix_spawnattr_setsigmask")(attributes, new Uint8Array(128));
    libc("posix_spawnattr_setsigdefault")(attributes, new Uint8Array(128).fill(0xff));
    const argv = cStrings(options.argv);
    const env = cStrings(Object.entries(options.env).map(([key, value]) => `${key}=${value}`));
    const pid = new Int32Array(1);
    const code = libc("posix_spawn")(
      new Uint8Array(pid.buffer),
      cPath(options.path),
      actions,
      attributes,
      argv.pointers,
      env.pointers,
    );
    // Both hold the memory that C read: they must live until here.
    if (code !== 0 || argv.strings.length + env.strings.length === 0) {
      throw spawnFailed(options.argv[0], new Error(`errno ${code}`));
    }
    return pid[0];
  } finally {
    libc("posix_spawn_file_actions_destroy")(actions);
    libc("posix_spawnattr_destroy")(attributes);
  }
}

/** A descriptor that becomes readable when the process ends. */
export function openPidfd(pid: number): number {
  const fd = Number(libc("syscall")(SYS_PIDFD_OPEN, BigInt(pid), 0n));
  if (fd < 0) throw failed("watch a process", errno());
  return fd;
}

/** Undefined while it runs, or when it is no child of ours; reaps it when it ended. */
export function reap(pid: number): { code: number; signal?: string } | undefined {
  const status = new Int32Array(1);
  if (libc("waitpid")(pid, new Uint8Array(status.buffer), WNOHANG) !== pid) return undefined;
  const word = status[0];
  const signal = word & 0x7f;
  return signal === 0
    ? { code: (word >> 8) & 0xff }
    : { code: 128 + signal, signal: signalName(signal) };
}

function signalName(number: number): string {
  const { constants } = process.getBuiltinModule("node:os");
  const found = Object.entries(constants.signals).find(([, each]) => each === number);
  return found?.[0] ?? `signal ${number}`;
}

function failed(action: string, code: number): RumError {
  return new RumError("exec_failed", `Cannot ${action} in the guest (errno ${code})`);
}
