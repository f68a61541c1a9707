"""Tests of the differences that `run` reports before it acts, and of data that it does not remove without consent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from envkit.base.errors import ReplacementRefused
from envkit.config.models import Environment, Service
from envkit.config.request import Request
from envkit.planning.differences import Difference, differences, keep_data
from envkit.planning.facts import ClusterFact, Facts, Instance
from envkit.planning.made import holds_data
from envkit.planning.plan import make
from tests.unit.wants import desired, environment, instance

DATA = {"data": True}


def found(env: Environment, *instances: Instance, **fields: Any) -> dict[str, bool]:
    """Return the name of each difference and whether it would lose data."""
    facts = Facts(**{"network": True, "instances": {it.service: it for it in instances}, **fields})
    wanted = desired(env)
    return {one.name: one.loses for one in differences(make(wanted, facts), wanted, facts)}


@pytest.mark.parametrize(
    ("service", "seen", "loses"),
    [
        (DATA, {}, True),
        (DATA, {"state": "paused"}, True),
        (DATA, {"state": "exited", "exit_code": 1}, False),
        ({}, {}, False),
        ({}, {"volumes": True}, True),
        ({"data": False}, {"volumes": True}, False),
    ],
)
def test_data_are_lost_with_what_works_and_holds_them(
    service: dict[str, Any], seen: dict[str, Any], loses: bool
) -> None:
    env = environment({"db": service})

    assert found(env, instance("db", **{"fingerprint": "old", **seen})) == {"db": loses}


def test_a_process_that_is_given_its_folder_holds_data() -> None:
    with_data, without = (
        Service.model_validate({"process": {"command": command}})
        for command in (["mysqld", "--datadir=${self.data}"], ["web"])
    )

    assert holds_data(with_data, instance("db"))
    assert not holds_data(without, instance("web"))


def test_what_never_worked_is_replaced_unasked_and_a_probe_of_another_configuration_does_not_say_so() -> None:
    env = environment({"db": DATA})

    assert found(env, instance("db"), unready={"db": "no PONG"}) == {"db": False}
    assert found(env, instance("db", fingerprint="old"), unready={"db": "maxmemory is 1, not 2"}) == {"db": True}


@pytest.mark.parametrize(
    ("fact", "loses"),
    [
        (ClusterFact("running", "other"), True),
        (ClusterFact("paused", "other"), True),
        (ClusterFact("stopped", "other"), False),
        (ClusterFact("running"), False),
        (ClusterFact("running", "cf", unready="no /readyz"), False),
    ],
)
def test_a_cluster_holds_data_while_it_works(fact: ClusterFact, loses: bool) -> None:
    assert found(environment({}, cluster={"type": "kind"}), cluster=fact)["cluster"] is loses


def test_a_stray_is_known_by_the_record_or_its_volume() -> None:
    old = instance("old")

    assert found(environment({}), strays=(old,)) == {"envkit-t-old": False}
    assert found(environment({}), strays=(old,), data=frozenset(["old"])) == {"envkit-t-old": True}
    assert found(environment({}), strays=(instance("old", volumes=True),)) == {"envkit-t-old": True}


def test_a_resume_and_what_is_kept_are_no_differences() -> None:
    assert found(environment({"a": {}, "b": {}}), instance("a", "paused"), instance("b")) == {}


def asked(*overlays: str, **environ: str) -> dict[str, str]:
    return Request.of(environ, Path("/"), overlays=overlays).asked()


@pytest.mark.parametrize(
    ("before", "now", "says"),
    [
        (asked("standins"), asked(), "it was brought up with --overlay standins: "),
        (asked(ENVKIT_OVERLAY="standins"), asked(), "it was brought up with ENVKIT_OVERLAY=standins: "),
        (asked("standins"), asked("other"), "it was brought up with --overlay standins: "),
    ],
)
def test_a_refusal_names_the_options_that_are_missing(before: dict[str, str], now: dict[str, str], says: str) -> None:
    with pytest.raises(ReplacementRefused, match="  - db: changed: image") as caught:
        keep_data([Difference("db", "changed: image", loses=True)], before, now)

    assert caught.value.hint.startswith(says)
    assert "--replace" in caught.value.hint
    assert caught.value.exit_code == 2


def test_the_same_option_given_another_way_is_no_reason() -> None:
    with pytest.raises(ReplacementRefused) as caught:
        keep_data([Difference("db", "x", loses=True)], asked("standins"), asked(ENVKIT_OVERLAY="standins"))

    assert "brought up with" not in caught.value.hint


def test_values_that_were_set_are_not_kept() -> None:
    request = Request.of({}, Path("/"), sets=("services.db.env.PASSWORD=hunter2",))

    assert request.asked() == {"set": "--set services.db.env.PASSWORD=..."}


def test_nothing_is_refused_where_nothing_is_lost() -> None:
    keep_data([Difference("web", "changed: image")], {}, {})
