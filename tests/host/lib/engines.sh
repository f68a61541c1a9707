# shellcheck shell=bash
# Installs and starts Docker and Podman, and installs kind. systemd starts the daemons if the host has it; else this
# script does.

PODMAN_SOCKET=/run/podman/podman.sock

# host_is_restricted: succeeds if no process can have CAP_SYS_RESOURCE (bit 24), so that no hard limit can be raised.
host_is_restricted() {
  local bounding
  bounding=$((16#$(awk '/^CapBnd/ {print $2}' /proc/self/status)))
  (((bounding >> 24 & 1) == 0))
}

docker_answers() { docker version --format '{{.Server.Version}}'; }
docker_has_settled() { docker_answers || ! pgrep --runstates D,R,S -x dockerd; }
podman_answers() { curl --silent --fail --max-time 5 --unix-socket "$PODMAN_SOCKET" http://podman/_ping; }

# write_once FILE: writes standard input to FILE, unless FILE has content already.
write_once() {
  [[ ! -s $1 ]] || return 0
  mkdir -p "${1%/*}"
  cat >"$1.new"
  mv "$1.new" "$1"
}

# raise_inotify: raises the kernel's default of 128 until the next boot. With 128, a second cluster fails with "too many
# open files".
raise_inotify() {
  local file=/proc/sys/fs/inotify/max_user_instances
  (($(<"$file") >= 1024)) || echo 1024 >"$file" || log "could not raise $file: more than one cluster may fail"
}

# `docker run --privileged`, and so every kind node, requests all capabilities; the wrapper of runc removes those that
# the host lacks.
configure_docker() {
  install -m 0755 "$HERE/files/runc-bounded" /usr/local/sbin/runc-bounded
  write_once /etc/docker/daemon.json <<'JSON'
{"default-runtime": "runc-bounded", "runtimes": {"runc-bounded": {"path": "/usr/local/sbin/runc-bounded"}}}
JSON
}

# By default Podman raises the limits of open files and processes to a million, which such a host refuses. crun refuses
# a host with both cgroup versions mounted, so runc is the runtime.
configure_podman() {
  local files
  files=$(ulimit -Hn) # also for processes: their own hard limit was refused when tried
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
    # The configuration comes first, because the package may start the daemon.
    if host_is_restricted; then configure_docker; fi
    have dockerd || packages+=(docker.io)
  fi
  if wants podman; then
    if host_is_restricted; then configure_podman; fi
    packages+=(podman runc netavark aardvark-dns)
  fi
  install_packages "${packages[@]}" "$@"
}

# launch NAME COMMAND...: starts a daemon in a new session, without this script's open files (the lock, the caller's pipe).
launch() {
  local name=$1
  shift
  if [[ -d /run/systemd/system ]]; then
    case $name in docker) systemctl start docker ;; podman) systemctl start podman.socket ;; esac
    return
  fi
  mkdir -p "$CACHE/log"
  # In the root folder, because conmon writes an empty file `oom` to the daemon's folder when a container runs out of
  # memory.
  (cd / && exec setsid "$@" </dev/null >>"$CACHE/log/$name-daemon.log" 2>&1 8>&- 9>&-) &
  disown
}

start_docker() {
  docker_answers >/dev/null 2>&1 && return
  # Two daemons must not share a folder. So wait until a running one answers or has ended.
  settle 20 docker_has_settled || true
  docker_answers >/dev/null 2>&1 || launch docker dockerd
  settle 60 docker_answers || die "dockerd does not answer: see $CACHE/log/docker-daemon.log"
}

start_podman() {
  podman_answers >/dev/null 2>&1 && return
  mkdir -p "${PODMAN_SOCKET%/*}"
  # --time=0, because by default the service ends after five idle seconds.
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
