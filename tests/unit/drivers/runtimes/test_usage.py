"""Tests of a service's resource usage: values from the engine and the kernel, and how `status` shows them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from envkit.base.errors import Cancelled, EngineError
from envkit.base.waiting import Cancel
from envkit.cli import show
from envkit.cli.flags import Flags
from envkit.drivers.runtimes.fake import FakeEngine
from envkit.drivers.runtimes.usage import Usage, of_processes, of_stats
from envkit.operations.status import Row, Status, _share
from envkit.planning.facts import Instance
from tests.support.fake_session import opened
from tests.support.operations import looks, up
from tests.unit.wants import environment


def test_what_an_engine_tells_without_what_the_kernel_would_give_back() -> None:
    said = {
        "memory_stats": {"usage": 10 * 2**20, "stats": {"inactive_file": 4 * 2**20}},
        "cpu_stats": {"cpu_usage": {"total_usage": 1_500_000_000}},
    }
    assert of_stats(said) == Usage(6 * 2**20, 1.5)
    assert of_stats({}) == Usage()
    assert of_stats({"memory_stats": {}, "cpu_stats": {"cpu_usage": {}}}) == Usage()


def test_processes_are_counted_together_and_gone_ones_not() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    alone = of_processes([os.getpid()])
    assert alone.memory > 2**20 and alone.cpu > 0
    assert of_processes([gone.pid]) == Usage()
    assert of_processes([os.getpid(), gone.pid]).memory > 2**20


@pytest.mark.parametrize(
    ("before", "now", "share"),
    [(None, 5.0, None), ((10.0, 4.0), 5.0, 0.5), ((10.0, 5.0), 5.0, 0.0), ((10.0, 6.0), 5.0, None)],
)
def test_the_share_of_a_processor_since_the_last_look(
    before: tuple[float, float] | None, now: float, share: float | None
) -> None:
    seen = None if before is None else (before[0], Usage(0, before[1]))
    assert _share(Row("a", "running", "ready", usage=Usage(0, now)), 12.0, seen) == share


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    made = FakeEngine()
    made.images.there["i"] = "sha256:i"
    yield made
    made.close()


def test_looks_go_on_until_a_signal(engine: FakeEngine, tmp_path: Path) -> None:
    up(opened(environment({"a": {}}), tmp_path, engine))
    cancel = Cancel()
    session = opened(environment({"a": {}}), tmp_path, engine, cancel=cancel)
    seen = looks(session, 0.01)
    first, second = islice(seen, 2)
    assert (first.rows[0].share, first.rows[0].usage.memory) == (None, 2**20)
    assert second.rows[0].share is not None and second.rows[0].share > 0
    cancel.set(2)
    with pytest.raises(Cancelled):
        next(seen)


class Silent(FakeEngine):
    def usage(self, instance: Instance) -> Usage:
        raise EngineError("no stats here")


def test_an_engine_that_tells_nothing_does_not_spoil_the_rest(tmp_path: Path) -> None:
    engine = Silent()
    engine.images.there["i"] = "sha256:i"
    try:
        up(opened(environment({"a": {}}), tmp_path, engine))
        (only,) = islice(looks(opened(environment({"a": {}}), tmp_path, engine), 1.0), 1)
        assert only.up and only.rows[0].usage == Usage()
    finally:
        engine.close()


FOUND = Status("t", "docker", (
    Row("redis", "running", "ready", usage=Usage(20 * 2**20, 3.25), limit=128 * 2**20),
    Row("app", "running", "ready", usage=Usage(2**20, 1.0), share=0.031),
    Row("gone", "absent", "-"),
))  # fmt: skip


def test_it_is_shown_in_columns_and_told_in_numbers() -> None:
    written: list[str] = []
    show.status(FOUND, Flags(environ={}), written.append)
    lines = "".join(written).splitlines()
    assert "20 MiB of 128" in lines[3] and "3.2s" in lines[3]
    assert "1 MiB " in lines[4] and "3%" in lines[4]
    rows = show.as_data(FOUND)["services"]
    assert rows[0]["memory"] == 20 * 2**20 and rows[0]["memory_limit"] == 128 * 2**20
    assert (rows[0]["cpu_seconds"], rows[0]["cpu_share"], rows[1]["cpu_share"]) == (3.25, None, 0.031)


def test_a_look_is_drawn_in_place_or_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    show.look(FOUND, Flags(environ={}, json=True), written.append)
    assert written[0].count("\n") == 1 and json.loads(written[0])["up"] is False
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    show.look(FOUND, Flags(environ={"TERM": "xterm"}), written.append)
    assert written[1].startswith("\x1b[H\x1b[2J")
    show.look(FOUND, Flags(environ={"TERM": "dumb"}), written.append)
    assert "\x1b" not in written[2]
