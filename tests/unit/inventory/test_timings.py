"""Tests of the timings of `up`: measured from real events, with the critical path, and drawn on any terminal."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from envkit.base.errors import EnvironmentFailed
from envkit.base.events import Stream
from envkit.base.paths import Paths
from envkit.base.waiting import Cancel
from envkit.config.models import Environment
from envkit.inventory import timings
from envkit.inventory.timings import Span, Timings
from envkit.planning import apply
from envkit.planning.plan import Action, Plan, Step, Subject
from envkit.report.bars import Style, draw


def step(name: str, *needs: str, action: Action = Action.CREATE) -> Step:
    return Step(name, Subject.SERVICE, name, action, "is not there", needs)


PLAN = Plan((
    step("network", action=Action.KEEP), step("cluster", "network"), step("redis"), step("postgres"),
    step("migrate", "postgres"), step("datastorage", "migrate", "redis"),
))  # fmt: skip


@dataclass
class Worked:
    """A minimal environment for these tests; the real `apply` runs its steps."""

    paths: Paths
    seconds: dict[str, float]
    stream: Stream = field(default_factory=Stream)

    def up(self, plan: Plan = PLAN) -> Timings | None:
        def do(one: Step, _say: Any, _cancel: Cancel) -> str:
            if self.seconds.get(one.id, 0.0) < 0:
                raise EnvironmentFailed("it broke\nand more")
            time.sleep(self.seconds.get(one.id, 0.0))
            return "ready"

        environment = cast(Environment, SimpleNamespace(name="shop"))
        try:
            with timings.recorded(environment, self.paths, "docker", self.stream, plan):
                apply.run(plan, do, self.stream, Cancel())
        except EnvironmentFailed:
            pass
        assert self.stream.sinks == []
        return timings.read(self.paths)


@pytest.fixture
def paths(tmp_path: Any) -> Paths:
    return Paths(tmp_path, "shop")


def test_the_chain_that_ended_last_is_the_critical_path(paths: Paths) -> None:
    found = Worked(paths, {"postgres": 0.1, "migrate": 0.05, "datastorage": 0.1, "redis": 0.02, "cluster": 0.05}).up()
    assert found
    assert found.result == "up"
    assert [span.step for span in found.critical] == ["postgres", "migrate", "datastorage"]
    total = sum(span.seconds for span in found.critical)
    assert 0.25 <= total <= found.seconds
    facts = found.facts()
    assert facts["critical_path"] == {"steps": ["postgres", "migrate", "datastorage"], "seconds": round(total, 3)}
    waits = {row["step"]: row["waited_for"] for row in facts["steps"]}
    assert waits["datastorage"] == "migrate", "not redis, which was ready long before"
    assert waits["cluster"] is None, "what is kept is waited for by none"
    assert {row["step"] for row in facts["steps"] if row["critical"]} == {"postgres", "migrate", "datastorage"}


def test_a_last_step_that_took_no_time_is_on_the_path() -> None:
    spans = (
        Span("cluster", "create", (), "done", 0.3, 2.0),
        Span("bootstrap", "apply", ("cluster",), "done", 2.3, 0.0),
    )
    found = Timings("shop", 0.0, 2.4, "up", "docker", spans)
    assert [span.step for span in found.critical] == ["cluster", "bootstrap"]


def test_a_failure_is_kept_with_what_never_began(paths: Paths) -> None:
    found = Worked(paths, {"postgres": 0.02, "migrate": -1.0}).up()
    assert found
    assert found.result == "failed"
    states = {span.step: span.state for span in found.spans}
    assert states["migrate"] == "failed"
    assert states["datastorage"] == "waiting"
    assert next(span.message for span in found.spans if span.step == "migrate") == "it broke"
    drawn = draw(found, Style(80))
    assert ", failed\n" in drawn
    assert "never began: datastorage" in drawn


def test_an_up_with_nothing_to_do_leaves_the_last_one(paths: Paths) -> None:
    first = Worked(paths, {"redis": 0.01}).up()
    assert first
    assert Worked(paths, {}).up(Plan((step("redis", action=Action.KEEP),))) == first


@pytest.mark.parametrize("text", ["", "{}", '{"schema": 1}', '{"schema": 2, "name": "x"}', "[]"])
def test_what_this_version_does_not_understand_is_none(paths: Paths, text: str) -> None:
    paths.timings.parent.mkdir(parents=True)
    paths.timings.write_text(text)
    assert timings.read(paths) is None


SEEN = Timings("shop", 0.0, 22.6, "up", "docker 27.1.1 at unix:///var/run/docker.sock", (
    Span("network", "create", (), "done", 0.3, 0.1), Span("cluster", "create", ("network",), "done", 0.4, 20.3),
    Span("bootstrap", "apply", ("cluster",), "done", 20.7, 0.0),
    Span("redis", "create", ("network",), "done", 0.4, 0.9),
    Span("an-image-with-a-very-long-name:7-alpine", "pull", (), "done", 0.3, 2.0),
    Span("datastorage", "create", ("bootstrap", "redis"), "done", 20.7, 1.1),
    Span("postgres", "keep", (), "kept", 0.3),
))  # fmt: skip


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
@pytest.mark.parametrize("letters", [True, False])
def test_it_fits_on_any_terminal(columns: int, letters: bool) -> None:
    lines = draw(SEEN, Style(columns, letters)).splitlines()
    assert max(map(len, lines)) <= columns
    assert letters or all(line.isascii() for line in lines)
    marked = [line.split()[1] for line in lines if line.startswith("* ") and "critical" not in line]
    assert marked == ["network", "cluster", "bootstrap", "datastorage"]
    text = " ".join(" ".join(lines).split())
    arrow = "→" if letters else ">"
    assert f"critical path: network 0.1s {arrow} cluster 20.3s {arrow} bootstrap 0.0s {arrow} datastorage 1.1s" in text
    assert "21.5s of 22.6s; 0.3s before it, 0.0s between its steps, 0.8s after it" in text
    assert "and 1 that was kept" in text


def test_bars_stand_where_the_steps_were() -> None:
    lines = {line[2:].split()[0]: line for line in draw(SEEN, Style(100)).splitlines() if "s  " in line}
    begin, end = lines["cluster"].index("█"), lines["cluster"].rindex("█")
    assert lines["datastorage"].index("█") >= end, "what waited begins where the other ended"
    assert lines["redis"].index("▒") == begin
    assert lines["redis"].count("▒") < lines["cluster"].count("█") / 10
    assert lines["datastorage"].endswith("after bootstrap")


def test_colours_only_when_asked_for() -> None:
    assert "\x1b" not in draw(SEEN, Style(80))
    assert "\x1b[1;36m* cluster" in draw(SEEN, Style(80, colours=True))
