"""Tests of the plan: each rule that makes, keeps, replaces or skips a step, and the reason that it states."""

from __future__ import annotations

from typing import Any

import pytest

from envkit.base.errors import UsageError
from envkit.config.models import Service
from envkit.planning.facts import ClusterFact, Facts, Instance
from envkit.planning.plan import Plan, Want, make, select
from tests.unit.wants import desired, environment, instance

ONCE = {"once": True}
HOST = {"host_command": ["true"], "once": True}
KIND = {"cluster": {"type": "kind"}}


def facts(*instances: Instance, **fields: Any) -> Facts:
    return Facts(**{"network": True, "instances": {it.service: it for it in instances}, **fields})


def told(plan: Plan) -> dict[str, str]:
    """Return `action: reason` of each step by its id."""
    return {step.id: f"{step.action}: {step.reason}" for step in plan.steps}


def order(plan: Plan) -> list[str]:
    return [step.id for step in plan.steps]


# Selection


def test_selecting_takes_what_is_needed_transitively() -> None:
    env = environment({"a": {"needs": ["b"]}, "b": {"needs": ["c"]}, "c": {}, "d": {}})

    assert select(env, ["a"]) == {"a", "b", "c"}
    assert select(env, ["c", "d"]) == {"c", "d"}


def test_selecting_nothing_is_everything_with_the_cluster() -> None:
    services = {"a": {}, "b": {"needs": ["cluster"]}}

    assert select(environment(services, **KIND), ()) == {"a", "b", "cluster"}
    assert select(environment({"a": {}}), ()) == {"a"}
    assert select(environment(services, **KIND), ["b"]) == {"b", "cluster"}
    assert select(environment(services, **KIND), ["a"]) == {"a"}


def test_selecting_what_is_not_there_names_all_of_it_and_what_there_is() -> None:
    with pytest.raises(UsageError, match="no service named x, y in environment t") as caught:
        select(environment({"a": {}, "b": {}}), ["x", "a", "y"])

    assert caught.value.hint == "there are: a, b"
    with pytest.raises(UsageError, match="cluster"):
        select(environment({"a": {}}), ["cluster"])


def test_only_what_is_selected_is_planned() -> None:
    env = environment({"a": {"needs": ["b"]}, "b": {}, "c": {}})

    assert order(make(desired(env, "a"), facts())) == ["network", "b", "a"]


# From nothing, and with nothing to do


def test_a_cluster_of_parts_is_bootstrapped_beside_the_part_that_nobody_waits_for() -> None:
    parts = {"etcd": {}, "apiserver": {"needs": ["etcd"]}, "controllers": {"needs": ["apiserver"]}}
    env = environment({**parts, "api": {"needs": ["cluster"]}}, cluster={"type": "envtest"})
    services = {
        name: service.model_copy(update={"part_of_cluster": name in parts}) for name, service in env.services.items()
    }

    plan = make(desired(env.model_copy(update={"services": services})), facts())

    needs = {step.id: {*step.needs} - {"network"} for step in plan.steps}
    assert needs["cluster"] == {"etcd", "apiserver"}
    assert needs["controllers"] == {"apiserver"}
    assert needs["api"] == {"bootstrap"}


def test_from_nothing_everything_is_created_after_what_it_needs() -> None:
    env = environment({"api": {"needs": ["db", "cluster"]}, "db": {}}, **KIND)

    plan = make(desired(env), Facts())

    needs = {step.id: set(step.needs) for step in plan.steps}
    assert needs == {
        "network": set(),
        "cluster": {"network"},
        "bootstrap": {"cluster"},
        "db": {"network"},
        "api": {"network", "db", "bootstrap"},
    }
    assert all(step.changes for step in plan.steps)
    for position, step in enumerate(plan.steps):
        assert set(step.needs) <= set(order(plan)[:position]), "an order in which they could run one by one"


def test_what_is_right_is_kept() -> None:
    env = environment({"db": {}, "job": {"once": True, "needs": ["db"]}, "step": HOST}, **KIND)
    there = facts(
        instance("db"), instance("job", "exited", exit_code=0), done={"step": "f"}, cluster=ClusterFact("running", "cf")
    )

    plan = make(desired(env), there)

    assert plan.changes == ()
    assert told(plan) == {
        "network": "keep: is there",
        "cluster": "keep: is ready",
        "bootstrap": "keep: is as it should be",
        "db": "keep: runs and answers",
        "job": "keep: ran and succeeded",
        "step": "keep: ran and succeeded",
    }


