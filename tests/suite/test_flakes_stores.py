"""Tests of flaky patterns with stores, metrics and variables: first as suites wrote them, then with `envkit.suite`.

The first form fails, the second form passes.
"""

from __future__ import annotations

import queue
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import prometheus_client
import psycopg
import pytest

from envkit.suite import AuditStore, Environment, Registries, SuiteError, eventually
from envkit.suite import redis as suite_redis
from envkit.suite.audit_client import Client
from envkit.suite.database import PREFIX, at, database
from examples.gateway.tests.proxies import Line
from tests.e2e.embedded_box import EmbeddedBox
from tests.suite.inner import Inner
from tests.support.ports import free

pytestmark = [pytest.mark.e2e, pytest.mark.embedded]


# A variable was unset, and the code had a default


def test_flake_a_default_address_is_somebody_elses(environment: Environment) -> None:
    (nobody,) = free()
    variables: dict[str, str] = {}
    # the default was the port of another suite
    guessed = variables.get("TEST_DATA_STORAGE_URL", f"http://127.0.0.1:{nobody}")
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(f"{guessed}/readyz", timeout=5)


def test_gone_a_missing_variable_is_named(environment: Environment) -> None:
    with urllib.request.urlopen(f"{environment.data_storage_url}/readyz", timeout=10) as answer:
        assert answer.status == 200
    with pytest.raises(SuiteError, match="TEST_DATA_STORAGE_URL is not set") as missing:
        Environment({}).data_storage_url  # noqa: B018  the access is the test
    assert "envkit run -- COMMAND" in str(missing.value)


# Redis held an earlier suite's data and ran out of memory


def test_flake_what_an_earlier_suite_left_is_found(environment: Environment) -> None:
    with suite_redis.connect(environment) as earlier:
        earlier.set("gateway:dedup:abc", "seen")
    with suite_redis.connect(environment) as now:
        assert now.get("gateway:dedup:abc") == b"seen", "a first alert would be called a duplicate"
        now.delete("gateway:dedup:abc")


def test_gone_redis_is_emptied_once_before_the_suite_by_whoever_is_first(
    environment: Environment, inner: Callable[..., Inner]
) -> None:
    with suite_redis.connect(environment) as earlier:
        earlier.set("left", "x" * 1000)
        said = inner(
            """
            import pytest

            @pytest.mark.parametrize("number", range(12))
            def test_it(envkit_redis, number):
                assert not envkit_redis.exists("left")
                envkit_redis.incr("tests")

            def test_nobody_flushed_later(envkit_redis):
                envkit_redis.set("kept", 1)
            """,
            "-n", "3",
        ).ok()  # fmt: skip
        assert "13 passed" in said
        assert "Redis' memory: peak" in said and "test_inner.py: " in said
        assert (earlier.get("tests"), earlier.get("kept")) == (b"12", b"1"), "flushed once, before all of them"
        earlier.flushall()


def test_another_redis_is_never_flushed(environment: Environment, variables: dict[str, str]) -> None:
    with suite_redis.connect(environment) as client:
        assert suite_redis.marker(client) == f"envkit:{variables['ENVKIT_ENVIRONMENT']}"
        client.set("precious", "1")
        others = Environment({**variables, "ENVKIT_ENVIRONMENT": "another"})
        with pytest.raises(SuiteError, match="is not flushed: it does not belong to this environment"):
            suite_redis.flush(client, others)
        assert client.get("precious") == b"1"
        assert "1 keys" in suite_redis.flush(client, environment)
        assert not client.exists("precious")


# Every test had a separate audit store, which ended with the test


class StoreOfATest:
    """An audit store as suites wrote it: a buffer, and a flusher thread that ends with the test."""

    def __init__(self, client: Client) -> None:
        self._client, self._waiting, self._ends = client, queue.Queue[bytes](), threading.Event()
        self._flusher = threading.Thread(target=self._flush, daemon=True)
        self._flusher.start()

    def record(self, body: bytes) -> None:
        self._waiting.put(body)

    def close(self) -> None:
        self._ends.set()
        self._flusher.join()

    def _flush(self) -> None:
        while not self._ends.wait(30.0):
            while not self._waiting.empty():
                self._client.store([self._waiting.get()])


