"""All clients of envkit against servers that delay them: each attempt ends in time and reports a reason."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import TypeAdapter

from envkit.base.deadline import Deadline
from envkit.base.errors import Cancelled, EnvkitError
from envkit.base.kubeconfig import Access, render
from envkit.base.waiting import Cancel
from envkit.config.models import Probe
from envkit.drivers import probes
from envkit.drivers.clusters.api import Api
from envkit.drivers.clusters.apply import Applier
from envkit.drivers.clusters.manifests import Manifest
from envkit.drivers.databases import resp, sql
from envkit.drivers.engine import discovery, reach, sdk
from envkit.drivers.engine.endpoint import Endpoint
from envkit.drivers.probes.postgres import PostgresProbe
from envkit.drivers.supply.binaries.download import Digest, Http
from envkit.suite.audit_client import Client
from envkit.suite.environment import Environment
from tests.support.evil import ACTS, on_port, on_socket, seconds_of

SECONDS = 0.6
"""The time limit of each attempt in these tests."""

MORE = 10.0
"""Extra seconds for all servers together on a busy machine.

A client without a working deadline would wait a minute or more for a slow server.
"""

LOGIN = PostgresProbe(type="postgres", user="u", password="p", database="d")


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "envkit.drivers.probes.ATTEMPT_SECONDS", "envkit.drivers.engine.discovery.ASK_SECONDS",
        "envkit.drivers.engine.reach.ASK_SECONDS",
        "envkit.drivers.clusters.apply.CALL_SECONDS", "envkit.suite.audit_client.CALL_SECONDS",
        "envkit.drivers.supply.binaries.web.READ_SECONDS", "envkit.drivers.supply.binaries.download.READ_SECONDS",
    ):  # fmt: skip
        monkeypatch.setattr(name, SECONDS)


def _probe(**fields: Any) -> Callable[[int, Path], object]:
    probe: Probe = TypeAdapter(Probe).validate_python(fields)
    return lambda port, _: probe.attempt(probes.Target(lambda _name: port, lambda _argv: (0, "")))


def _statement(port: int, _: Path) -> object:
    with sql.connect(LOGIN, "127.0.0.1", port, SECONDS) as connection:
        return connection.run("SELECT 1")


def _redis(port: int, _: Path) -> object:
    with resp.connect("127.0.0.1", port, "secret", SECONDS) as client:
        return client.info("memory")


def _api(port: int, _: Path) -> object:
    return Api(Access(f"https://127.0.0.1:{port}", verify=False), SECONDS).ask("GET", "/version")


def _manifest(port: int, folder: Path) -> None:
    file = folder / f"{port}.kubeconfig"
    file.write_text(render(Access(f"http://127.0.0.1:{port}", token="t"), "evil"))
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    Applier(file, folder / f"{port}.cache", "evil").apply(Manifest(body, "m.yaml", 1))


def _engine_by_tcp(port: int, _: Path) -> object:
    with sdk.translated("listing"):
        return sdk.connect(Endpoint("docker", f"tcp://127.0.0.1:{port}", "", ""), SECONDS).containers()


def _command_by_tcp(port: int, _: Path) -> object:
    with sdk.translated("running"):
        return sdk.executed(sdk.connect(Endpoint("docker", f"tcp://127.0.0.1:{port}", "", ""), SECONDS), "c", ["id"])


def _ask_tcp(port: int, _: Path) -> object:
    return discovery.ask(f"tcp://127.0.0.1:{port}")


def _audit(port: int, _: Path) -> object:
    return Client(Environment({}), f"http://127.0.0.1:{port}").find("c")


def _small(port: int, _: Path) -> object:
    return Http({}, patience=SECONDS / 2, first_pause=0.1).text(f"http://127.0.0.1:{port}/", Cancel())


def _large(port: int, folder: Path) -> object:
    said: list[str] = []
    http, digest = Http({}, seconds=SECONDS, patience=SECONDS / 2, first_pause=0.1), Digest("sha256", "0" * 64)
    work = folder / str(port)
    return http.file(f"http://127.0.0.1:{port}/", digest, work, what="it", report=said.append, cancel=Cancel())


CLIENTS: dict[str, Callable[[int, Path], object]] = {
    "http": _probe(type="http"),
    "https": _probe(type="http", scheme="https"),
    "audit": _probe(type="audit"),
    "redis": _probe(type="redis", password="secret"),
    "redis commands": _redis,
    "postgres": _probe(type="postgres", user="u", password="p", database="d"),
    "statements": _statement,
    "API server": _api,
    "manifests": _manifest,
    "engine": _engine_by_tcp,
    "command in a container": _command_by_tcp,
    "version of an engine": _ask_tcp,
    "audit events": _audit,
    "small download": _small,
    "download": _large,
}

TWICE = {"small download", "download"}
"""The clients that retry, so that they take twice the time of one attempt."""


ANSWERED = ("http", "endless body")
"""A client and a server that succeed together: the HTTP probe needs only the status and reads at most 1 MB more."""


@pytest.mark.parametrize("name", CLIENTS)
def test_every_attempt_ends_in_time(name: str, tmp_path: Path) -> None:
    most = SECONDS * (3 if name in TWICE else 1) + MORE

    def one(act: str) -> tuple[str, float, object]:
        with on_port(ACTS[act]) as port:
            return act, *seconds_of(lambda: CLIENTS[name](port, tmp_path))

    with ThreadPoolExecutor(len(ACTS)) as pool:
        seen = list(pool.map(one, ACTS))

    late = {act: f"{took:.1f} s: {given!r}" for act, took, given in seen if took > most}
    assert late == {}
    unsaid = {act: given for act, _, given in seen if not _says_why(given) and (name, act) != ANSWERED}
    assert unsaid == {}


def _says_why(given: object) -> bool:
    """Return whether the result is a probe's sentence or an error of envkit, not a Python error."""
    if isinstance(given, str):
        return given.startswith("HTTP 302") or len(given) > len("no answer: ")
    return isinstance(given, EnvkitError | sql.SqlError | resp.RedisError | OSError | ValueError) and bool(str(given))


