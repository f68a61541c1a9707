"""Tests of single probe attempts: None on success, otherwise the reason; each runs against a small fake server."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import TypeAdapter

from envkit.config.models import Probe
from envkit.drivers.databases.resp import RedisError, connect
from envkit.drivers.probes import Target
from tests.support.asking import attempt, describe
from tests.unit.sockets import answering, tcp

MIB = 2**20


def probe(**fields: Any) -> Probe:
    made: Probe = TypeAdapter(Probe).validate_python(fields)
    return made


def target(port: int, answer: tuple[int, str] = (0, "")) -> Target:
    return Target(lambda _name: port, lambda _argv: answer)


@pytest.fixture
def dead() -> int:
    """Return a port without a listener."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def replying(*replies: bytes, seen: list[bytes] | None = None) -> Callable[[socket.socket], None]:
    """Return a handler that answers each read with the next reply and closes the connection after the last reply."""

    def handle(plug: socket.socket) -> None:
        for reply in replies:
            asked = plug.recv(65536)
            if seen is not None:
                seen.append(asked)
            plug.sendall(reply)

    return handle


def bulk(text: str) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text.encode()), text.encode())


# HTTP


def test_http_is_satisfied_by_its_status() -> None:
    seen: list[str] = []
    with tcp(answering(b"fine", seen=seen)) as port:
        assert attempt(probe(type="http", path="/readyz?x=1", headers={"X-A": "b"}), target(port)) is None

    assert seen[0].startswith("GET /readyz?x=1 HTTP/1.1\r\n")
    assert "X-A: b" in seen[0]


@pytest.mark.parametrize(("status", "wanted", "ok"), [("503 Busy", 200, False), ("204 No Content", 204, True)])
def test_http_with_another_status_tells_it_with_the_body(status: str, wanted: int, ok: bool) -> None:
    with tcp(answering(b"" if ok else b"database is down", status)) as port:
        seen = attempt(probe(type="http", status=wanted), target(port))

    assert seen == (None if ok else "HTTP 503: database is down")


@pytest.mark.parametrize("probe_type", ["http", "tcp", "redis", "postgres", "audit"])
def test_a_refused_connection_is_an_answer(dead: int, probe_type: str) -> None:
    login = {"user": "u", "password": "p", "database": "d"} if probe_type == "postgres" else {}

    seen = attempt(probe(type=probe_type, **login), target(dead))

    assert seen is not None
    assert "refused" in seen.lower() or "can't create a connection" in seen.lower()


@pytest.mark.parametrize("probe_type", ["http", "redis", "postgres"])
@pytest.mark.parametrize(
    "nonsense", [b"", b"\x00\xff\xfe", b"SSH-2.0-OpenSSH\r\n", b"$-9\r\n", b"HTTP/1.1 abc\r\n\r\n"]
)
def test_nonsense_is_an_answer(probe_type: str, nonsense: bytes) -> None:
    login = {"user": "u", "password": "p", "database": "d"} if probe_type == "postgres" else {}
    with tcp(replying(nonsense)) as port:
        seen = attempt(probe(type=probe_type, **login), target(port))

    assert seen


@pytest.mark.parametrize("probe_type", ["http", "redis", "postgres"])
def test_silence_ends_with_the_attempts_own_timeout(monkeypatch: pytest.MonkeyPatch, probe_type: str) -> None:
    """A published port accepts connections before its process listens: an open connection does not mean ready."""
    monkeypatch.setattr("envkit.drivers.probes.ATTEMPT_SECONDS", 0.2)
    login = {"user": "u", "password": "p", "database": "d"} if probe_type == "postgres" else {}
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        seen = attempt(probe(type=probe_type, **login), target(silent.getsockname()[1]))
        assert attempt(probe(type="tcp"), target(silent.getsockname()[1])) is None

    assert seen
    assert time.monotonic() - began < 5


# Redis


def info(**values: Any) -> bytes:
    rows = {
        "used_memory": 1,
        "maxmemory": 64 * MIB,
        "maxmemory_policy": "allkeys-lru",
        "mem_allocator": "jemalloc-5.2.1",
    }
    return bulk("# Memory\r\n" + "".join(f"{key}:{value}\r\n" for key, value in (rows | values).items()))


