"""Tests of envkit.suite without any backend: its imports, its messages, and the guarantees of its audit store."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import prometheus_client
import pytest

from envkit.suite import AuditStore, Environment, NotWithin, Registries, SuiteError, Tokens, eventually, unique_name
from envkit.suite.audit_client import Refused, Unanswered
from envkit.suite.libraries import needed
from envkit.suite.once import once

HEAVY = ("kubernetes", "redis", "psycopg", "prometheus_client", "docker", "pydantic", "pytest", "urllib3", "filelock")


def test_importing_it_imports_no_library_that_a_suite_may_not_have() -> None:
    program = f"import sys, envkit.suite; print([name for name in {HEAVY} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout == "[]\n"


def test_importing_the_plugin_imports_no_client_library() -> None:
    clients = HEAVY[:6]
    program = f"import sys, envkit.suite.plugin; print([name for name in {clients} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout == "[]\n"


def test_a_missing_library_names_the_fixture_and_the_extra() -> None:
    with pytest.raises(SuiteError, match="envkit_redis needs the library there_is_none") as missing:
        needed("there_is_none.client", "envkit_redis")
    assert "pip install 'envkit-orchestrator[suite]'" in str(missing.value)


def test_the_extra_has_what_the_fixtures_need() -> None:
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    extra = text.partition("\nsuite = [")[2].partition("]\n")[0]
    used = {
        found
        for path in (Path(__file__).parents[3] / "envkit/suite").glob("*.py")
        for found in re.findall(r'needed\("(\w+)"', path.read_text())
    }
    assert used == {"redis", "psycopg", "prometheus_client"}
    assert all(name in extra for name in used)


# Variables


def test_a_missing_and_an_empty_variable_are_errors_that_name_them() -> None:
    for environ, state in (({}, "is not set"), ({"REDIS_URL": ""}, "is empty")):
        with pytest.raises(SuiteError, match=f"the variable REDIS_URL {state}") as missing:
            Environment(environ).redis_url  # noqa: B018  the access is the test
        assert "envkit run -- COMMAND" in str(missing.value)
        assert "REDIS_URL" not in Environment(environ)


def test_a_token_that_is_no_jwt_is_handed_on_and_its_file_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-the-file\n")
    variables = {"X_TOKEN": "from-the-variable", "X_TOKEN_FILE": str(file)}
    assert Tokens(Environment(variables))["X_TOKEN"] == "from-the-file"
    file.write_text("renewed\n")
    assert Tokens(Environment(variables))["X_TOKEN"] == "renewed"
    file.unlink()
    with pytest.raises(SuiteError, match="X_TOKEN_FILE names"):
        Tokens(Environment(variables))["X_TOKEN"]
    with pytest.raises(SuiteError, match="Y_TOKEN is not set"):
        Tokens(Environment(variables))["Y_TOKEN"]


def test_the_usual_tokens_are_known_by_how_their_variables_end() -> None:
    tokens = Tokens(Environment({"SHOP_AUTHORIZED_TOKEN": "may", "SHOP_UNAUTHORIZED_TOKEN": "may-not"}))
    assert (tokens.authorized, tokens.unauthorized) == ("may", "may-not")
    with pytest.raises(SuiteError, match=r"the variable \.\.\._AUTHORIZED_TOKEN is not set"):
        _ = Tokens(Environment({"OTHER_TOKEN": "x"})).authorized
    with pytest.raises(SuiteError, match="several variables end with _AUTHORIZED_TOKEN: A_AUTHORIZED_TOKEN, B_"):
        _ = Tokens(Environment({"A_AUTHORIZED_TOKEN": "a", "B_AUTHORIZED_TOKEN": "b"})).authorized


def test_names_are_unique_dns_labels_that_tell_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw7")
    names = {unique_name("Some_Prefix.that is rather long, longer than a label may be at all") for _ in range(50)}
    assert len(names) == 50
    assert all(re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name) and len(name) <= 63 for name in names)
    assert unique_name("web").startswith("web-gw7-")


# Waiting


def test_eventually_returns_the_first_true_answer() -> None:
    answers = iter([0, [], "yes"])
    assert eventually(lambda: next(answers)) == "yes"


def test_eventually_tells_what_and_the_last_reason() -> None:
    def never() -> bool:
        assert not [1], "one is not two"
        return True

    with pytest.raises(NotWithin, match=r"peace: not within 0.1 s; last seen: AssertionError: one is not two"):
        eventually(never, what="peace", seconds=0.1)
    with pytest.raises(NotWithin, match="last seen: 0"):
        eventually(lambda: 0, seconds=0.1)


def test_eventually_ends_at_once_with_an_error_that_means_something_else() -> None:
    with pytest.raises(ZeroDivisionError):
        eventually(lambda: 1 // 0)


# One process prepares, the others wait


def test_once_does_the_work_once(tmp_path: Path) -> None:
    calls: list[int] = []
    gate = threading.Barrier(8)

    def worker(number: int) -> str:
        gate.wait(10)
        return once(tmp_path, "work", lambda: calls.append(number) or f"by {number}")  # type: ignore[func-returns-value]  # append gives None

    with ThreadPoolExecutor(8) as pool:
        results = set(pool.map(worker, range(8)))
    assert len(calls) == 1
    assert results == {f"by {calls[0]}"}


def test_once_remembers_a_failure_for_the_others(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        once(tmp_path, "work", lambda: str(1 // 0))
    with pytest.raises(SuiteError, match="work: failed in another worker: ZeroDivisionError"):
        once(tmp_path, "work", lambda: "never")


# The audit store


@dataclass
class Fake:
    """A fake DataStorage: it raises each exception of `answers` in turn, then accepts events."""

    answers: list[Exception] = field(default_factory=list)
    taken: list[bytes] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    open: threading.Event = field(default_factory=threading.Event)

    def store(self, events: Sequence[bytes]) -> None:
        assert self.open.wait(10)
        if self.answers:
            raise self.answers.pop(0)
        if any(b"bad" in one for one in events):
            raise Refused("400", some_event=True)
        self.taken += events
        self.sizes.append(len(events))

    def find(self, correlation_id: str) -> list[dict[str, Any]]:
        return []


def store_of(fake: Fake, **options: Any) -> AuditStore:
    return AuditStore(fake, **{"backoff": (0.01,), **options})


def event(number: int, kind: str = "good") -> dict[str, Any]:
    return {"correlation_id": f"c{number}", "event_type": kind, "event_data": {}}


def opened(*answers: Exception) -> Fake:
    fake = Fake(list(answers))
    fake.open.set()
    return fake


def test_events_are_sent_in_batches_that_datastorage_takes() -> None:
    fake = Fake()
    store = store_of(fake)
    for number in range(1201):
        store.record(event(number))
    fake.open.set()
    assert store.close() == []
    assert (len(fake.taken), store.stored, max(fake.sizes) <= 500) == (1201, 1201, True)


def test_busy_and_silence_are_tried_again() -> None:
    fake = opened(Unanswered("503"), Unanswered("429", after=0.02), Unanswered("cut"))
    store = store_of(fake)
    store.record(event(1))
    assert store.close() == []
    assert len(fake.taken) == 1


def test_only_the_bad_ones_are_lost() -> None:
    fake = opened()
    store = store_of(fake)
    for number in range(40):
        store.record(event(number, "bad" if number in (3, 30) else "good"))
    assert sorted(lost.correlation_id for lost in store.close()) == ["c3", "c30"]
    assert len(fake.taken) == 38


def test_what_nobody_may_send_is_not_tried_one_by_one() -> None:
    fake = opened(*[Refused("403 forbidden", some_event=False)] * 2)
    store = store_of(fake)
    store.record(event(1))
    store.record(event(2))
    assert len(store.close()) == 2
    assert fake.answers == [] or len(fake.answers) == 1


def test_a_full_buffer_makes_record_wait_and_then_loses_the_event() -> None:
    fake = Fake()
    store = store_of(fake, capacity=2, full_seconds=0.05)
    for number in range(600):  # one batch is in transit, two wait
        store.record(event(number))
        if store.lost:
            break
    assert "the buffer was full for 0.05 s" in str(store.lost[0])
    kept = len(store.lost)
    fake.open.set()
    assert len(store.close()) == kept


def test_what_cannot_be_stored_is_lost_at_the_end_and_named() -> None:
    fake = opened(*[Unanswered("503 down")] * 10_000)
    store = store_of(fake)
    store.record(event(1))
    (lost,) = store.close(seconds=0.2)
    assert lost.correlation_id == "c1"
    store.record(event(2))
    assert [str(one) for one in store.lost][1:] == ["good of c2: it came after the store was closed"]


def test_an_event_that_is_no_json_is_lost_and_never_raised() -> None:
    store = store_of(opened())
    store.record({**event(1), "event_data": object()})
    assert "it is not JSON" in str(store.close()[0])


FORKS = """
import os
from envkit.suite import audit
store = audit.shared()
store.record({"correlation_id": "parents"})
child = os.fork()
if not child:
    print(len(store._waiting), store._sending, store._thread, flush=True)
    os._exit(0)
