#!/bin/sh
# Runs initdb so that the role of POSTGRES_USER is no superuser: it may create databases, and owns those it creates.
#
# In a container this file is /usr/local/sbin/initdb, which comes before the image's own on PATH. For a process envkit
# runs this text with the path of the real program as $0. ENVKIT_SUPERUSER=true makes the role a superuser.
#
# The superuser is envkit_admin. Nobody knows its password, and it is refused over TCP. Extensions that need a superuser
# (ENVKIT_POSTGRES_EXTENSIONS, by space) are created in template1, so that every later database has them.
set -eu

admin=envkit_admin

fail() {
  echo "envkit: $*" >&2
  exit 1
}

initdb=$0
if [ "$0" = /usr/local/sbin/initdb ]; then
  initdb=
  IFS=:
  for folder in $PATH; do
    [ "$folder" != /usr/local/sbin ] && [ -x "$folder/initdb" ] || continue
    initdb=$folder/initdb
    break
  done
  unset IFS
  [ -n "$initdb" ] || fail "this image has no initdb on PATH"
fi
[ "${ENVKIT_SUPERUSER:-}" != true ] || exec "$initdb" "$@"

user=${POSTGRES_USER:-postgres}
password=
left=$#
while [ "$left" -gt 0 ]; do
  word=$1
  shift
  left=$((left - 1))
  case $word in
    --username=*) user=${word#*=} ;;
    --pwfile=*) password=$(head -n 1 "${word#*=}") ;;
    --version | --help | -V | -'?') exec "$initdb" "$word" ;;
    *) set -- "$@" "$word" ;;
  esac
done
[ -n "${PGDATA:-}" ] || fail "PGDATA is not set"
[ "$user" != "$admin" ] || fail "POSTGRES_USER is $admin, the name of envkit's own superuser; use another"

umask 077
od -An -N32 -tx1 /dev/urandom | tr -d ' \n' |
  "$initdb" --username="$admin" --pwfile=/dev/stdin --auth-host=scram-sha-256 "$@"
{
  echo "host all,replication $admin all reject # envkit's own superuser"
  cat "$PGDATA/pg_hba.conf"
} >"$PGDATA/pg_hba.conf.new"
mv "$PGDATA/pg_hba.conf.new" "$PGDATA/pg_hba.conf"
echo 'superuser_reserved_connections = 0 # no superuser connects' >>"$PGDATA/postgresql.conf"
read -r major <"$PGDATA/PG_VERSION"

identifier() { printf '"%s"' "$(printf %s "$1" | sed 's/"/""/g')"; }
literal() { printf "'%s'" "$(printf %s "$1" | sed "s/'/''/g")"; }
role=$(identifier "$user")

role_statements() {
  echo "CREATE ROLE $role LOGIN CREATEDB ${password:+PASSWORD $(literal "$password")}"
  echo "GRANT pg_signal_backend TO $role" # DROP DATABASE ... WITH (FORCE) while autovacuum works in it
  [ "$major" -lt 15 ] || echo "GRANT SET ON PARAMETER session_replication_role TO $role"
}

database_statements() {
  [ "$major" -ge 15 ] || echo "ALTER SCHEMA public OWNER TO $role" # later versions: of the database's owner
  set -f
  for extension in ${ENVKIT_POSTGRES_EXTENSIONS:-}; do
    echo "CREATE EXTENSION IF NOT EXISTS $(identifier "$extension") CASCADE"
  done
  cat <<'SQL'
DO $$ DECLARE wrapper name; role name; BEGIN SELECT rolname INTO role FROM pg_roles WHERE rolcreatedb AND NOT rolsuper; FOR wrapper IN SELECT fdwname FROM pg_foreign_data_wrapper LOOP EXECUTE format('GRANT USAGE ON FOREIGN DATA WRAPPER %I TO %I', wrapper, role); END LOOP; END $$
SQL
}

# said_to DATABASE: runs standard input, a statement a line, and ends at the first error.
said_to() {
  "${initdb%/*}/postgres" --single -F -D "$PGDATA" -c exit_on_error=on -c log_checkpoints=off \
    -c log_min_error_statement=panic "$1" >/dev/null
}

{
  role_statements
  database_statements
  [ -z "${ENVKIT_DATABASE:-}" ] || echo "CREATE DATABASE $(identifier "$ENVKIT_DATABASE") OWNER $role"
} | said_to template1
if [ "${POSTGRES_DB:-$user}" = postgres ]; then
  {
    echo "ALTER DATABASE postgres OWNER TO $role"
    database_statements
  } | said_to postgres
fi
