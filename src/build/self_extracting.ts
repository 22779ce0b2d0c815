/**
 * The self-extracting form of rum: one file that any POSIX shell can start, for hosts where
 * `deno compile`'s runtime part cannot be had when building. Pure: values → the shell header; the
 * builder appends the payload (a gzipped tar of `rum/` with deno, app/ and agent/ in it).
 *
 * What it promises (SPEC section 11):
 *
 * - It unpacks only into a folder of the caller's own, mode 0700, named by the payload's digest,
 *   below folders that nobody else can write; the payload is hashed before it is unpacked.
 * - The folder appears by rename, under a lock: a kill in the middle leaves nothing half-made, and of
 *   any number of first starts at once exactly one unpacks.
 * - At every start each file's inode, size, mtime, ctime, owner and mode are compared with what was
 *   sealed, and a folder that differs is put aside and made anew. ctime cannot be set back by an
 *   unprivileged program, which is what makes the cheap check honest (hashing 96 MB costs 0.25 s).
 * - Where the cache folder cannot be used (read-only, noexec, somebody else's), /tmp/rum-<uid> serves.
 *
 * - Builds that nobody has started for a week go when a new one is unpacked; never one of the newest
 *   three, and never one that a process runs from (a machine's daemon lives longer than a version).
 *
 * The caller's umask and arguments reach the program untouched.
 */
import { RUNTIME_FLAGS } from "../base/runtime_flags.ts";

export interface SelfExtracting {
  /** What messages call it. */
  readonly name: "rum" | "rum-agent";
  readonly version: string;
  /** SHA-256 of the payload, hex. */
  readonly digest: string;
  readonly v8Flags?: string;
}

