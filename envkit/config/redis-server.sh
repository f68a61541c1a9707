#!/bin/sh
# Runs redis-server so that who reaches its port gets no code and no files outside its data folder.
#
# In a container this file is /usr/local/sbin/redis-server, which comes before the image's own on PATH. For a process
# envkit runs this text with the path of the real program as $0. ENVKIT_SUPERUSER=true leaves clients every right.
set -eu

fail() {
  echo "envkit: $*" >&2
  exit 1
}

server=$0
if [ "$0" = /usr/local/sbin/redis-server ]; then
  [ "$(id -u)" != 0 ] || fail "this image runs Redis as root; set user: to an ordinary one of the image"
  server=
  IFS=:
  for folder in $PATH; do
    [ "$folder" != /usr/local/sbin ] && [ -x "$folder/redis-server" ] || continue
    server=$folder/redis-server
    break
  done
  unset IFS
  [ -n "$server" ] || fail "this image has no redis-server on PATH"
fi

version=$("$server" --version) # Redis server v=7.0.15 sha=...
version=${version#* v=}
version=${version%% *}
major=${version%%.*}
minor=${version#*.}
minor=${minor%%.*}

if [ "$major" -ge 7 ]; then
  [ "${ENVKIT_SUPERUSER:-}" = true ] && allowed=yes || allowed=no
  exec "$server" "$@" --enable-protected-configs "$allowed" --enable-module-command "$allowed" \
    --enable-debug-command "$allowed"
fi
[ "${ENVKIT_SUPERUSER:-}" != true ] || exec "$server" "$@"
[ "$major" -eq 6 ] || fail "Redis $version cannot refuse CONFIG SET and MODULE LOAD to its clients;" \
  "use Redis 7, or allow both to everybody who reaches the port: options: {superuser: true}"

# Redis 6 has no such settings. Its access list can refuse commands, but CONFIG SET only as a whole; and it must refuse
# replication, because what a master sends is not checked against the list.
file=
case ${1:-} in
  -) fail "Redis $version with a configuration from standard input: give it as a file" ;;
  '' | -*) ;;
  *) file=$1 && shift ;;
esac
login=nopass
if [ -n "${REDISCLI_AUTH:-}" ]; then
  login="\">$(printf %s "$REDISCLI_AUTH" | sed 's/[\\"]/\\&/g')\""
else
  case " $* " in *requirepass*) fail "set the password by options: {password: ...}" ;; esac
  [ -z "$file" ] || ! grep -qi '^[[:space:]]*\(requirepass\|user\|aclfile\)[[:space:]]' "$file" ||
    fail "set the password by options: {password: ...}, not in $file"
fi
include=
[ -z "$file" ] || include="include \"$file\""
channels='&*'
[ "$minor" -ge 2 ] || channels=
exec "$server" - "$@" <<EOF
$include
user default on $login ~* $channels +@all -acl +acl|whoami +acl|cat +acl|log +acl|users -config +config|get +config|resetstat -debug -module -replicaof -slaveof
EOF