def decay(milliseconds: int) -> bytes:
    return bulk(f"___ Begin jemalloc statistics ___\n  opt.dirty_decay_ms: {milliseconds} (x)\n")


WANTED = {"type": "redis", "maxmemory": "64MiB", "policy": "allkeys-lru"}


def test_redis_is_satisfied_when_the_running_server_is_as_it_should_be() -> None:
    seen: list[bytes] = []
    with tcp(replying(b"+OK\r\n", b"+PONG\r\n", info(), decay(0), seen=seen)) as port:
        assert attempt(probe(**WANTED, password="s3cret", decay=True), target(port)) is None

    assert seen[0] == b"*2\r\n$4\r\nAUTH\r\n$6\r\ns3cret\r\n"
    assert seen[1] == b"*1\r\n$4\r\nPING\r\n"


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ([b"+PONG\r\n", info(maxmemory=0)], "maxmemory is"),
        (
            [b"+PONG\r\n", info(maxmemory_policy="noeviction")],
            "the eviction policy is noeviction, expected allkeys-lru",
        ),
        ([b"+PONG\r\n", info(), decay(10000)], "jemalloc keeps freed memory for 10000 ms, expected 0"),
        ([b"-LOADING Redis is loading the dataset in memory\r\n"], "no PONG: LOADING Redis is loading"),
        ([b"-NOAUTH Authentication required.\r\n"], "no PONG: NOAUTH"),
        ([b"+PONG\r\n", info(maxmemory="many")], "no PONG: invalid literal"),
        ([b"+PONG\r\n", b"$100\r\ncut"], "closed in the middle"),
        ([b"+PO"], "closed in the middle"),
    ],
)
def test_redis_that_is_not_as_it_should_be_tells_how(replies: list[bytes], expected: str) -> None:
    with tcp(replying(*replies)) as port:
        seen = attempt(probe(**WANTED, decay=True), target(port))

    assert seen is not None
    assert expected in seen


def test_another_allocator_has_no_decay_to_look_at() -> None:
    with tcp(replying(b"+PONG\r\n", info(mem_allocator="libc"))) as port:
        assert attempt(probe(**WANTED, decay=True), target(port)) is None


def test_replies_of_every_kind_are_read() -> None:
    replies = [b"+OK\r\n", b":42\r\n", bulk("zwei\r\nZeilen ü"), b"$-1\r\n", b"$0\r\n\r\n", b"-ERR no\r\n"]
    with tcp(replying(*replies)) as port, connect("127.0.0.1", port, "", 5) as client:
        assert [client.call("X") for _ in range(5)] == ["OK", "42", "zwei\r\nZeilen ü", "", ""]
        with pytest.raises(RedisError, match="ERR no"):
            client.call("X")


def test_words_are_sent_by_their_length_in_bytes() -> None:
    seen: list[bytes] = []
    with tcp(replying(b"+OK\r\n", seen=seen)) as port, connect("127.0.0.1", port, "", 5) as client:
        client.call("SET", "k€y", "a\r\nb")

    assert seen == [b"*3\r\n$3\r\nSET\r\n$5\r\nk\xe2\x82\xacy\r\n$4\r\na\r\nb\r\n"]


def test_a_reply_in_pieces_is_one_reply() -> None:
    def handle(plug: socket.socket) -> None:
        plug.recv(65536)
        for byte in bulk("hello world"):
            plug.sendall(bytes([byte]))
            time.sleep(0.001)

    with tcp(handle) as port, connect("127.0.0.1", port, "", 5) as client:
        assert client.call("X") == "hello world"


def test_a_wrong_password_is_an_error_before_anything_is_asked() -> None:
    with (
        tcp(replying(b"-WRONGPASS invalid\r\n")) as port,
        pytest.raises(RedisError, match="WRONGPASS"),
        connect("127.0.0.1", port, "wrong", 5),
    ):
        pytest.fail("not reached")


