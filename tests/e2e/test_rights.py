"""Tests of a second local user who has the published passwords and ports.

The stores must refuse to run this user's code and to read or write files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from types import MappingProxyType
from typing import Any

import psycopg
import pytest
import redis

from tests.e2e.conftest import ENGINES
from tests.e2e.embedded_box import EmbeddedBox
from tests.e2e.embedded_box import box as embedded
from tests.support import ports
from tests.support.box import Box
from tests.support.engines import Engine

pytestmark = pytest.mark.e2e

STRANGER = 65534
"""The uid of the second user."""

LANES = [*ENGINES, pytest.param("embedded", marks=pytest.mark.embedded)]

STORES = """
cluster: none
services:
  redis: {{preset: redis, ports: {{redis: {redis}}}, options: {{maxmemory: 64MiB}}}}
  postgres:
    preset: postgres
    ports: {{postgres: {postgres}}}
    options: {{user: slm_user, database: action_history}}
"""

ASKING = """
import json, os, sys
import psycopg, redis
def ask(kind, url, words):
    try:
        if kind == "redis":
            return [True, repr(redis.Redis.from_url(url, socket_timeout=5).execute_command(*words))]
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(words)
            return [True, str(cursor.fetchall() if cursor.description else "done")]
    except Exception as error:
        return [False, f"{type(error).__name__}: {error}"]
uid, work = json.load(sys.stdin)
for kind, url, _ in work:  # once as root, so that what is imported late is imported: others may not read this Python
    ask(kind, url, "SELECT nothing" if kind == "sql" else ["ACL", "WHOAMI", "or an error"])
if os.getuid() == 0:
    os.setgroups([]); os.setgid(uid); os.setuid(uid)
    assert os.getresuid() == (uid, uid, uid)
print(json.dumps([ask(*one) for one in work]))
"""


@dataclass
class Stores:
    """An environment with both stores, and the clients that query them."""

    lane: str
    box: Box
    variables: dict[str, str]

    @property
    def database(self) -> str:
        return self.variables["DATABASE_URL"]

    def stranger(self, *work: tuple[str, Any]) -> list[tuple[bool, str]]:
        """Run statements or commands as the second user; return for each whether it succeeded, and the answer."""
        urls = {"sql": self.database, "redis": self.variables["REDIS_URL"]}
        order = [(kind, urls[kind], words) for kind, words in work]
        done = subprocess.run(
            [sys.executable, "-c", ASKING], input=json.dumps([STRANGER, order]), capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return [(bool(ok), str(said)) for ok, said in json.loads(done.stdout)]

    def refused(self, kind: str, *attempts: Any) -> None:
        """Check that every attempt fails for lack of a right; an invalid attempt would prove nothing."""
        for words, (ok, said) in zip(attempts, self.stranger(*((kind, words) for words in attempts)), strict=True):
            assert not ok, f"{words} was done: {said}"
            assert any(word in said for word in RIGHTS), f"{words}: {said}"

    def allowed(self, kind: str, *attempts: Any) -> None:
        for words, (ok, said) in zip(attempts, self.stranger(*((kind, words) for words in attempts)), strict=True):
            assert ok, f"{words}: {said}"


RIGHTS = (
    "InsufficientPrivilege", "permission denied", "must be superuser", "can't set protected config",
    "command not allowed", "no permissions", "NOPERM",
)  # fmt: skip
"""The words with which both servers refuse for lack of a right."""

Up = Callable[..., Stores]


@pytest.fixture(params=LANES, scope="module")
def lane(request: pytest.FixtureRequest) -> Iterator[tuple[str, Engine | None]]:
    name = str(request.param)
    if name == "embedded":
        yield name, None
        return
    engine = Engine(name)
    yield name, engine
    engine.close()


@pytest.fixture(scope="module")
def up(lane: tuple[str, Engine | None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Yield a function that brings an environment up in the lane; the test fails if anything remains."""
    made: list[Box] = []

    def bring(text: str = STORES, migrations: Mapping[str, str] = MappingProxyType({})) -> Stores:
        folder = tmp_path_factory.mktemp("stores")
        numbers = dict(zip(("redis", "postgres"), ports.free(2), strict=True))
        (folder / "envkit.yaml").write_text(dedent(text).format(**numbers))
        name, flags = f"e2e-rights-{uuid.uuid4().hex[:6]}", ("-f", str(folder / "envkit.yaml"))
        one = Box(lane[1], name, folder, flags) if lane[1] else embedded(name, folder, *flags)
        made.append(one)
        (folder / "migrations").mkdir()
        for file, content in migrations.items():
            (folder / "migrations" / file).write_text(content)
        one("up").ok()
        return Stores(lane[0], one, one.variables())

    yield bring
    left = [line for one in made for line in one.close()]
    assert not left, left


@pytest.fixture(scope="module")
def stores(up: Up) -> Stores:
    """Return an environment with the unchanged presets."""
    return up()


