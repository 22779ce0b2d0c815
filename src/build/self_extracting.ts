/**
 * The self-extracting form of rum: one file that any POSIX shell can start, for hosts where
 * `deno compile`'s runtime part cannot be had when building. Pure: values → the shell header; the
 * builder appends the payload (a gzipped tar of `rum/` with deno, app/ and agent/ in it).
 *
 * What it promises (SPEC section 11): it unpacks only into a folder of the caller's own, mode 0700,
 * named by the payload's digest; the payload is hashed before it is unpacked; the folder appears by
 * rename, so a kill in the middle leaves nothing half-made; and at every start each file's inode,
 * size, mtime and ctime are compared with what was sealed, so that a changed file is not run.
 * ctime cannot be set back by an unprivileged program, which is what makes the cheap check honest.
 */
export interface SelfExtracting {
  readonly version: string;
  /** SHA-256 of the payload, hex. */
  readonly digest: string;
}

/** The shell header; the payload follows its last line feed at exactly `headerBytes`. */
export function selfExtractingHeader(build: SelfExtracting): string {
  // The offset is part of the text it measures: padded to a fixed width, so that it does not move.
  const draft = header(build, 0);
  return header(build, new TextEncoder().encode(draft).length);
}

function header(build: SelfExtracting, offset: number): string {
  return `#!/bin/sh
# rum ${build.version}: one file; unpacks itself once, then starts from there.
set -eu
umask 077
fail() { echo "error: $1" >&2; exit 12; }
digest=${build.digest}
uid=$(id -u)
if [ -n "\${RUM_UNPACK_DIR:-}" ]; then base=$RUM_UNPACK_DIR
else
  case "\${XDG_CACHE_HOME:-}" in
  /*) base=$XDG_CACHE_HOME/rum/bin ;;
  *)
    if [ "$uid" = 0 ]; then base=/var/cache/rum/bin
    else base=\${HOME:-$(getent passwd "$uid" | cut -d: -f6)}/.cache/rum/bin; fi ;;
  esac
fi
dir=$base/$digest
seal() {
  (cd "$1" && find . -path ./cache -prune -o -type f ! -name .sealed -print | LC_ALL=C sort |
    xargs stat -c '%n %i %s %Y %Z %u %a' 2>/dev/null)
}
sound() {
  [ ! -L "$dir" ] && [ "$(stat -c '%u %a' "$dir" 2>/dev/null)" = "$uid 700" ] &&
    [ "$(seal "$dir")" = "$(cat "$dir/.sealed" 2>/dev/null)" ]
}
if ! sound; then
  mkdir -p "$base" 2>/dev/null || { base=/tmp/rum-$uid/bin; dir=$base/$digest; mkdir -p "$base"; }
  [ -O "$base" ] || fail "Cannot unpack rum into $base: it belongs to another user"
  if ! sound; then
    tmp=$(mktemp -d "$base/.unpack-XXXXXX") || fail "Cannot make a folder in $base"
    trap 'rm -rf "$tmp"' EXIT
    trap 'exit 130' INT TERM HUP
    got=$(tail -c +$((${pad(offset)} + 1)) "$0" | sha256sum | cut -d' ' -f1)
    [ "$got" = "$digest" ] || fail "Cannot start rum: $0 is damaged (payload hash $got, wanted $digest)"
    tail -c +$((${pad(offset)} + 1)) "$0" | gzip -dc | tar -xf - -C "$tmp" ||
      fail "Cannot unpack rum into $base: is there room for 120 MB?"
    chmod -R go-rwx "$tmp/rum"
    seal "$tmp/rum" > "$tmp/.sealed"
    mv "$tmp/.sealed" "$tmp/rum/.sealed"
    if [ -e "$dir" ] || [ -L "$dir" ]; then mv -T "$dir" "$tmp/old" 2>/dev/null || true; fi
    mv -T "$tmp/rum" "$dir" 2>/dev/null || true
    # Renaming a folder leaves its files' inodes and times alone, so the seal holds.
    sound || fail "Cannot unpack rum into $dir: another process keeps changing it"
    rm -rf "$tmp"
    trap - EXIT
  fi
fi
export RUM_SELF_DIR=$dir DENO_DIR=$dir/cache DENO_NO_UPDATE_CHECK=1
exec "$dir/deno" run --quiet --no-config --no-lock --no-prompt --cached-only --allow-all "$dir/app/rum.js" "$@"
`;
}

function pad(offset: number): string {
  // Eight digits with a leading 1 subtracted again: a leading zero would be octal in the shell.
  return `(1${String(offset).padStart(8, "0")} - 100000000)`;
}