@pytest.mark.parametrize("act", ACTS)
def test_a_socket_that_is_no_engine_is_left_in_time(act: str, tmp_path: Path) -> None:
    container = "c" * 64
    with on_socket(ACTS[act], tmp_path / "s") as path:
        took, given = seconds_of(lambda: discovery.ask(f"unix://{path}"))
        also, nothing = seconds_of(lambda: reach._inspected(Endpoint("docker", f"unix://{path}", "", ""), container))
        calls = sdk.connect(Endpoint("docker", f"unix://{path}", "", ""), SECONDS)
        third, error = seconds_of(lambda: calls.containers())

    assert max(took / 2, also, third) < SECONDS + 1
    assert isinstance(given, OSError | ValueError)
    assert nothing == {}
    assert isinstance(error, Exception)


def test_what_a_trickle_is_called() -> None:
    with on_port(ACTS["trickles the body"]) as port:
        said = CLIENTS["http"](port, Path())

    assert said == f"no answer: timed out: no whole answer within {SECONDS:g} s"


@pytest.mark.parametrize("act", ["says nothing", "reads nothing", "trickles PostgreSQL"])
def test_a_signal_ends_an_attempt_at_once(act: str) -> None:
    cancel = Cancel()
    with on_port(ACTS[act]) as port, ThreadPoolExecutor(1) as pool:

        def ask() -> object:
            with sql.connect(LOGIN, "127.0.0.1", port, Deadline(60, cancel)) as connection:
                return connection.run("SELECT 1")

        asked = pool.submit(seconds_of, ask)
        time.sleep(0)
        cancel.set(15)
        took, given = asked.result(10)

    assert took < 2
    assert isinstance(given, Cancelled)


def test_a_signal_ends_a_question_to_the_engine_only_where_that_is_allowed(tmp_path: Path) -> None:
    cancel = Cancel()
    with on_socket(ACTS["says nothing"], tmp_path / "s") as path:
        calls = sdk.connect(Endpoint("docker", f"unix://{path}", "", ""), 1, cancel=cancel)
        cancel.set(15)
        took, given = seconds_of(lambda: calls.containers())
        with cancel.cutting():
            cut, error = seconds_of(lambda: calls.containers())

    assert 1 <= took < 2
    assert not isinstance(given, Cancelled)
    assert cut < 0.5
    assert isinstance(error, Cancelled)


def test_a_name_that_does_not_resolve_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket
    import threading

    over, real = threading.Event(), socket.getaddrinfo

    def hanging(host: str, *more: Any, **flags: Any) -> Any:
        if flags.get("flags"):
            return real(host, *more, **flags)
        over.wait(60)
        raise OSError

    monkeypatch.setattr("socket.getaddrinfo", hanging)
    try:
        took, given = seconds_of(lambda: CLIENTS["API server"].__globals__["Api"](
            Access("https://slow.invalid:6443", verify=False), SECONDS
        ).ask("GET", "/version"))  # fmt: skip
    finally:
        over.set()

    assert took < SECONDS + 1
    assert "resolving slow.invalid: timed out" in str(given)


def test_a_command_whose_child_holds_its_output_open_is_ended(tmp_path: Path) -> None:
    """`subprocess.run` waits until the output is closed, and a child of the command keeps it open."""
    mark = tmp_path / "child"
    probe = _probe(type="command", command=["sh", "-c", f"sleep 77 & echo $! >{mark}; sleep 77"])

    took, given = seconds_of(lambda: probe(0, tmp_path))

    assert took < SECONDS + 2
    assert "timed out" in str(given)
    with suppress(psutil.NoSuchProcess):
        assert psutil.Process(int(mark.read_text())).status() == psutil.STATUS_ZOMBIE