os.waitpid(child, 0)
os._exit(0)
"""


def test_a_forked_child_begins_empty_and_the_parent_sends_its_own() -> None:
    environ = {**os.environ, "TEST_DATA_STORAGE_URL": "http://127.0.0.1:1", "PYTHONWARNINGS": "ignore"}
    said = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=60, env=environ)
    assert said.stdout == "0 0 None\n", said.stderr


# Metrics


def counter(name: str = "calls") -> prometheus_client.Counter:
    return prometheus_client.Counter(name, "Calls", registry=None)


def test_another_component_with_the_same_metric_is_an_error_that_names_both() -> None:
    registries = Registries(test=True)
    first = registries.safe_register("gateway", counter())
    assert registries.safe_register("gateway", counter()) is first
    with pytest.raises(SuiteError, match="worker cannot register calls: gateway has done so"):
        registries.safe_register("worker", counter())
    with pytest.raises(SuiteError, match="gateway has calls already, as a Counter"):
        registries.safe_register("gateway", prometheus_client.Gauge("calls", "Calls", registry=None))


def test_reset_forgets_in_both_modes() -> None:
    registries = Registries(test=True)
    registries.safe_register("gateway", counter()).inc()
    assert registries.value("calls_total") == 1.0
    registries.reset()
    assert registries.value("calls_total") == 0.0
    production = Registries()
    name = "envkit_test_of_reset"
    assert production.registry is prometheus_client.REGISTRY and not production.test
    production.safe_register("gateway", counter(name)).inc()
    assert prometheus_client.REGISTRY.get_sample_value(f"{name}_total") == 1.0
    production.reset()
    assert prometheus_client.REGISTRY.get_sample_value(f"{name}_total") is None


def test_test_mode_ends_with_what_was_there_before() -> None:
    registries = Registries(test=True)
    first = registries.safe_register("gateway", counter())
    with registries.testing():
        assert registries.safe_register("gateway", counter()) is not first
    assert registries.safe_register("gateway", counter()) is first
