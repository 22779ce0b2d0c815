#!/bin/sh
# Installs rum for this user, or wherever --prefix says; needs no root. What is downloaded is checked
# against SHA256SUMS before anything is replaced, and replacing is one rename.
#
#   install.sh [--from URL|FOLDER] [--prefix DIR] [--self-extracting]
#
# --from: where the files of a release are (RUM_RELEASE in the environment does the same).
set -eu
from=${RUM_RELEASE:-}
prefix=${HOME:-}/.local
form=

fail() { echo "install.sh: $1" >&2; exit 1; }
while [ $# -gt 0 ]; do
  case $1 in
  --from) from=${2:?--from needs a URL or a folder}; shift 2 ;;
  --prefix) prefix=${2:?--prefix needs a folder}; shift 2 ;;
  --self-extracting) form=-self-extracting; shift ;;
  *) fail "unknown option $1" ;;
  esac
done
case $prefix in /*) ;; *) fail "the prefix is \"$prefix\", wanted an absolute path: use --prefix" ;; esac
[ "$(uname -s)" = Linux ] || fail "rum needs Linux; this is $(uname -s)"
case $(uname -m) in
x86_64 | amd64) arch=x86_64 ;;
aarch64 | arm64) arch=aarch64 ;;
*) fail "there is no rum for $(uname -m)" ;;
esac
file=rum-linux-$arch$form

case $from in
"") fail "say where the release is: --from https://…/releases/download/v1.2.3, or a folder" ;;
https://*)
  if command -v curl > /dev/null; then
    get() { curl --fail --silent --show-error --location --proto '=https' --output "$2" "$from/$1"; }
  elif command -v wget > /dev/null; then
    # It follows redirects to plain http as well (--https-only is for recursive downloads), so each is looked at.
    get() {
      url=$from/$1
      for hop in 1 2 3 4 5 6; do
        next=$(wget --spider --server-response --max-redirect=0 "$url" 2>&1 |
          sed -n 's/^ *[Ll]ocation: *\([^ ]*\).*/\1/p' | head -n 1)
        case $next in
        "") break ;;
        https://*) url=$next ;;
        *) fail "$url redirects to \"$next\", wanted an https URL" ;;
        esac
      done
      wget --quiet --max-redirect=0 --output-document="$2" "$url"
    }
  else fail "neither curl nor wget is here"; fi ;;
/*) get() { cp -- "$from/$1" "$2"; } ;;
*) fail "cannot install from \"$from\": wanted an https URL or an absolute folder" ;;
esac

mkdir -p "$prefix/bin"
work=$(mktemp -d "$prefix/bin/.rum-install-XXXXXX") || fail "cannot write into $prefix/bin"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
get SHA256SUMS "$work/SHA256SUMS" || fail "cannot get SHA256SUMS from $from"
for name in "$file" rum-share.tar.gz; do
  get "$name" "$work/$name" || fail "cannot get $name from $from"
  want=$(awk -v name="$name" '$2 == name || $2 == "*" name { print $1 }' "$work/SHA256SUMS")
  got=$(sha256sum "$work/$name" | cut -d' ' -f1)
  [ -n "$want" ] || fail "SHA256SUMS of $from does not name $name"
  [ "$got" = "$want" ] || fail "$name is damaged: it hashes to $got, wanted $want; nothing was changed"
done
chmod 755 "$work/$file"
said=$("$work/$file" version) || fail "$file does not start on this host; nothing was changed"
mv -f "$work/$file" "$prefix/bin/rum"
tar -xzof "$work/rum-share.tar.gz" -C "$prefix"
echo "$said"
echo "installed: $prefix/bin/rum, man page and completions in $prefix/share"
case :$PATH: in
*:"$prefix/bin":*) ;;
*) echo "note: $prefix/bin is not on your PATH" ;;
esac
echo "next: rum doctor"