/** The shell header; the payload follows its last line feed, at exactly its length. */
export function selfExtractingHeader(build: SelfExtracting): string {
  // The offset is part of the text that it measures: of fixed width, so that it does not move.
  return header(build, String(byteLength(header(build, " ".repeat(8))) + 1).padEnd(8, " "));
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

function header({ name, version, digest, v8Flags }: SelfExtracting, start: string): string {
  // Named, not found: `cache`, which Deno writes, is beside them.
  const sealed = name === "rum" ? "deno app app/* agent agent/*" : "deno app app/*";
  const flags = [...RUNTIME_FLAGS, ...(v8Flags === undefined ? [] : [`--v8-flags=${v8Flags}`])];
  return `#!/bin/sh
# ${name} ${version}: one file; unpacks itself once, then starts from there.
set -eu
digest=${digest}
start=${start}
export PATH="\${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}"

fail() {
  case "\${RUM_OUTPUT:-}$args" in
  json\\ * | *" --output=json "* | *" --output json "* | *" -o json "* | *" -ojson "*)
    said=$(printf '%s' "$1" | tr -d '\\000-\\037' | sed 's/[\\\\"]/\\\\&/g')
    printf '{"v":1,"type":"error","code":"host_prerequisite","exit":12,"message":"%s"}\\n' "$said" >&2 ;;
  *) printf 'error: %s\\n' "$1" >&2 ;;
  esac
  exit 12
}

# What a sound folder looks like: every file, and the folders themselves, times to the nanosecond.
# Nothing here may depend on the caller's language or time zone.
seal() (
  LC_ALL=C TZ=UTC0
  export LC_ALL TZ
  cd "$1" && stat -c '%n %i %s %y %z %u %f' ${sealed} 2>/dev/null
)

# Nobody else can write here or swap what is here: the folder is ours, the two above it are ours or
# root's, and none can be written by others unless it is sticky as /tmp is. (A group may write the
# topmost: with umask 002 a home folder is so, and what is in it stays checked.)
private() {
  [ ! -L "$base" ] && [ -O "$base" ] || return 1
  set -- $(stat -c '%u %a' "$base" "$base/.." "$base/../..")
  [ $# = 6 ] || return 1
  while [ $# -gt 0 ]; do
    case $1 in "$uid" | 0) ;; *) return 1 ;; esac
    case $#:$2 in *:1???) ;; *[2367] | [46]:*[2367]?) return 1 ;; esac
    shift 2
  done
}

sound() {
  [ -d "$dir" ] && [ ! -L "$dir" ] && [ -O "$dir" ] && [ -f "$dir/.sealed" ] && private &&
    [ "$(stat -c %a "$dir")" = 700 ] && [ "$(seal "$dir")" = "$(cat "$dir/.sealed")" ]
}

at() { base=$1 dir=$1/$digest; }

# Whether rum could live there; says why not in $why.
usable() {
  if ! mkdir -p "$base" 2>/dev/null; then why="$base cannot be made"; return 1; fi
  if ! private; then why="$base belongs to another user, or others may write it"; return 1; fi
  if ! { true > "$base/.lock" && chmod 700 "$base/.lock"; } 2>/dev/null; then
    why="$base cannot be written"
    return 1
  fi
  if [ ! -x "$base/.lock" ]; then why="$base is on a file system without programs"; return 1; fi
}

unpack() {
  exec 9> "$base/.lock"
  if command -v flock > /dev/null; then
    flock -w 120 9 || fail "Cannot unpack ${name} into $base: another process has been at it for 120 s"
    if sound; then exec 9>&-; return 0; fi
    rm -rf "$base"/.unpack-* "$base"/.aside-* 2>/dev/null || true
  fi
  tmp=$(mktemp -d "$base/.unpack-XXXXXX" 2>/dev/null) || fail "Cannot make a folder in $base"
  trap 'rm -rf "$tmp"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  got=$(tail -c "+$start" "$0" | sha256sum | cut -d' ' -f1)
  [ "$got" = "$digest" ] ||
    fail "Cannot start ${name}: $0 is damaged (its payload hashes to $got, wanted $digest)"
  tail -c "+$start" "$0" | gzip -dc 2>/dev/null | tar -xof - -C "$tmp" 2>/dev/null ||
    fail "Cannot unpack ${name} into $base: is there room for 120 MB?"
  chmod 700 "$tmp/rum"
  seal "$tmp/rum" > "$tmp/rum/.sealed" && true > "$tmp/rum/.used" ||
    fail "Cannot unpack ${name} into $base: is there room for 120 MB?"
  # A folder that is not sound goes aside, by a name beside it: somebody else's cannot be moved into
  # another folder, and perhaps not be deleted.
  if [ -e "$dir" ] || [ -L "$dir" ]; then
    aside=$(mktemp -u "$base/.aside-XXXXXX")
    mv -T "$dir" "$aside" 2>/dev/null || fail "Cannot put $dir aside, which is not what was unpacked there"
    rm -rf "$aside" 2>/dev/null || true
  fi
  mv -T "$tmp/rum" "$dir" 2>/dev/null || fail "Cannot move the unpacked ${name} to $dir"
  sound || fail "Cannot unpack ${name} into $dir: another process keeps changing it"
  prune || true
  rm -rf "$tmp"
  trap - EXIT INT TERM HUP
  exec 9>&-
}

# Under the lock. Every start marks its folder; processes of another container that shares the folder
# are not seen, so the mark counts as well as the process. What cannot be told is kept.
prune() (
  command -v flock > /dev/null && cd "$base" || return 0
  running=$(readlink /proc/[0-9]*/exe 2>/dev/null) || true
  [ -n "$running" ] || return 0
  ls -t ./*/.used 2>/dev/null | tail -n +4 | while read -r used; do
    old=\${used#./} old=\${old%/.used}
    case $old in *[!0-9a-f]* | "$digest") continue ;; esac
    [ \${#old} = 64 ] && [ ! -L "$old" ] && [ -O "$old" ] || continue
    [ -n "$(find "$used" -mtime +6 2>/dev/null)" ] || continue
    case $running in *"/$old/deno"*) continue ;; esac
    # Aside first: a start that comes now finds none, and not half of one.
    mv -T "$old" ".aside-$old" && rm -rf ".aside-$old"
  done
)

args=" $* "
mask=$(umask)
umask 077
uid=$(id -u)
why=
case "\${RUM_UNPACK_DIR:-}" in
/*) first=$RUM_UNPACK_DIR second= ;;
?*) fail "Cannot unpack ${name}: RUM_UNPACK_DIR is \\"$RUM_UNPACK_DIR\\", wanted an absolute path" ;;
*)
  case "\${XDG_CACHE_HOME:-}" in
  /*) first=$XDG_CACHE_HOME/rum/bin ;;
  *)
    case "$uid:\${HOME:-}" in
    0:*) first=/var/cache/rum/bin ;;
    *:/*) first=$HOME/.cache/rum/bin ;;
    *) first=$(getent passwd "$uid" | cut -d: -f6)/.cache/rum/bin ;;
    esac ;;
  esac
  second=/tmp/rum-$uid/bin ;;
esac
at "$first"
if ! sound; then
  if usable; then unpack
  elif [ -n "$second" ] && { at "$second"; sound || usable; }; then sound || unpack
  else fail "Cannot unpack ${name}: $why; name a folder of your own in RUM_UNPACK_DIR"; fi
fi
# Not ":", here and above: a redirection that fails at a special built-in ends the shell.
{ true > "$dir/.used"; } 2>/dev/null || true
umask "$mask"
case $0 in /*) RUM_SELF_FILE=$0 ;; *) RUM_SELF_FILE=$PWD/$0 ;; esac
export RUM_SELF_FILE DENO_DIR="$dir/cache\${DENO_V8_FLAGS:+/flags}" DENO_NO_UPDATE_CHECK=1
exec "$dir/deno" run ${flags.join(" ")} "$dir/app/${name}.js" "$@"
`;
}
