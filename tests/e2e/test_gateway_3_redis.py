"""Tests of Redis: its limits, read from inside, and 3 GB written into it."""

from __future__ import annotations

import os
import random
import re
import socket
import time

import pytest
import redis

from tests.support.box import Box

pytestmark = [pytest.mark.e2e, pytest.mark.kind]

GIB = 1 << 30
TO_WRITE = 3_000_000_000
SECONDS = 90


def read_first(box: Box, *paths: str) -> str:
    """Return the content of the first file that exists in the container: the path of cgroup v2, then that of v1."""
    script = "; ".join(f"[ -r {path} ] && cat {path} && exit 0" for path in paths) + "; echo absent"
    return box.engine.execute(box.ids()["redis"], "sh", "-c", script).strip()


def test_limit_and_swap_as_the_kernel_tells_them(gateway: Box) -> None:
    assert read_first(gateway, "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes") == str(
        4 * GIB
    )
    host = gateway.engine.inspect(gateway.name, "redis")["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == 4 * GIB
    swap = read_first(gateway, "/sys/fs/cgroup/memory.swap.max", "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")
    assert swap in ("0", str(4 * GIB), "absent")  # v1 counts memory and swap together; absent: no swap accounting


def test_size_policy_persistence_and_allocator_as_the_server_tells_them(gateway: Box) -> None:
    with redis.Redis.from_url(gateway.variables()["REDIS_URL"], decode_responses=True) as connection:
        memory = connection.info("memory")
        assert memory["maxmemory"] == 2 * GIB
        assert memory["maxmemory_policy"] == "allkeys-lru"
        assert connection.config_get("save") == {"save": ""}
        assert connection.config_get("appendonly") == {"appendonly": "no"}
        if memory["mem_allocator"].startswith("jemalloc"):
            stats = str(connection.execute_command("MEMORY", "MALLOC-STATS"))
            assert re.search(r"opt\.dirty_decay_ms: 0\b", stats) and re.search(r"opt\.muzzy_decay_ms: 0\b", stats)


def test_three_gigabytes_evict_and_survive(gateway: Box) -> None:
    before = gateway.engine.inspect(gateway.name, "redis")
    variables = gateway.variables()
    with redis.Redis.from_url(variables["REDIS_URL"], socket_timeout=60) as connection:
        connection.config_resetstat()
        began = time.monotonic()
        last = fill(variables["REDIS_HOST"], int(variables["REDIS_PORT"]), TO_WRITE)
        took = time.monotonic() - began
        memory, stats = connection.info("memory"), connection.info("stats")
        assert stats["evicted_keys"] > 0
        assert memory["used_memory"] <= 2 * GIB * 1.05
        assert connection.get(last) is not None
        connection.flushall(asynchronous=True)
    after = gateway.engine.inspect(gateway.name, "redis")
    print(f"{TO_WRITE} bytes in {took:.0f} s; peak {memory['used_memory_peak_human']} of data")
    assert after["State"]["Running"] and not after["State"]["OOMKilled"]
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])
    assert took < SECONDS


def fill(host: str, port: int, size: int) -> str:
    """Write `size` bytes and return the last key.

    Half of the bytes are in values of 1 KB, half in values of 100 KB, in random order. The function pipelines on a
    plain socket, because a client library would need more time than the server.
    """
    chance, number, sent = random.Random(2), 0, 0
    values = [(f"${length}\r\n".encode(), os.urandom(length * 8), length) for length in (1_000, 100_000)]
    with socket.create_connection((host, port), timeout=30) as connection:
        while sent < size:
            batch = []
            for _ in range(400):
                head, noise, length = values[chance.random() < 0.01]
                start = chance.randrange(length * 7)
                key = b"fill:%d" % number
                batch += [
                    b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n" % (len(key), key),
                    head,
                    noise[start : start + length],
                    b"\r\n",
                ]
                number, sent = number + 1, sent + length
            connection.sendall(b"".join(batch))
            answers = b""
            while len(answers) < 400 * len(b"+OK\r\n"):
                answers += connection.recv(1 << 16)
            assert answers == b"+OK\r\n" * 400
    return key.decode()
