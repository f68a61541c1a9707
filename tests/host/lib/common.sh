# shellcheck shell=bash
# shellcheck disable=SC2034 # the other parts use these names
# Shared by all parts of the preparation: the cache, progress lines, timed stages. Source this file; it runs nothing.

CACHE=${ENVKIT_HOST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/envkit-host}
# Change these two only to test a preparation from nothing on a prepared host: see README.md, "Proving it from nothing".
PREFIX=${ENVKIT_HOST_PREFIX:-localhost/envkit-standin}
NODE_REPOSITORY=${ENVKIT_HOST_NODE_REPOSITORY:-docker.io/kindest/node}

K8S_VERSION=v1.20.2 # the version of Debian bookworm's source package `kubernetes`
KIND_SUITE=trixie   # bookworm has no kind; the package of trixie needs only libc6 >= 2.34

log() { printf '[host %4ss] %s\n' "$SECONDS" "$*" >&2; }
die() { log "error: $*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# end_tree PID: ends the process and all its descendants, children first.
end_tree() {
  local child
  for child in $(ps -o pid= --ppid "$1"); do end_tree "$child"; done
  kill "$1" 2>/dev/null || true
}

# end_children: ends all background jobs. A compiler that still ran would keep both cores busy for minutes.
end_children() {
  local child
  for child in $(jobs -p); do end_tree "$child"; done
}

# stage NAME COMMAND...: runs the command and logs its duration; shows its output only if it fails.
# Do not use it in a condition (`if stage`, `stage &&`): bash ignores errexit in all commands of a condition.
stage() {
  local name=$1 started=$SECONDS out code=0
  shift
  out=$CACHE/log/$name.log
  mkdir -p "$CACHE/log"
  (set -euo pipefail; "$@") </dev/null >"$out" 2>&1 9>&- &
  wait $! || code=$?
  if ((code)); then
    log "$name failed with $code after $((SECONDS - started))s; the end of $out:"
    tail -n 40 "$out" | sed 's/^/    /' >&2
    return "$code"
  fi
  log "$(printf '%-24s %4ss' "$name" $((SECONDS - started)))"
}

# settle TIMEOUT_SECONDS COMMAND...: runs the command four times a second until it succeeds.
settle() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || return 1
    sleep 0.25
  done
}

# recipe PATH...: prints a short hash of the content of files and folders. It identifies images built from them.
recipe() {
  find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | awk '{print $1}' | sha256sum | cut -c1-12
}
