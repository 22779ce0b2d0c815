/**
 * The few calls of the C library that Deno does not offer: who is at the other end of a Unix socket,
 * pointing stdout and stderr at a file, and telling a service manager "ready". A table with the C
 * declarations beside it; each call is looked up on first use, so a program pays for what it calls.
 *
 * errno is read through `__errno_location` right after a failed blocking call, on the same thread.
 */
export const LIBC = {
  getsockopt: {
    parameters: [
      "i32", // int fd
      "i32", // int level
      "i32", // int optname
      "buffer", // void *optval
      "buffer", // socklen_t *optlen
    ],
    result: "i32",
  },
  getsockname: {
    parameters: [
      "i32", // int fd
      "buffer", // struct sockaddr *addr
      "buffer", // socklen_t *addrlen
    ],
    result: "i32",
  },
  getpeername: {
    parameters: [
      "i32", // int fd
      "buffer", // struct sockaddr *addr
      "buffer", // socklen_t *addrlen
    ],
    result: "i32",
  },
  setsockopt: {
    parameters: [
      "i32", // int fd
      "i32", // int level
      "i32", // int optname
      "buffer", // const void *optval
      "u32", // socklen_t optlen
    ],
    result: "i32",
  },
  socket: {
    parameters: ["i32", /* int domain */ "i32", /* type */ "i32" /* proto */],
    result: "i32",
  },
  connect: {
    parameters: [
      "i32", // int fd
      "buffer", // const struct sockaddr *addr
      "u32", // socklen_t addrlen
    ],
    result: "i32",
  },
  sendto: {
    parameters: [
      "i32", // int fd
      "buffer", // const void *buf
      "usize", // size_t len
      "i32", // int flags
      "buffer", // const struct sockaddr *to
      "u32", // socklen_t tolen
    ],
    result: "isize",
  },
  open: {
    parameters: [
      "buffer", // const char *path
      "i32", // int flags
      "u32", // mode_t mode
    ],
    result: "i32",
  },
  openat: {
    parameters: [
      "i32", // int folder
      "buffer", // const char *path
      "i32", // int flags
    ],
    result: "i32",
  },
  mkdirat: {
    parameters: ["i32", /* int folder */ "buffer", /* const char *path */ "u32" /* mode_t mode */],
    result: "i32",
  },
  renameat: {
    parameters: [
      "i32", // int old_folder
      "buffer", // const char *old_path
      "i32", // int new_folder
      "buffer", // const char *new_path
    ],
    result: "i32",
  },
  symlinkat: {
    parameters: ["buffer", /* const char *target */ "i32", /* int folder */ "buffer" /* path */],
    result: "i32",
  },
  readlinkat: {
    parameters: [
      "i32", // int folder
      "buffer", // const char *path
      "buffer", // char *buf
      "usize", // size_t size
    ],
    result: "isize",
  },
  unlinkat: {
    parameters: ["i32", /* int folder */ "buffer", /* const char *path */ "i32" /* int flags */],
    result: "i32",
  },
  getdents64: {
    parameters: ["i32", /* int fd */ "buffer", /* void *buf */ "usize" /* size_t count */],
    result: "isize",
  },
  dup2: { parameters: ["i32", /* int oldfd */ "i32" /* int newfd */], result: "i32" },
  close: { parameters: ["i32" /* int fd */], result: "i32" },
  close_range: {
    parameters: ["u32", /* unsigned first */ "u32", /* unsigned last */ "i32" /* int flags */],
    result: "i32",
  },
  read: {
    parameters: ["i32", /* int fd */ "buffer", /* void *buf */ "usize" /* size_t count */],
    result: "isize",
  },
  write: {
    parameters: ["i32", /* int fd */ "buffer", /* const void *buf */ "usize" /* size_t count */],
    result: "isize",
  },
  // On a thread of its own, for calls that may block; errno stays on that thread.
  write_waiting: {
    name: "write",
    parameters: ["i32", /* int fd */ "buffer", /* const void *buf */ "usize" /* size_t count */],
    result: "isize",
    nonblocking: true,
  },
  poll_waiting: {
    name: "poll",
    parameters: ["buffer", /* struct pollfd *fds */ "u64", /* nfds_t n */ "i32" /* int timeout */],
    result: "i32",
    nonblocking: true,
  },
  fcntl: {
    parameters: ["i32", /* int fd */ "i32", /* int cmd */ "i32" /* int arg, where it takes one */],
    result: "i32",
  },
  eventfd: { parameters: ["u32", /* unsigned initval */ "i32" /* int flags */], result: "i32" },
  clock_settime: {
    parameters: [
      "i32", // clockid_t clock
      "buffer", // const struct timespec *spec
    ],
    result: "i32",
  },
  execv: {
    parameters: ["buffer", /* const char *path */ "buffer" /* char *const argv[] */],
    result: "i32",
  },
  posix_openpt: { parameters: ["i32" /* int flags */], result: "i32" },
  grantpt: { parameters: ["i32" /* int fd */], result: "i32" },
  unlockpt: { parameters: ["i32" /* int fd */], result: "i32" },
  ptsname_r: {
    parameters: ["i32", /* int fd */ "buffer", /* char *buf */ "usize" /* size_t buflen */],
    result: "i32",
  },
  // Variadic in C; its one argument is a pointer here, which both ABIs pass as if it were named.
  ioctl: {
    parameters: ["i32", /* int fd */ "u64", /* unsigned long request */ "buffer" /* void *arg */],
    result: "i32",
  },
  posix_spawn: {
    parameters: [
      "buffer", // pid_t *pid
      "buffer", // const char *path
      "buffer", // const posix_spawn_file_actions_t *actions
      "buffer", // const posix_spawnattr_t *attr
      "buffer", // char *const argv[]
      "buffer", // char *const envp[]
    ],
    result: "i32",
  },
  posix_spawn_file_actions_init: { parameters: ["buffer"], result: "i32" },
  posix_spawn_file_actions_destroy: { parameters: ["buffer"], result: "i32" },
  posix_spawn_file_actions_addopen: {
    parameters: [
      "buffer", // posix_spawn_file_actions_t *actions
      "i32", // int fd
      "buffer", // const char *path
      "i32", // int oflag
      "u32", // mode_t mode
    ],
    result: "i32",
  },
  posix_spawn_file_actions_adddup2: {
    parameters: ["buffer", /* actions */ "i32", /* int fd */ "i32" /* int newfd */],
    result: "i32",
  },
  posix_spawn_file_actions_addchdir_np: {
    parameters: ["buffer", /* actions */ "buffer" /* const char *path */],
    result: "i32",
  },
  posix_spawnattr_init: { parameters: ["buffer"], result: "i32" },
  posix_spawnattr_destroy: { parameters: ["buffer"], result: "i32" },
  posix_spawnattr_setflags: { parameters: ["buffer", "i16" /* short flags */], result: "i32" },
  posix_spawnattr_setsigmask: { parameters: ["buffer", "buffer"], result: "i32" },
  posix_spawnattr_setsigdefault: { parameters: ["buffer", "buffer"], result: "i32" },
  waitpid: {
    parameters: ["i32", /* pid_t pid */ "buffer", /* int *status */ "i32" /* int options */],
    result: "i32",
  },
  // For pidfd_open(pid_t pid, unsigned flags), which older glibc does not wrap.
  syscall: {
    parameters: ["i64", /* long number */ "i64", /* arg 1 */ "i64" /* arg 2 */],
    result: "i64",
  },
  inotify_init1: { parameters: ["i32" /* int flags */], result: "i32" },
  inotify_add_watch: {
    parameters: ["i32", /* int fd */ "buffer", /* const char *path */ "u32" /* uint32_t mask */],
    result: "i32",
  },
  inotify_rm_watch: { parameters: ["i32", /* int fd */ "i32" /* int wd */], result: "i32" },
  statx: {
    parameters: [
      "i32", // int dirfd
      "buffer", // const char *path
      "i32", // int flags
      "u32", // unsigned mask
      "buffer", // struct statx *into
    ],
    result: "i32",
  },
  utimensat: {
    parameters: [
      "i32", // int dirfd
      "buffer", // const char *path
      "buffer", // const struct timespec times[2]
      "i32", // int flags
    ],
    result: "i32",
  },
  mallopt: { parameters: ["i32", /* int param */ "i32" /* int value */], result: "i32" },
  malloc_trim: { parameters: ["usize" /* size_t pad */], result: "i32" },
  // The address as a number: it is one of our own mappings, never read through.
  madvise: {
    parameters: ["usize", /* void *addr */ "usize", /* size_t length */ "i32" /* int advice */],
    result: "i32",
  },
  __errno_location: { parameters: [], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

type Table = typeof LIBC;
type Name = keyof Table;
type Function<N extends Name> = Deno.DynamicLibrary<Pick<Table, N>>["symbols"][N];

export class LibcMissing extends Error {
  override readonly name = "LibcMissing";
}

const LIBRARY = "libc.so.6";
const opened = new Map<string, unknown>();

/**
 * One function of the C library.
 *
 * @throws {LibcMissing} when the host has no glibc, or one without that function
 */
export function libc<N extends Name>(name: N): Function<N> {
  const known = opened.get(name);
  if (known !== undefined) return known as Function<N>;
  let found: Function<N>;
  try {
    // Never closed: the C library outlives us, and the table is a handful of pointers.
    found = Deno.dlopen(LIBRARY, { [name]: LIBC[name] } as unknown as Pick<Table, N>)
      .symbols[name];
  } catch (cause) {
    throw new LibcMissing(`Cannot find ${name} in ${LIBRARY}`, { cause });
  }
  opened.set(name, found);
  return found;
}

/** Why the last blocking call on this thread failed. */
export function errno(): number {
  const where = libc("__errno_location")();
  return where === null ? 0 : new Deno.UnsafePointerView(where).getInt32();
}

/** A NUL-terminated copy of a path or name. */
export function cPath(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) throw new TypeError(`Cannot pass ${JSON.stringify(text)} to C: NUL`);
  return new TextEncoder().encode(text + "\0");
}
