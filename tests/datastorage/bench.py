"""Measures the speed of the service, compared with psycopg's executemany on the same server in the same run.

    python -m tests.datastorage.bench [--events 1000000] [--seconds 10] [--rate 500] [--json]

It fills a database, then measures batches, single writes at a fixed rate and queries, over loopback only. Rounds
alternate between the two, so that a busy host slows both equally. It reports medians. The service, PostgreSQL and the
client share the host's cores.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from envkit.datastorage.contract import FIELDS
from envkit.datastorage.events import new_event_id

from . import binaries
from .migrations import apply_migrations
from .servers import Postgres, Redis, remove
from .services import BATCH, EVENTS, Spawned, event

ROUNDS = 5
BATCH_EVENTS = 500
CONNECTIONS = 16
DETAIL = {"signal": "OOMKilled", "pod": "web-0", "labels": {"team": "a", "tier": "web"}, "text": "x" * 200}
PLACES = ", ".join(["%s"] * (len(FIELDS) + 2))
INSERT = f"INSERT INTO audit_events (event_id, event_timestamp_given, {', '.join(FIELDS)}) VALUES ({PLACES})"
FILL = """
INSERT INTO audit_events (event_id, event_timestamp, event_timestamp_given, version, event_type, event_category,
    event_action, event_outcome, correlation_id, event_data)
SELECT gen_random_uuid(), at, to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), '1.0', 'gateway.signal.received', 'gateway',
    'received', 'success', 'rr-' || (i / 10), %s::jsonb
FROM generate_series(1, %s) AS i, LATERAL (SELECT timestamptz '2025-01-01Z' + i * interval '1 second' AS at) AS moment
"""


def batch(number: int) -> list[dict[str, Any]]:
    return [
        event(correlation_id=f"bench-{number}-{i // 10}", severity="low", event_data=DETAIL)
        for i in range(BATCH_EVENTS)
    ]


@contextmanager
def stage(events: int) -> Iterator[tuple[Postgres, Spawned]]:
    """Yield PostgreSQL with ``events`` stored events, and a service that uses it."""
    workdir = Path(tempfile.mkdtemp(prefix="envkit-bench-"))
    workdir.chmod(0o755)
    found = binaries.find()
    postgres, redis = Postgres(found, workdir / "postgres"), Redis(found, workdir / "redis")
    try:
        postgres.start()
        redis.start()
        apply_migrations(postgres, "postgres")
        postgres.execute(FILL, json.dumps(DETAIL), events)
        postgres.execute("VACUUM ANALYZE audit_events")
        environment = {"DATABASE_URL": postgres.url(), "REDIS_URL": redis.url, "HOST": "127.0.0.1", "LOG_LEVEL": "INFO"}
        service = Spawned(environment | {"PORT": "0", "HEALTH_PORT": "0", "METRICS_PORT": "0"})
        try:
            service.wait_until_ready()
            yield postgres, service
        finally:
            service.stop()
    finally:
        postgres.kill()
        redis.kill()
        remove(workdir)


class Wire:
    """One keep-alive HTTP connection. The client is minimal, because it shares the cores with the service."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(self) -> "Wire":
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def post(self, path: str, body: bytes) -> int:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        fields = answer.lower().split(b"content-length: ")[1]
        await self._reader.readexactly(int(fields.split(b"\r\n")[0]))
        return int(answer.split()[1])

    def close(self) -> None:
        self._writer.close()


def timed(work: Callable[[int], None], seconds: float) -> float:
    """Return the events per second of ``work``, which writes one batch per call."""
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        work(count)
        count += 1
    return count * BATCH_EVENTS / (time.perf_counter() - started)


def service_batches(service: Spawned, seconds: float, workers: int) -> float:
    """Return the events per second of the service, with ``workers`` batches in parallel."""
    bodies = [json.dumps(batch(number)).encode() for number in range(8)]

    async def work() -> float:
        wires = [await Wire(service.ports["api"]).open() for _ in range(workers)]
        started, written = time.perf_counter(), 0

        async def one(wire: Wire) -> None:
            nonlocal written
            while time.perf_counter() - started < seconds:
                assert await wire.post(BATCH, bodies[written % 8]) == 201
                written += 1

        await asyncio.gather(*(one(wire) for wire in wires))
        rate = written * BATCH_EVENTS / (time.perf_counter() - started)
        for wire in wires:
            wire.close()
        return rate

    return asyncio.run(work())