def test_a_stranger_gets_no_code_and_no_files_from_postgresql(stores: Stores) -> None:
    stores.refused(
        "sql",
        "COPY (SELECT 1) TO PROGRAM 'id'",
        "COPY (SELECT 1) TO '/tmp/envkit-stranger'",
        "CREATE TEMP TABLE t (line text); COPY t FROM '/etc/passwd'",
        "CREATE TEMP TABLE t (line text); COPY t FROM PROGRAM 'id'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_read_binary_file('postgresql.conf')",
        "SELECT pg_ls_dir('.')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_export(lo_create(0), '/tmp/envkit-stranger')",
        "ALTER SYSTEM SET archive_command = 'id'",
        "ALTER SYSTEM SET session_preload_libraries = 'x'",
        "ALTER ROLE current_user SET session_preload_libraries = 'x'",
        "ALTER ROLE current_user SUPERUSER",
        "CREATE ROLE other SUPERUSER LOGIN",
        "GRANT pg_execute_server_program TO current_user",
        "SET ROLE envkit_admin",
        "ALTER ROLE envkit_admin PASSWORD 'known'",
        "CREATE FUNCTION system(cstring) RETURNS int AS '/lib/x86_64-linux-gnu/libc.so.6' LANGUAGE c",
        "LOAD '/tmp/envkit-stranger.so'",
        "CREATE TABLESPACE t LOCATION '/tmp'",
        "CREATE EXTENSION file_fdw",
        "CREATE EXTENSION dblink",
        "CREATE EXTENSION adminpack",
        "CREATE LANGUAGE other HANDLER plpgsql_call_handler",
        "SELECT pg_reload_conf()",
    )


def test_the_superuser_is_refused_over_tcp(stores: Stores) -> None:
    url = stores.database.replace("slm_user:", "envkit_admin:")
    with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf rejects connection"):
        psycopg.connect(url, connect_timeout=5)


def test_a_process_of_postgresql_has_no_socket_that_another_user_could_open(stores: Stores) -> None:
    """A container's socket is inside the container, and envkit's superuser may use it there."""
    if isinstance(stores.box, EmbeddedBox):
        listening = [
            one.laddr
            for process in stores.box.processes()
            if process.name() == "postgres"
            for one in process.net_connections(kind="unix")
        ]
        assert not any(listening), listening
    else:
        said = stores.box.engine.execute(
            stores.box.ids()["postgres"], "psql", "-U", "envkit_admin", "-d", "postgres", "-c", "SHOW is_superuser"
        )
        assert "on" in said, said


def test_what_suites_need_of_postgresql_works(stores: Stores) -> None:
    stores.allowed(
        "sql",
        "CREATE EXTENSION pgcrypto",
        "CREATE EXTENSION citext",
        'CREATE EXTENSION "uuid-ossp"',
        "CREATE SCHEMA one CREATE TABLE t (id int PRIMARY KEY)",
        "DROP SCHEMA public CASCADE",
        "CREATE SCHEMA public",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'",
        "SET session_replication_role = replica",
        "SET statement_timeout = 1000",
        "ALTER DATABASE action_history SET work_mem = '8MB'",
        "CREATE DATABASE others",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'others'",
        "DROP DATABASE others WITH (FORCE)",
        "SELECT 1 / (setting = '0')::int FROM pg_settings WHERE name = 'superuser_reserved_connections'",
    )
    with psycopg.connect(stores.database, autocommit=True) as connection:
        owner = connection.execute(
            "SELECT pg_get_userbyid(datdba), rolsuper FROM pg_database, pg_roles "
            "WHERE datname = current_database() AND rolname = current_user"
        ).fetchone()
    assert owner == ("slm_user", False)


def test_a_stranger_gets_no_code_and_no_files_from_redis(stores: Stores) -> None:
    client = redis.Redis.from_url(stores.variables["REDIS_URL"])
    assert str(client.info("server")["redis_version"]).startswith("7."), "each lane takes Redis 7 where it can be had"
    stores.refused(
        "redis",
        ("CONFIG", "SET", "dir", "/tmp"),
        ("CONFIG", "SET", "dbfilename", "stranger.so"),
        ("MODULE", "LOAD", "/tmp/envkit-stranger.so"),
        ("MODULE", "LOADEX", "/tmp/envkit-stranger.so"),
        ("DEBUG", "SLEEP", "0"),
        ("DEBUG", "RELOAD"),
        ("DEBUG", "SET-DISABLE-DENY-SCRIPTS", "1"),
    )
    settings = ("enable-module-command", "enable-protected-configs", "enable-debug-command")
    for ok, said in stores.stranger(*(("redis", ("CONFIG", "SET", name, "yes")) for name in settings)):
        assert not ok and "immutable config" in said, said


def test_what_suites_need_of_redis_works(stores: Stores) -> None:
    stores.allowed(
        "redis",
        ("SET", "a", "1"),
        ("CONFIG", "SET", "maxmemory-samples", "6"),
        ("CONFIG", "SET", "maxmemory", str(64 << 20)),
        ("CONFIG", "GET", "*"),
        ("CONFIG", "RESETSTAT"),
        ("EVAL", "return redis.call('GET', 'a')", "0"),
        ("ACL", "WHOAMI"),
        ("CLIENT", "LIST"),
        ("FLUSHALL",),
    )


