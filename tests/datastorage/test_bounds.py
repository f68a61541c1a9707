"""Nothing grows without a bound; what exceeds one is sent away with a reason."""

import json
import socket
import threading

import pytest

from envkit.datastorage.admission import Admission
from envkit.datastorage.errors import Overloaded

from .conftest import Start
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