def event(correlation_id: str, number: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "version": "1.0", "event_type": "gateway.signal.received", "event_timestamp": datetime.now(UTC).isoformat(),
        "event_category": "gateway", "event_action": "received", "event_outcome": "success",
        "correlation_id": correlation_id, "event_data": {"number": number}, **more,
    }  # fmt: skip


def correlation() -> str:
    return f"suite-{uuid.uuid4()}"


def test_flake_what_was_buffered_dies_with_the_tests_store(environment: Environment) -> None:
    from envkit.suite.audit_client import encoded

    own, client = correlation(), Client(environment)
    store = StoreOfATest(client)
    store.record(encoded(event(own)))
    store.close()  # the test ends before the flusher's next turn
    assert client.find(own) == []


def test_gone_one_store_for_the_process_keeps_everything(environment: Environment) -> None:
    own, store = correlation(), AuditStore(Client(environment))
    for number in range(1200):
        store.record(event(own, number))
    assert store.close() == []
    assert {one["event_data"]["number"] for one in store.events(own, count=1200)} == set(range(1200))


def test_gone_datastorage_away_for_a_while(environment: Environment) -> None:
    address = environment.data_storage_url.rpartition(":")
    line = Line("127.0.0.1", int(address[2]))
    own, store = correlation(), AuditStore(Client(environment, f"http://127.0.0.1:{line.port}"))
    line.cut()
    for number in range(10):
        store.record(event(own, number))
    with pytest.raises(SuiteError, match="10 audit events are not stored"):
        store.drain(0.5)
    line.mend()
    store.drain()
    assert (store.close(), len(store.events(own, count=10))) == ([], 10)
    line.close()


def test_a_bad_event_takes_no_other_along(environment: Environment) -> None:
    own, store = correlation(), AuditStore(Client(environment))
    for number in range(20):
        store.record(event(own, number, **({"event_category": "nonsense"} if number == 7 else {})))
    (lost,) = store.close()
    assert (lost.correlation_id, "400" in lost.why) == (own, True)
    assert len(store.events(own, count=19)) == 19


def test_a_lost_event_fails_the_run_and_is_named(inner: Callable[..., Inner]) -> None:
    suite = inner(
        """
        import pytest

        @pytest.mark.parametrize("number", range(4))
        def test_it(envkit_audit, number):
            envkit_audit.record({"correlation_id": f"bad-{number}", "event_type": "nonsense"})
        """,
        "-n", "2",
    )  # fmt: skip
    assert suite.end() == 1, suite.out
    assert "4 passed" in suite.out
    assert "4 audit events were LOST: the run has failed" in suite.out
    assert all(f"nonsense of bad-{number}" in suite.out for number in range(4))


# Workers shared the database, and PostgreSQL could not copy it while a service was connected


def test_flake_a_database_with_connections_cannot_be_cloned(environment: Environment) -> None:
    url = environment.database_url
    with (
        psycopg.connect(url),
        psycopg.connect(at(url, "postgres"), autocommit=True) as keeper,
        pytest.raises(psycopg.errors.ObjectInUse),
    ):
        keeper.execute("CREATE DATABASE never_made TEMPLATE action_history")


def test_gone_each_has_a_migrated_empty_database_of_its_own(environment: Environment) -> None:
    with database(environment, "gw0") as one, database(environment, "gw1") as other:
        for own in (one, other):
            with own.connect() as connection:
                (versions,) = connection.execute("SELECT count(*) FROM goose_db_version").fetchone() or (0,)
                (events,) = connection.execute("SELECT count(*) FROM audit_events").fetchone() or (-1,)
                connection.execute("CREATE TABLE mine (id int)")
            assert (versions, events) == (3, 0), "the migrations, and nothing that tests wrote"
    assert mine(environment) == []


