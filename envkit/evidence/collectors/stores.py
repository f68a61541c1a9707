"""Redis and PostgreSQL asked directly: memory, clients, what is slow; activity, locks, sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from envkit.base.ports import LOOPBACK
from envkit.drivers.probes.postgres import PostgresProbe
from envkit.drivers.probes.redis import RedisProbe
from envkit.evidence.collectors.scene import Collector, Scene, each
from envkit.inventory import observe

SECONDS = 5.0
"""One answer; a store that is stuck does not keep the others."""

ASKED = (("INFO",), ("INFO", "commandstats"), ("INFO", "errorstats"), ("CLIENT", "LIST"), ("MEMORY", "DOCTOR"), ("LATENCY", "DOCTOR"))  # fmt: skip  # noqa: E501  a table

QUERIES = {
    "activity": """
        SELECT pid, usename, datname, application_name, client_addr::text, client_port, state, wait_event_type,
               wait_event, now() - query_start AS running, now() - xact_start AS in_transaction, left(query, 500)
        FROM pg_stat_activity WHERE pid <> pg_backend_pid() ORDER BY xact_start NULLS LAST""",
    "locks": """
        SELECT l.pid, pg_blocking_pids(l.pid)::text AS blocked_by, l.locktype, l.mode, l.granted,
               l.relation::regclass::text, left(a.query, 300)
        FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid) WHERE pid <> pg_backend_pid()
        ORDER BY l.granted, l.pid""",
    "databases": """
        SELECT d.datname, pg_database_size(d.datname) AS bytes, s.numbackends, s.xact_commit, s.xact_rollback,
               s.deadlocks, s.temp_bytes, s.conflicts
        FROM pg_database d LEFT JOIN pg_stat_database s USING (datname) WHERE d.datallowconn""",
    "tables": """
        SELECT relid::regclass::text, pg_total_relation_size(relid) AS bytes, n_live_tup, n_dead_tup, seq_scan,
               last_autovacuum::text
        FROM pg_stat_user_tables ORDER BY 2 DESC LIMIT 100""",
    "settings": "SELECT name, setting, unit FROM pg_settings WHERE source NOT IN ('default', 'override')",
    "version": "SELECT version()",
}


def redis(scene: Scene) -> None:
    """INFO, clients, and what Redis thinks of its own memory."""
    each(scene, _asked(scene, RedisProbe), lambda one: f"redis: {one[0]}", lambda one: _redis(scene, *one))


def postgres(scene: Scene) -> None:
    """Who does what, who waits for whom, how large everything is."""
    each(scene, _asked(scene, PostgresProbe), lambda one: f"postgresql: {one[0]}", lambda one: _postgres(scene, *one))


def _asked(scene: Scene, kind: type[Any]) -> Iterator[tuple[str, Any, Callable[[str], int]]]:
    """Running services with such a probe: name, the probe as seen from here, its ports."""
    for one in scene.instances:
        service = scene.session.environment.services.get(one.service)
        if service is None or not isinstance(service.probe, kind) or not one.running:
            continue
        seen = observe.probed(scene.session, one.service, {one.service: one})
        yield one.service, seen.probe, observe.target_of(scene.session, seen, one).port


def _redis(scene: Scene, name: str, probe: RedisProbe, port: Callable[[str], int]) -> None:
    from envkit.drivers.databases.resp import RedisError, connect

    parts = []
    with connect(LOOPBACK, port(probe.port), probe.password, SECONDS) as client:
        for words in ASKED:
            try:
                said = client.call(*words)
            except RedisError as error:
                said = f"refused: {error}"
            parts.append(f"# {' '.join(words)}\n{said.replace(chr(13), '').rstrip()}\n")
    scene.bundle.text(f"stores/{name}.txt", "\n".join(parts))


def _postgres(scene: Scene, name: str, probe: PostgresProbe, port: Callable[[str], int]) -> None:
    from envkit.drivers.databases.sql import SqlError, connect

    parts = []
    with connect(probe, LOOPBACK, port(probe.port), SECONDS) as connection:
        for what, query in QUERIES.items():
            try:
                rows = connection.run(query) or []
            except SqlError as error:
                rows = [[f"refused: {error}"]]
            parts.append(f"# {what}: {len(rows)} rows\n" + "".join(f"{_row(row)}\n" for row in rows))
    scene.bundle.text(f"stores/{name}.txt", "\n".join(parts))


def _row(row: list[Any]) -> str:
    return " | ".join(" ".join(str(cell).split()) if cell is not None else "-" for cell in row)


COLLECTORS = (
    Collector("redis", redis, 15),
    Collector("postgresql", postgres, 15),
)
