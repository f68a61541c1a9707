"""Tests of the output of plan, status and down, as text and as JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

from envkit.cli import show
from envkit.cli.flags import Flags
from envkit.operations.status import Row, Status
from envkit.planning.plan import Action, Plan, Step, Subject

PLAN = Plan((
    Step("network", Subject.NETWORK, "network", Action.KEEP, "is there"),
    Step("redis", Subject.SERVICE, "redis", Action.REPLACE, "exited with 1", ("network",)),
))  # fmt: skip


def shown(what: Callable[..., None], *args: Any) -> str:
    out = io.StringIO()
    what(*args, out.write)
    return out.getvalue()


def test_a_plan_is_shown_with_reasons_and_as_json() -> None:
    text = shown(show.plan, PLAN, Flags())
    rows = json.loads(shown(show.plan, PLAN, Flags(json=True)))

    assert text.splitlines() == [
        "keep     network  is there",
        "replace  redis    exited with 1",
        "1 of 2 steps would change something",
    ]
    assert rows[1] == {"step": "redis", "action": "replace", "reason": "exited with 1", "needs": ["network"]}
    assert shown(show.plan, Plan(PLAN.steps[:1]), Flags()).endswith("nothing to do\n")


def test_a_status_is_shown_as_a_table_and_as_json() -> None:
    found = Status("t", "docker 24", (Row("redis", "running", "ready", {"main": "127.0.0.1:6379"}, "redis:7", "3m"),
                                      Row("job", "absent", "-")))  # fmt: skip
    etcd = Row("etcd", "running", "ready", {}, "program:etcd", "1s", "3.5 from PATH")
    plain = Status("t", "plain processes", (etcd,), ("kube-x: no y",))

    text, body = shown(show.status, found, Flags()), json.loads(shown(show.status, found, Flags(json=True)))

    assert "environment t on docker 24: not up" in text
    assert "main 127.0.0.1:6379" in text
    assert body["up"] is False
    assert body["services"][0]["addresses"] == {"main": "127.0.0.1:6379"}
    assert "IMAGE" in text and "redis:7" in text and "missing" not in text

    text, body = shown(show.status, plain, Flags()), json.loads(shown(show.status, plain, Flags(json=True)))
    assert "PROGRAM" in text and "3.5 from PATH" in text and "missing: kube-x: no y" in text
    assert (body["services"][0]["source"], body["missing"]) == ("3.5 from PATH", ["kube-x: no y"])


def test_down_tells_what_went() -> None:
    assert shown(show.down, "t", ["a", "b"], Flags()) == "environment t is down: 2 things removed\n"
    assert "nothing to remove" in shown(show.down, "t", [], Flags())
    assert json.loads(shown(show.down, "t", ["a"], Flags(json=True))) == {"name": "t", "removed": ["a"]}