# Commands


def test_exec_asks_beside_the_service() -> None:
    ask = probe(type="exec", command=["pg_isready", "-q"])

    assert attempt(ask, target(0)) is None
    assert attempt(ask, target(0, (2, "no response\n"))) == "pg_isready ended with 2: no response"


def test_a_command_of_the_host() -> None:
    def run(*words: str) -> str | None:
        return attempt(probe(type="command", command=words), target(0))

    assert run("true") is None
    assert run("sh", "-c", "echo why; exit 3") == "ended with 3: why"
    assert "no-such-program" in str(run("no-such-program"))


def test_a_command_of_the_host_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envkit.drivers.probes.ATTEMPT_SECONDS", 0.2)

    assert "timed out" in str(attempt(probe(type="command", command=["sleep", "60"]), target(0)))


# Audit


class Store:
    """A minimal audit store; with `loses` it forgets events that it confirmed."""

    def __init__(self, *, status: str = "201 Created", loses: bool = False) -> None:
        self.status, self.loses = status, loses
        self.events: list[dict[str, Any]] = []

    def __call__(self, plug: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += plug.recv(65536)
        head, _, body = request.partition(b"\r\n\r\n")
        if head.startswith(b"POST"):
            length = next(
                int(it.split(b":")[1]) for it in head.split(b"\r\n") if it.lower().startswith(b"content-length")
            )
            while len(body) < length:
                body += plug.recv(65536)
            self.events.append(json.loads(body))
            answer, status = b"{}", self.status
        else:
            asked = head.split()[1].decode().partition("correlation_id=")[2]
            found = [it for it in self.events if it["correlation_id"] == asked and not self.loses]
            answer, status = json.dumps({"data": found}).encode(), "200 OK"
        plug.sendall(
            f"HTTP/1.1 {status}\r\nContent-Length: {len(answer)}\r\nConnection: close\r\n\r\n".encode() + answer
        )


def test_audit_writes_one_event_and_reads_it_back() -> None:
    store = Store()
    with tcp(store) as port:
        assert attempt(probe(type="audit"), target(port)) is None

    (event,) = store.events
    assert {"version", "event_type", "event_timestamp", "event_category", "correlation_id"} <= event.keys()


def test_the_configuration_says_what_the_audit_event_holds() -> None:
    store = Store()
    own = {"event_category": "gateway", "correlation_id": "mine", "event_timestamp": "never"}
    with tcp(store) as port:
        assert attempt(probe(type="audit", event=own), target(port)) is None

    (event,) = store.events
    assert (event["event_category"], event["event_type"]) == ("gateway", "envkit.environment.ready")
    assert not {"mine", "never"} & {event["correlation_id"], event["event_timestamp"]}, "they are new each time"


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        (Store(status="500 Broken"), "writing an event: HTTP 500: {}"),
        (Store(status="202 Accepted"), "writing an event: HTTP 202"),
        (Store(loses=True), 'reading the event back: HTTP 200: {"data": []}'),
    ],
)
def test_audit_that_does_not_come_back_is_told(store: Store, expected: str) -> None:
    with tcp(store) as port:
        assert str(attempt(probe(type="audit"), target(port))).startswith(expected)


# Messages


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"type": "http", "path": "/x", "status": 204}, "204 from http://127.0.0.1:80/x"),
        ({"type": "exec", "command": ["a", "b"]}, "exit code 0 from `a b`"),
        ({"type": "command", "command": ["a"]}, "exit code 0 from `a`"),
    ],
)
def test_what_is_expected_is_told_for_people(fields: dict[str, Any], expected: str) -> None:
    assert describe(probe(**fields), target(80)) == expected


def test_every_kind_of_probe_can_tell_what_it_expects() -> None:
    login = {"user": "u", "password": "hunter2", "database": "d"}
    kinds = [{"type": "tcp"}, WANTED, {"type": "postgres", **login}, {"type": "audit"}]

    told = [describe(probe(**fields), target(4242)) for fields in kinds]

    assert all("4242" in text for text in told)
    assert not any("hunter2" in text for text in told)