def test_gone_what_a_killed_suite_left_is_dropped_by_the_next(
    environment: Environment, inner: Callable[..., Inner]
) -> None:
    suite = inner(
        """
        import threading
        from pathlib import Path

        def test_it(envkit_database):
            Path("made").write_text(envkit_database.name)
            threading.Event().wait(300)
        """
    )
    made = suite.folder / "made"

    def there() -> str:
        if suite.process.poll() is not None:
            raise RuntimeError(suite.out)
        return made.read_text() if made.exists() else ""

    name = eventually(there, what="the suite has its database", seconds=60)
    with database(environment, "other"):
        assert name in mine(environment), "its owner lives"
    suite.kill()

    def swept() -> bool:
        with database(environment, "next"):
            return name not in mine(environment)

    eventually(swept, what="the dead suite's database has gone", seconds=20)


def mine(environment: Environment) -> list[str]:
    with psycopg.connect(at(environment.database_url, "postgres")) as connection:
        rows = connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [PREFIX])
        return [row[0] for row in rows.fetchall()]


# Servers registered their metrics globally


class Server:
    def __init__(self, register: Callable[[prometheus_client.Counter], Any]) -> None:
        self.signals = register(prometheus_client.Counter("flaky_signals", "Signals", registry=None))


def test_flake_the_second_server_of_a_process_cannot_register() -> None:
    registry = prometheus_client.CollectorRegistry(auto_describe=True)  # instead of the global registry

    def register(collector: prometheus_client.Counter) -> prometheus_client.Counter:
        registry.register(collector)
        return collector

    Server(register)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        Server(register)


def test_gone_servers_of_a_component_share_and_tests_do_not() -> None:
    registries = Registries()
    for _ in range(2):
        with registries.testing():
            with ThreadPoolExecutor(8) as pool:
                servers = list(pool.map(lambda _n: Server(lambda one: registries.safe_register("gw", one)), range(16)))
            for server in servers:
                server.signals.inc()
            assert registries.value("flaky_signals_total") == 16.0


# All patterns at once


def test_workers_share_nothing_that_they_should_not(
    shared: EmbeddedBox, environment: Environment, inner: Callable[..., Inner]
) -> None:
    said = inner(
        """
        import uuid
        import pytest
        from datetime import datetime, timezone
        from prometheus_client import Counter
        from envkit.suite import safe_register

        @pytest.mark.parametrize("number", range(16))
        def test_it(
            envkit_environment, envkit_namespace, envkit_admin, envkit_tokens, envkit_redis, envkit_database,
            envkit_audit, envkit_metrics, envkit_once, number,
        ):
            found = envkit_admin.ask("GET", f"/api/v1/namespaces/{envkit_namespace}")
            assert found["status"]["phase"] == "Active"
            assert envkit_tokens.authorized and envkit_tokens.unauthorized
            with envkit_database.connect() as connection:
                connection.execute("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, true)")
                rows = connection.execute("SELECT count(*) FROM goose_db_version WHERE version_id = 99").fetchone()
                assert rows[0] <= 16
            safe_register("app", Counter("app_calls", "Calls", registry=None)).inc()
            assert envkit_metrics.value("app_calls_total") == 1.0
            own = str(uuid.uuid4())
            envkit_audit.record({
                "version": "1.0", "event_type": "gateway.test", "event_category": "gateway", "event_action": "test",
                "event_timestamp": datetime.now(timezone.utc).isoformat(), "event_outcome": "success",
                "correlation_id": own, "event_data": {},
            })
            assert len(envkit_audit.events(own)) == 1
            assert envkit_once("counted", lambda: str(envkit_redis.incr("prepared"))) == "1"
        """,
        "-n", "4",
    ).ok()  # fmt: skip
    assert "16 passed" in said
    assert mine(environment) == []
