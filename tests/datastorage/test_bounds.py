"""Every resource has a limit; the service refuses requests that exceed one, with a reason."""

import json
import resource
import socket
import threading
import time

import pytest

from envkit.datastorage.admission import Admission
from envkit.datastorage.errors import Overloaded

from .conftest import Spawn, Start
from .servers import Postgres, wait_for
from .services import BATCH, EVENTS, Threaded, event


def test_admission_counts_requests_and_bytes_and_gives_them_back() -> None:
    admission = Admission(max_requests=2, max_bytes=100)
    with admission.ticket() as first, admission.ticket() as second:
        first.hold(60)
        with pytest.raises(Overloaded, match="100 bytes"):
            second.hold(41)
        second.hold(40)
        with pytest.raises(Overloaded, match="2 requests"), admission.ticket():
            pass
    assert (admission.requests, admission.bytes) == (0, 0)


@pytest.mark.integration
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_bounded(start: Start, chunked: bool) -> None:
    service = start(max_body_bytes=2048)
    body = json.dumps(event(event_data="x" * 3000)).encode()
    answer = service.ask("POST", EVENTS, body=iter([body]) if chunked else body, chunked=chunked)
    assert answer.status == 413
    assert answer.json()["type"] == "https://kubernaut.ai/problems/payload-too-large"


@pytest.mark.integration
def test_a_batch_of_5_mib_is_taken(service: Threaded) -> None:
    batch = [event(event_data="x" * 10_000) for _ in range(500)]
    assert len(json.dumps(batch)) < 5 * 1024 * 1024 + 500 * 300
    assert service.post(batch, BATCH).status == 201
    assert service.post([*batch, *batch], BATCH).status == 413


@pytest.mark.integration
def test_more_requests_than_places_are_sent_away(start: Start) -> None:
    service = start(max_requests_in_flight=1)
    with socket.create_connection(("127.0.0.1", service.ports["api"])) as held:
        held.sendall(f"POST {EVENTS} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n".encode())
        wait_for(lambda: service.post(event()).status == 429, "no place to be left")
        answer = service.post(event())
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["type"] == "https://kubernaut.ai/problems/overloaded"
    wait_for(lambda: service.post(event()).status == 201, "the place to be free again")


@pytest.mark.integration
def test_more_bytes_than_may_be_held_are_sent_away(start: Start) -> None:
    service = start(max_bytes_in_flight=5000)
    assert service.post(event(event_data="x" * 5000)).status == 429
    assert service.post(event(event_data="x" * 4000)).status == 201


@pytest.mark.integration
def test_a_body_that_does_not_arrive_ends_the_request(start: Start) -> None:
    service = start(body_timeout=0.2)
    with socket.create_connection(("127.0.0.1", service.ports["api"]), timeout=5) as slow:
        slow.sendall(f"POST {EVENTS} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n".encode())
        assert b" 408 " in slow.recv(4096)


@pytest.mark.integration
def test_the_pool_is_bounded(start: Start, postgres: Postgres, database: str) -> None:
    service = start(pool_max_size=3)
    threads = [threading.Thread(target=lambda: [service.post(event()) for _ in range(20)]) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name = 'envkit-datastorage'"
    assert postgres.execute(count, database)[0][0] in (1, 2, 3)
    assert service.query(limit=1)["pagination"]["total"] == 240


@pytest.mark.integration
def test_half_sent_headers_are_timed_out(start: Start) -> None:
    service = start(header_timeout=0.5)
    began = time.monotonic()
    with (
        socket.create_connection(("127.0.0.1", service.ports["api"]), timeout=10) as half,
        socket.create_connection(("127.0.0.1", service.ports["health"]), timeout=10) as silent,
    ):
        half.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n")
        for _ in range(3):
            time.sleep(0.1)  # single bytes do not extend the time limit
            half.sendall(b"X: y\r\n")
        assert b" 408 " in half.recv(4096)
        assert half.recv(4096) == b""
        assert silent.recv(4096) == b""
    assert time.monotonic() - began < 5


@pytest.mark.integration
def test_a_connection_that_is_kept_may_rest_longer_than_headers_may_take(start: Start) -> None:
    service = start(header_timeout=0.3)
    with socket.create_connection(("127.0.0.1", service.ports["health"]), timeout=10) as kept:
        for _ in range(2):
            kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in kept.recv(4096)
            time.sleep(0.6)  # longer than the time limit


@pytest.mark.integration
def test_4200_half_sent_requests_keep_nobody_out(spawn: Spawn) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
    service = spawn()
    held: list[socket.socket] = []
    try:
        for _ in range(4200):
            one = socket.create_connection(("127.0.0.1", service.ports["api"]), timeout=10)
            one.sendall(f"POST {EVENTS} HTTP/1.1\r\nHost: x\r\nX-Half".encode())
            held.append(one)
        assert [service.post(event()).status for _ in range(20)] == [201] * 20
    finally:
        for one in held:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.integration
@pytest.mark.parametrize("announced", [True, False])
def test_whoever_sends_too_much_reads_413_and_no_reset(start: Start, announced: bool) -> None:
    """The body is far larger than the kernel's buffers, so the client sends most of it after the answer."""
    service = start(max_body_bytes=2048)
    size, chunk = 64 << 20, b"x" * (1 << 20)
    with socket.create_connection(("127.0.0.1", service.ports["api"]), timeout=20) as client:
        length = f"Content-Length: {size}" if announced else "Transfer-Encoding: chunked"
        client.sendall(f"POST {EVENTS} HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode())
        for _ in range(size // len(chunk)):
            client.sendall(chunk if announced else b"%x\r\n%s\r\n" % (len(chunk), chunk))
        client.sendall(b"" if announced else b"0\r\n\r\n")
        assert b" 413 " in client.recv(65536)
        client.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in client.recv(65536)


@pytest.mark.integration
def test_a_body_that_never_ends_after_its_413_ends_the_connection(start: Start) -> None:
    service = start(max_body_bytes=2048, header_timeout=0.5)
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", service.ports["api"]), timeout=20) as client:
        client.sendall(f"POST {EVENTS} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        with pytest.raises(OSError):
            while time.monotonic() - began < 15:
                client.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
    assert time.monotonic() - began < 10


@pytest.mark.integration
def test_a_client_that_reads_nothing_is_left(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envkit.datastorage.protocol.WRITE_SECONDS", 0.5)
    service = start()
    for _ in range(20):
        assert service.post([event(event_data="x" * 10_000) for _ in range(100)], BATCH).status == 201
    with socket.create_connection(("127.0.0.1", service.ports["api"]), timeout=20) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(f"GET {EVENTS}?limit=1000 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_for(lambda: service.metric("datastorage_requests_in_flight") == 1, "the request to be under way")
        wait_for(lambda: service.metric("datastorage_requests_in_flight") == 0, "the request to be given up")