def test_without_containers_and_kind_there_is_no_network() -> None:
    assert order(make(desired(environment({"step": HOST})), Facts())) == ["step"]
    existing = environment({}, cluster={"type": "existing"})
    assert order(make(desired(existing), Facts())) == ["cluster", "bootstrap"]
    assert make(desired(existing), Facts()).steps[0].needs == ()


# A running service


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (instance("a", "exited", exit_code=3), "exited with 3"),
        (instance("a", "exited", exit_code=137, oom_killed=True), "ran out of memory"),
        (instance("a", "exited", exit_code=137, memory=64 * 2**20), "limit of 64 MiB"),
        (instance("a", "created"), "is created"),
        (instance("a", "dead"), "exited with None"),
        (instance("a", fingerprint="old"), "its configuration or image changed"),
        (instance("a", fingerprint=""), "its configuration or image changed"),
    ],
)
def test_a_service_that_is_not_right_is_replaced_with_the_reason(seen: Instance, why: str) -> None:
    step = told(make(desired(environment({"a": {}})), facts(seen)))["a"]

    assert step.startswith("replace: ")
    assert why in step


def test_a_service_whose_probe_fails_is_replaced() -> None:
    plan = make(desired(environment({"a": {}})), facts(instance("a"), unready={"a": "no PONG"}))

    assert told(plan)["a"] == "replace: does not work: no PONG"


@pytest.mark.parametrize("broken", [(), (instance("a", fingerprint="old"),)])
def test_what_needs_something_new_is_replaced_down_the_whole_line(broken: tuple[Instance, ...]) -> None:
    env = environment({"a": {}, "b": {"needs": ["a"]}, "c": {"needs": ["b"]}, "other": {}})

    steps = told(make(desired(env), facts(*broken, instance("b"), instance("c"), instance("other"))))

    assert steps["b"] == "replace: what it needs is new: a"
    assert steps["c"] == "replace: what it needs is new: b"
    assert steps["other"] == "keep: runs and answers"


def test_a_new_cluster_replaces_what_needs_it_and_a_resumed_one_does_not() -> None:
    env = environment({"a": {"needs": ["cluster"]}}, **KIND)

    fresh = make(desired(env), facts(instance("a")))
    resumed = make(desired(env), facts(instance("a"), cluster=ClusterFact("paused", "cf")))

    assert told(fresh)["a"] == "replace: what it needs is new: cluster"
    assert told(resumed)["a"] == "keep: runs and answers"


# One-shots


@pytest.mark.parametrize(
    ("seen", "told_as"),
    [
        (None, "run: has not run"),
        (instance("j", "exited", exit_code=1), "run: did not succeed: exited with 1"),
        (instance("j", "running"), "run: did not succeed: is running"),
        (instance("j", "exited", "old", exit_code=0), "run: its configuration or image changed"),
        (instance("j", "exited", exit_code=0), "keep: ran and succeeded"),
    ],
)
def test_a_one_shot_container_runs_until_it_succeeded_once(seen: Instance | None, told_as: str) -> None:
    plan = make(desired(environment({"j": ONCE})), facts(*([seen] if seen else [])))

    assert told(plan)["j"] == told_as


@pytest.mark.parametrize(
    ("done", "told_as"),
    [
        ({}, "run: there is no record of a run"),
        ({"j": "old"}, "run: it changed"),
        ({"j": "f"}, "keep: ran and succeeded"),
    ],
)
def test_a_one_shot_of_the_host_runs_until_it_succeeded_once(done: dict[str, str], told_as: str) -> None:
    plan = make(desired(environment({"j": HOST})), Facts(done=done))

    assert told(plan) == {"j": told_as}


@pytest.mark.parametrize("kind", [ONCE, HOST])
def test_a_one_shot_runs_again_on_something_new_and_what_needs_it_follows(kind: dict[str, Any]) -> None:
    env = environment({"db": {}, "j": {**kind, "needs": ["db"]}, "api": {"needs": ["j"]}})
    there = facts(instance("j", "exited", exit_code=0), instance("api"), done={"j": "f"})

    steps = told(make(desired(env), there))

    assert steps["j"] == "run: what it needs is new: db"
    assert steps["api"] == "replace: what it needs is new: j"


