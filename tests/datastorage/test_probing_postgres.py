"""The probe's small client and pg8000 give the same result for every login method of the server."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from envkit.base.deadline import Deadline
from envkit.drivers.clusters.pki import Pki
from envkit.drivers.databases import pgwire, sql
from envkit.drivers.probes import Target
from envkit.drivers.probes.postgres import PostgresProbe
from tests.support.asking import attempt

from .binaries import NOBODY
from .servers import PASSWORD, Postgres, wait_for

HOST = "127.0.0.1"


def login(**other: str) -> PostgresProbe:
    return PostgresProbe(type="postgres", **{"user": "slm_user", "password": PASSWORD, "database": "postgres"} | other)


def by_pg8000(probe: PostgresProbe, port: int) -> None:
    with sql.connect(probe, HOST, port, 5) as connection:
        connection.run(probe.query)


def seen(probe: PostgresProbe, port: int) -> str | None:
    return attempt(probe, Target(lambda _name: port, lambda _argv: (0, "")))


@contextmanager
def guest(postgres: Postgres, rules: str, kept_as: str = "scram-sha-256") -> Iterator[None]:
    """Create a user whose login follows `rules` (lines of pg_hba.conf), after the server has loaded them."""
    file = postgres.data / "pg_hba.conf"
    before = file.read_text()
    postgres.execute(f"SET password_encryption = '{kept_as}'; CREATE ROLE guest LOGIN PASSWORD 'secret'")
    file.write_text(f"{rules}\n{before}")
    try:
        read_again(postgres)
        yield
    finally:
        file.write_text(before)
        postgres.execute("DROP ROLE guest")
        read_again(postgres)


def read_again(postgres: Postgres) -> None:
    """Make the server reload its rules and settings, and wait until it has done so."""
    before = postgres.execute("SELECT pg_conf_load_time()")
    postgres.execute("SELECT pg_reload_conf()")
    wait_for(lambda: postgres.execute("SELECT pg_conf_load_time()") != before, "the rules to be read")


@pytest.mark.parametrize("way", ["scram-sha-256", "md5", "password", "trust"])
def test_every_way_to_log_in_ends_in_an_answer(way: str, postgres: Postgres) -> None:
    right, wrong = login(user="guest", password="secret"), login(user="guest", password="other")
    refused = 'no answer: password authentication failed for user "guest"'
    with guest(postgres, f"host all guest {HOST}/32 {way}", "md5" if way == "md5" else "scram-sha-256"):
        assert seen(right, postgres.port) is None
        assert seen(wrong, postgres.port) == (None if way == "trust" else refused)


@pytest.mark.parametrize(
    "wrong",
    [{"password": "other"}, {"user": "nobody"}, {"database": "none"}, {"query": "SELECT 1/0"}, {"query": "nonsense"}],
    ids=lambda wrong: "-".join(*wrong.items()),
)
def test_what_the_server_refuses_is_told_in_its_words(wrong: dict[str, str], postgres: Postgres) -> None:
    probe = login(**wrong)
    with pytest.raises(sql.SqlError) as theirs:
        by_pg8000(probe, postgres.port)
    with pytest.raises(sql.SqlError) as ours:
        pgwire.ask(probe, HOST, postgres.port, Deadline(5))

    assert str(ours.value) == str(theirs.value)
    assert seen(probe, postgres.port) == f"no answer: {theirs.value}"


def test_an_answer_of_many_rows_is_read_to_its_end_and_an_empty_one_is_one(postgres: Postgres) -> None:
    for query in ("SELECT repeat('x', 1000) FROM generate_series(1, 2000)", "", "SELECT 1; SELECT 2"):
        assert seen(login(query=query), postgres.port) is None


def test_a_password_beyond_ascii_is_understood_all_the_same(postgres: Postgres) -> None:
    postgres.execute("CREATE ROLE far LOGIN PASSWORD 'pässwörd'")
    try:
        assert seen(login(user="far", password="pässwörd"), postgres.port) is None
    finally:
        postgres.execute("DROP ROLE far")


def test_a_server_that_wants_tls_is_spoken_to_with_tls(postgres: Postgres, tmp_path: Path) -> None:
    made = Pki(tmp_path / "pki").server("postgres", [HOST])
    for name, source in zip(("server.crt", "server.key"), made, strict=True):
        copy = postgres.data / name
        copy.write_text(source.read_text())
        copy.chmod(0o600)
        if os.geteuid() == 0:
            os.chown(copy, NOBODY, NOBODY)
    rules = f"hostssl all guest {HOST}/32 scram-sha-256\nhostnossl all guest {HOST}/32 reject"
    postgres.execute("ALTER SYSTEM SET ssl = on")
    try:
        with guest(postgres, rules):
            hidden = "SELECT 1 / ssl::int FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            probe = login(user="guest", password="secret", query=hidden)
            assert seen(probe, postgres.port) is None
            by_pg8000(probe, postgres.port)
    finally:
        postgres.execute("ALTER SYSTEM RESET ssl")
        read_again(postgres)
