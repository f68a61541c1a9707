# shellcheck shell=bash
# Docker, Podman and kind: installed, and running. A host with systemd is left to systemd; elsewhere the daemons are
# started by hand.

PODMAN_SOCKET=/run/podman/podman.sock

# Nobody on such a host can hold CAP_SYS_RESOURCE (bit 24), so no hard limit can be raised either.
host_is_restricted() {
  local bounding
  bounding=$((16#$(awk '/^CapBnd/ {print $2}' /proc/self/status)))
  (((bounding >> 24 & 1) == 0))
}

docker_answers() { docker version --format '{{.Server.Version}}'; }
docker_has_settled() { docker_answers || ! pgrep --runstates D,R,S -x dockerd; }
podman_answers() { curl --silent --fail --max-time 5 --unix-socket "$PODMAN_SOCKET" http://podman/_ping; }

# write_once FILE: standard input becomes FILE, unless somebody has settled that file already.
write_once() {
  [[ ! -s $1 ]] || return 0
  mkdir -p "${1%/*}"
  cat >"$1.new"
  mv "$1.new" "$1"
}

# The kernel's default of 128 is too small for two clusters: "too many open files". Until the next boot only.
raise_inotify() {
  local file=/proc/sys/fs/inotify/max_user_instances
  (($(<"$file") >= 1024)) || echo 1024 >"$file" || log "could not raise $file: more than one cluster may fail"
}

# `docker run --privileged`, and so every kind node, asks for all capabilities: runc is given what the host has.
configure_docker() {
  install -m 0755 "$HERE/files/runc-bounded" /usr/local/sbin/runc-bounded
  write_once /etc/docker/daemon.json <<'JSON'
{"default-runtime": "runc-bounded", "runtimes": {"runc-bounded": {"path": "/usr/local/sbin/runc-bounded"}}}
JSON
}

# Podman would raise open files and processes to a million; crun refuses a host with both cgroup versions mounted.
configure_podman() {
  local files
  files=$(ulimit -Hn) # for processes too: the host's own hard limit of these was refused (measured)
  write_once /etc/containers/containers.conf <<CONF
[containers]
default_ulimits = ["nofile=$files:$files", "nproc=$files:$files"]
[engine]
runtime = "runc"
CONF
}

install_engines() {
  local packages=(ca-certificates curl iptables jq procps)
  if wants docker; then
    # The configuration comes first: where the package starts the daemon itself, it must find it.
    if host_is_restricted; then configure_docker; fi
    have dockerd || packages+=(docker.io)
  fi
  if wants podman; then
    if host_is_restricted; then configure_podman; fi
    packages+=(podman runc netavark aardvark-dns)
  fi
  install_packages "${packages[@]}" "$@"
}

# launch NAME COMMAND...: a daemon of its own session, holding none of our files: not the lock, not the caller's pipe.
launch() {
  local name=$1
  shift
  if [[ -d /run/systemd/system ]]; then
    case $name in docker) systemctl start docker ;; podman) systemctl start podman.socket ;; esac
    return
  fi
  mkdir -p "$CACHE/log"
  # From the root folder: conmon leaves an empty file `oom` in its daemon's folder when a container runs out of memory.
  (cd / && exec setsid "$@" </dev/null >>"$CACHE/log/$name-daemon.log" 2>&1 8>&- 9>&-) &
  disown
}

start_docker() {
  docker_answers >/dev/null 2>&1 && return
  # Two never share a folder: one on its way up will answer, one on its way down will be gone.
  settle 20 docker_has_settled || true
  docker_answers >/dev/null 2>&1 || launch docker dockerd
  settle 60 docker_answers || die "dockerd does not answer: see $CACHE/log/docker-daemon.log"
}

start_podman() {
  podman_answers >/dev/null 2>&1 && return
  mkdir -p "${PODMAN_SOCKET%/*}"
  # --time=0: by default the service ends by itself after five idle seconds.
  launch podman podman system service --time=0 "unix://$PODMAN_SOCKET"
  settle 30 podman_answers || die "podman's API does not answer: see $CACHE/log/podman-daemon.log"
}

install_kind() {
  [[ ! -x $CACHE/bin/kind ]] || return 0
  local beside=$CACHE/kind.new
  rm -rf "$beside"
  mkdir -p "$beside" "$CACHE/bin"
  (cd "$beside" && side_apt download "kind/$KIND_SUITE" && dpkg-deb -x kind_*.deb .)
  mv "$beside/usr/bin/kind" "$CACHE/bin/kind"
  rm -rf "$beside"
}