def test_saved_data_stay_in_its_own_folder(stores: Stores) -> None:
    stores.allowed("redis", ("SET", "a", "1"), ("SAVE",))
    (ok, folder), *_ = stores.stranger(("redis", ("CONFIG", "GET", "dir")))
    assert ok
    if stores.lane == "embedded":
        home = Path(f"/var/tmp/envkit-{stores.box.name}") if os.getuid() == 0 else stores.box.state
        assert str(home) in folder and "/data" in folder, folder
    else:
        assert "/data" in folder, folder
    stores.allowed("redis", ("FLUSHALL",))


def test_no_store_runs_as_root(stores: Stores) -> None:
    """This test checks containers; other tests check the uids of processes."""
    if isinstance(stores.box, EmbeddedBox):
        return
    for service, program in (("redis", "redis-server"), ("postgres", "postgres")):
        said = stores.box.engine.execute(stores.box.ids()[service], "cat", "/proc/1/comm", "/proc/1/status")
        uids = next(line.split()[1:] for line in said.splitlines() if line.startswith("Uid:"))
        assert said.startswith(program) and "0" not in uids, said


GENERATED = "credentials: generated\n" + STORES


def test_generated_credentials_are_the_environments_own(up: Up) -> None:
    stores, published = up(GENERATED), "test_password"
    password, other = (stores.variables[name] for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD"))
    assert len({password, other, published}) == 3 and min(map(len, (password, other))) >= 32
    stores.allowed("sql", "SELECT 1")
    stores.allowed("redis", ("PING",))
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(stores.database.replace(password, published), connect_timeout=5)
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(stores.variables["REDIS_URL"].replace(f":{other}@", "")).ping()
    kept = list((stores.box.state / stores.box.name / "secrets").iterdir())
    assert {path.name for path in kept} == {"postgres-password", "redis-password"}
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    before = stores.box.ids()
    stores.box("up").ok()
    assert (stores.box.ids(), stores.box.variables()) == (before, stores.variables), "stable over `up`"
    for word in (password, other):
        found = subprocess.run(["pgrep", "-f", "--", word], capture_output=True, text=True)
        assert found.stdout == "", "a command line, which every user of the machine may read"


MIGRATED = (
    STORES
    + """
  migrate:
    once: true
    migrations: {{folder: migrations, service: postgres}}
    needs: postgres
"""
)

SEEDED = """
-- +goose Up
CREATE EXTENSION IF NOT EXISTS pgcrypto;
CREATE TABLE parents (id int PRIMARY KEY);
CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents);
INSERT INTO parents VALUES (1); INSERT INTO children VALUES (1, 1);
"""


@pytest.mark.parametrize("right", ["SET", "made anew"])
def test_reset_puts_seeded_rows_back_with_the_users_own_rights(up: Up, right: str) -> None:
    stores = up(MIGRATED, migrations={"1_seed.sql": SEEDED})
    with psycopg.connect(stores.database, autocommit=True) as connection:
        connection.execute("DELETE FROM children; DELETE FROM parents; INSERT INTO parents VALUES (7)")
    if right == "made anew":
        if isinstance(stores.box, EmbeddedBox):
            return  # nothing to test: the right cannot be revoked, because no superuser can log in
        revoke = "REVOKE SET ON PARAMETER session_replication_role FROM slm_user"
        words = ("psql", "-U", "envkit_admin", "-d", "postgres", "-c", revoke)
        stores.box.engine.execute(stores.box.ids()["postgres"], *words)
    said = stores.box("reset").ok()
    assert ("made anew" in said.out + said.err) == (right == "made anew"), said
    with psycopg.connect(stores.database) as connection:
        assert connection.execute("SELECT * FROM parents").fetchall() == [(1,)]
        assert connection.execute("SELECT * FROM children").fetchall() == [(1, 1)]


def test_a_migration_that_lacks_a_right_names_the_option(up: Up) -> None:
    needs_more = "-- +goose Up\nCREATE EXTENSION dblink;\n"
    with pytest.raises(AssertionError, match=r"options: \{extensions: \[NAME\]\}"):
        up(MIGRATED, migrations={"1_more.sql": needs_more})
    asked = MIGRATED.replace("database: action_history", "database: action_history, extensions: dblink")
    stores = up(asked, migrations={"1_more.sql": needs_more.replace("EXTENSION", "EXTENSION IF NOT EXISTS")})
    stores.allowed("sql", "SELECT dblink_get_connections()")
    stores.refused("sql", "COPY (SELECT 1) TO PROGRAM 'id'")


def test_every_right_is_given_on_request(up: Up) -> None:
    stores = up(EVERY)
    stores.allowed("sql", "COPY (SELECT 1) TO PROGRAM 'cat >/dev/null'", "CREATE EXTENSION dblink")
    stores.allowed("redis", ("CONFIG", "SET", "dbfilename", "mine.rdb"), ("DEBUG", "SLEEP", "0"))


EVERY = """
cluster: none
services:
  redis: {{preset: redis, ports: {{redis: {redis}}}, options: {{superuser: true}}}}
  postgres: {{preset: postgres, ports: {{postgres: {postgres}}}, options: {{superuser: true}}}}
"""
