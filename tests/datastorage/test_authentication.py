"""Bearer tokens: 401, 403, the requests to the API server, and an API server that does not answer."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from envkit.datastorage import apiserver
from envkit.datastorage.apiserver import ApiServer, ApiServerError
from envkit.datastorage.auth import Gate, Target
from envkit.datastorage.errors import ConfigurationError
from envkit.datastorage.problems import Problem
from tests.support.evil import ACTS, on_port, seconds_of

from .conftest import Start
from .fake_apiserver import FakeApiServer
from .services import EVENTS, event


@pytest.fixture
def fake() -> Iterator[FakeApiServer]:
    server = FakeApiServer()
    yield server
    server.close()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(fake: FakeApiServer, tmp_path: Path, clock: Clock) -> Iterator[Gate]:
    reviewer = apiserver.find(fake.kubeconfig(tmp_path), "", 443)
    with closing(Gate(reviewer, Target("ns", "svc"), timeout=0.5, remember=10, clock=clock)) as made:
        yield made


def admit(gate: Gate, header: str | None, method: str = "GET") -> str:
    return asyncio.run(gate.admit(header, method))


def status_of(gate: Gate, header: str | None, method: str = "GET") -> int:
    with pytest.raises(Problem) as caught:
        admit(gate, header, method)
    return int(caught.value.status)


def test_a_caller_who_may_is_named(gate: Gate, fake: FakeApiServer) -> None:
    assert admit(gate, "Bearer good", "POST") == "system:serviceaccount:default:good"
    attributes = {"namespace": "ns", "verb": "create", "resource": "services", "name": "svc"}
    assert fake.reviews == [
        ("TokenReview", {"token": "good"}),
        (
            "SubjectAccessReview",
            {
                "user": "system:serviceaccount:default:good",
                "groups": ["system:authenticated"],
                "resourceAttributes": attributes,
            },
        ),
    ]
    assert fake.identities == ["Bearer me", "Bearer me"]


@pytest.mark.parametrize("header", [None, "", "good", "Basic good", "Bearer", "Bearer ", "Bearer bad"])
def test_no_valid_token_is_401(gate: Gate, header: str | None) -> None:
    assert status_of(gate, header) == 401


def test_a_valid_token_without_the_right_is_403(gate: Gate) -> None:
    assert admit(gate, "Bearer reader", "GET")
    assert status_of(gate, "Bearer reader", "POST") == 403


def test_answers_are_remembered_for_a_while(gate: Gate, fake: FakeApiServer, clock: Clock) -> None:
    for _ in range(3):
        admit(gate, "Bearer good")
        status_of(gate, "Bearer bad")
    assert len(fake.reviews) == 3
    clock.now += 11
    admit(gate, "Bearer good")
    assert len(fake.reviews) == 5


def test_callers_with_one_token_ask_once(gate: Gate, fake: FakeApiServer) -> None:
    async def together() -> None:
        await asyncio.gather(*(gate.admit("Bearer good", "GET") for _ in range(10)))

    fake.delay = 0.05
    asyncio.run(together())
    assert len(fake.reviews) == 2


def test_an_api_server_that_does_not_answer_is_503_in_time(gate: Gate, fake: FakeApiServer) -> None:
    fake.delay = 1.5
    started = time.monotonic()
    assert status_of(gate, "Bearer good") == 503
    assert time.monotonic() - started < 1.2


def test_an_api_server_that_refuses_is_503_and_not_remembered(gate: Gate, fake: FakeApiServer) -> None:
    fake.status = 500
    assert status_of(gate, "Bearer good") == 503
    fake.status = 201
    assert admit(gate, "Bearer good")


def test_a_renewed_token_file_is_used(gate: Gate, fake: FakeApiServer, tmp_path: Path) -> None:
    admit(gate, "Bearer good")
    (tmp_path / "token").write_text("renewed")
    admit(gate, "Bearer reader")
    assert fake.identities[-1] == "Bearer renewed"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("current-context: x\ncontexts: []\nclusters: []\nusers: []", "there is no context 'x'"),
        ("a: [", "cannot be used"),
        ("- 1", "cannot be used"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "kubeconfig").write_text(text)
    with pytest.raises(ConfigurationError, match=fault):
        apiserver.find(tmp_path / "kubeconfig", "", 443)


def test_authentication_without_an_api_server_is_a_fault() -> None:
    with pytest.raises(ConfigurationError, match="KUBECONFIG: is missing"):
        apiserver.find(None, "", 443)


@pytest.mark.integration
def test_a_service_with_authentication(start: Start, fake: FakeApiServer, tmp_path: Path) -> None:
    service = start(auth_enabled=True, kubeconfig=str(fake.kubeconfig(tmp_path)))

    def ask(method: str, path: str, token: str = "") -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return service.ask(method, path, headers=headers, json=event() if method == "POST" else None).status

    assert [ask("POST", EVENTS), ask("GET", EVENTS)] == [401, 401]
    assert [ask("POST", EVENTS, "reader"), ask("GET", EVENTS, "reader")] == [403, 200]
    assert [ask("POST", EVENTS, "good"), ask("GET", EVENTS, "good")] == [201, 200]
    assert [ask("GET", path) for path in ("/readyz", "/health", "/openapi.json")] == [200, 200, 200]
    refused = service.ask("GET", EVENTS)
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["type"] == "https://kubernaut.ai/problems/unauthorized"
    operation = service.ask("GET", "/openapi.json").json()["paths"][EVENTS]["get"]
    assert operation["security"] == [{"bearer": []}]


def test_an_api_server_that_trickles_is_left_in_time() -> None:
    with on_port(ACTS["trickles the body"]) as port:
        took, given = seconds_of(lambda: ApiServer(f"http://127.0.0.1:{port}", None).create("/x", {}, 0.5))

    assert took < 2
    assert isinstance(given, ApiServerError)
    assert str(given) == "/x: no whole answer within 0.5 s"