def executemany(postgres: Postgres, seconds: float) -> float:
    """Return the events per second of psycopg's executemany, with one transaction per batch and without the service."""
    with psycopg.connect(postgres.url(), autocommit=True) as connection, connection.cursor() as cursor:
        rows = [
            [item["event_timestamp"]]
            + [json.dumps(item[name]) if name == "event_data" else item.get(name) for name in FIELDS]
            for item in batch(0)
        ]

        def work(number: int) -> None:
            with connection.transaction():
                cursor.executemany(INSERT, [[new_event_id(), *row] for row in rows])

        return timed(work, seconds)


def single_writes(service: Spawned, seconds: float, rate: int) -> list[float]:
    """Return the latencies of writes at a fixed rate, in milliseconds.

    Each latency counts from the time when the write was due, so that a stall also counts for the writes behind it.
    """

    async def work() -> list[float]:
        wires: asyncio.Queue[Wire] = asyncio.Queue()
        for _ in range(CONNECTIONS):
            wires.put_nowait(await Wire(service.ports["api"]).open())
        latencies: list[float] = []
        bodies = [json.dumps(event(correlation_id=f"single-{i}", event_data=DETAIL)).encode() for i in range(100)]

        async def one(number: int, due: float) -> None:
            wire = await wires.get()
            assert await wire.post(EVENTS, bodies[number % 100]) == 201
            latencies.append((time.perf_counter() - due) * 1000)
            wires.put_nowait(wire)

        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                due = started + number / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(one(number, due))
        while not wires.empty():
            wires.get_nowait().close()
        return latencies

    return asyncio.run(work())


def queries(service: Spawned, count: int) -> dict[str, list[float]]:
    """Return the latencies of three kinds of query in milliseconds."""
    kinds: dict[str, dict[str, object]] = {
        "by correlation id": {"correlation_id": "rr-{}"},
        "newest 50": {},
        "by correlation id and detail": {"correlation_id": "rr-{}", "detail_key": "pod", "detail_value": "web-0"},
    }
    found: dict[str, list[float]] = {}
    for name, given in kinds.items():
        for number in range(count if given else max(3, count // 20)):
            asked = {key: str(value).format(number * 37) for key, value in given.items()}
            started = time.perf_counter()
            assert service.query(**asked)["data"]
            found.setdefault(name, []).append((time.perf_counter() - started) * 1000)
    return found


def percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {f"p{p}": round(ordered[min(len(ordered) - 1, len(ordered) * p // 100)], 2) for p in (50, 90, 99)}


def measure(events: int, seconds: float, rate: int) -> dict[str, Any]:
    with stage(events) as (postgres, service):
        service_batches(service, 1, 1)
        rounds = [
            (
                executemany(postgres, seconds / 3),
                service_batches(service, seconds / 3, 1),
                service_batches(service, seconds / 3, 4),
            )
            for _ in range(ROUNDS)
        ]
        base, one, four = (statistics.median(column) for column in zip(*rounds, strict=True))
        singles = [percentiles(single_writes(service, seconds, rate)) for _ in range(3)]
        return {
            "stored events at the start": events,
            "load average": [round(load, 1) for load in os.getloadavg()],
            "executemany, events/s": round(base),
            "batches of 500 one at a time, events/s": round(one),
            "batches of 500 four at a time, events/s": round(four),
            "share of executemany": round(max(one, four) / base, 2),
            f"single writes at {rate}/s, ms (median of 3 runs)": {
                key: statistics.median(run[key] for run in singles) for key in singles[0]
            },
            "queries, ms": {name: percentiles(values) for name, values in queries(service, 100).items()},
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.events, options.seconds, options.rate)
    sys.stdout.write(json.dumps(result, indent=None if options.json else 2) + "\n")


if __name__ == "__main__":
    main()