# Images


def wanting(name: str, **fields: Any) -> Want:
    return Want(name, Service.model_validate({"image": ["i:1", "j:2"]}), **fields)


def test_an_image_that_is_not_here_is_pulled_once_for_all_who_want_it() -> None:
    env = environment({"a": {}, "b": {}})
    wants = {name: wanting(name, candidates=("i:1", "j:2")) for name in "ab"}

    plan = make(desired(env, **wants), facts(instance("b")))

    steps = {step.id: step for step in plan.steps}
    assert [step.id for step in plan.steps if step.subject == "image"] == ["image i:1"]
    assert told(plan)["image i:1"] == "pull: none of its 2 candidates is here"
    assert "image i:1" in steps["a"].needs
    assert "image i:1" in steps["b"].needs
    assert told(plan)["b"] == "replace: its image must be fetched or built first: none of its 2 candidates is here"


def test_an_image_of_our_own_is_built_when_missing_and_when_asked_for() -> None:
    env = environment({"a": {"build": {"context": "."}}})
    service = env.services["a"]
    missing = Want("a", service, tag="localhost/envkit/a:1")
    present = Want("a", service, image="localhost/envkit/a:1", tag="localhost/envkit/a:1", fingerprint="f")

    built = make(desired(env, a=missing), facts())
    kept = make(desired(env, a=present), facts(instance("a")))
    asked = make(desired(env, a=present, rebuild=True), facts(instance("a")))

    assert told(built)["image a"] == "build: no image of these sources is here"
    assert told(kept) == {"network": "keep: is there", "a": "keep: runs and answers"}
    assert told(asked)["image a"] == "build: requested by --build"
    assert told(asked)["a"] == "replace: its image must be fetched or built first: requested by --build"


def test_build_leaves_alone_what_is_not_built_here() -> None:
    plan = make(desired(environment({"a": {}}), rebuild=True), facts(instance("a")))

    assert plan.changes == ()


def test_a_one_shot_with_a_new_image_runs_again() -> None:
    env = environment({"j": ONCE})
    want = Want("j", env.services["j"], candidates=("i",))

    plan = make(desired(env, j=want), facts(instance("j", "exited", exit_code=0)))

    assert told(plan)["j"] == "run: its configuration or image changed"


# Cluster


@pytest.mark.parametrize(
    ("fact", "cluster", "bootstrap"),
    [
        (ClusterFact(), "create: is not there", "apply: the cluster is new"),
        (ClusterFact("running"), "replace: its creation never finished", "apply: the cluster is new"),
        (ClusterFact("paused"), "replace: its creation never finished", "apply: the cluster is new"),
        (ClusterFact("running", "x"), "replace: its configuration changed", "apply: the cluster is new"),
        (ClusterFact("stopped", "cf"), "replace: its node has stopped", "apply: the cluster is new"),
        (ClusterFact("paused", "cf"), "resume: is paused", "apply: the cluster was paused"),
        (ClusterFact("running", "cf", unready="no x"), "replace: does not work: no x", "apply: the cluster is new"),
        (ClusterFact("running", "cf", missing=("a", "b")), "keep: is ready", "apply: missing or changed: a, b"),
        (ClusterFact("running", "cf"), "keep: is ready", "keep: is as it should be"),
    ],
)  # fmt: skip
def test_the_clusters_verdict(fact: ClusterFact, cluster: str, bootstrap: str) -> None:
    steps = told(make(desired(environment({}, **KIND)), facts(cluster=fact)))

    assert steps["cluster"].startswith(cluster)
    assert steps["bootstrap"].startswith(bootstrap)


# Strays


def test_strays_are_removed_only_when_everything_is_selected() -> None:
    env = environment({"a": {}, "b": {}})
    stray = instance("old")

    whole = told(make(desired(env), facts(instance("a"), instance("b"), stray, strays=(stray,))))
    part = told(make(desired(env, "a"), facts(instance("a"), strays=(stray,))))

    assert whole["remove envkit-t-old"] == "remove: service old is not in the configuration any more"
    assert not any(step.startswith("remove") for step in part)


def test_a_stray_without_a_service_label_is_still_named() -> None:
    stray = Instance("id", "envkit-t-x", "", "exited")

    steps = told(make(desired(environment({})), facts(strays=(stray,))))

    assert steps["remove envkit-t-x"].startswith("remove: service ? is not")
