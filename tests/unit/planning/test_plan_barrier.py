"""Tests of the barrier: every step that can fail without a change comes before the first removal."""

from __future__ import annotations

from typing import Any

import pytest

from envkit.config.models import Service
from envkit.planning.facts import ClusterFact, Facts, Instance
from envkit.planning.plan import Action, Plan, Step, Want, make, removes
from tests.unit.wants import desired, environment, instance

KIND = {"cluster": {"type": "kind"}}


def facts(*instances: Instance, **fields: Any) -> Facts:
    return Facts(**{"network": True, "instances": {it.service: it for it in instances}, **fields})


def steps(plan: Plan) -> dict[str, Step]:
    return {step.id: step for step in plan.steps}


def before(plan: Plan, step: str) -> set[str]:
    """Return every step that ends before the given step starts."""
    found = steps(plan)
    needs = {need for need in found[step].needs if need in found}
    return needs.union(*(before(plan, need) for need in needs))


@pytest.mark.parametrize(
    "there",
    [
        Facts(),
        facts(instance("a"), instance("b"), cluster=ClusterFact("running", "cf")),
        facts(instance("a", "paused"), instance("b", "paused"), cluster=ClusterFact("paused", "cf")),
        facts(instance("a"), cluster=ClusterFact("running", "cf", missing=("Namespace x",))),
    ],
    ids=["cold", "nothing to do", "paused", "only additions"],
)
def test_there_is_none_where_nothing_is_removed(there: Facts) -> None:
    plan = make(desired(environment({"a": {}, "b": {"needs": ["a"]}}, **KIND)), there)

    assert "prepare" not in steps(plan)


@pytest.mark.parametrize(
    "there",
    [
        facts(instance("a", fingerprint="old"), instance("b"), cluster=ClusterFact("running", "cf")),
        facts(instance("a"), instance("b"), cluster=ClusterFact("running", "other")),
        facts(instance("a", "exited", exit_code=1), instance("b"), cluster=ClusterFact("paused", "cf")),
        facts(instance("a"), strays=(instance("gone"),)),
        facts(instance("j", "exited", "old", exit_code=0), cluster=ClusterFact("running", "cf", missing=("x",))),
    ],
    ids=["service", "cluster", "dead", "stray", "one-shot"],
)
def test_every_change_waits_for_it_where_something_is_removed(there: Facts) -> None:
    env = environment({"a": {}, "b": {"needs": ["cluster"]}, "j": {"once": True}, "new": {}}, **KIND)
    want = Want("new", env.services["new"], candidates=("x",))
    plan = make(desired(env, new=want), there)

    assert any(removes(step, there) for step in plan.changes)
    for step in plan.changes:
        if step.id.startswith("image ") or step.id == "prepare":
            assert "prepare" not in before(plan, step.id)
        else:
            assert {"prepare", "image x"} <= before(plan, step.id), step


def test_its_reason_names_what_is_removed() -> None:
    old = facts(instance("a", fingerprint="old"), instance("b", fingerprint="old"))
    plan = make(desired(environment({"a": {}, "b": {}, "c": {}})), old)

    assert steps(plan)["prepare"].reason == "before a, b are removed"
    assert [step.id for step in plan.steps].index("prepare") == 0


def test_what_is_kept_waits_for_nothing() -> None:
    plan = make(desired(environment({"a": {}, "b": {}})), facts(instance("a", fingerprint="old"), instance("b")))

    assert steps(plan)["b"].needs == ("network",)


def test_an_image_that_only_the_running_service_still_has_is_fetched_before_that_goes() -> None:
    """This host could not start the service again: the engine has lost the image's name, or PATH the program."""
    env = environment({"a": {}})
    running = instance("a", fingerprint="old", image="i", image_id="sha")
    want = {"a": Want("a", Service.model_validate({"image": ["i"]}), image="i", candidates=("i",), fingerprint="f")}

    lost = steps(make(desired(env, **want), facts(running)))
    there = steps(make(desired(env, **want), facts(running, image_ids={"i": "sha"})))

    assert (lost["image a"].action, lost["image a"].reason) == (Action.PULL, "is not here any more")
    assert "image a" in lost["a"].needs
    assert "image a" not in there


def test_a_renamed_service_takes_the_port_over_only_when_that_is_free() -> None:
    ports = {"ports": {"main": {"container": 80, "host": 7001}}}
    plan = make(desired(environment({"new": ports})), facts(strays=(instance("old", published={80: 7001}),)))

    assert "remove envkit-t-old" in steps(plan)["new"].needs


def test_services_that_exchange_ports_do_not_wait_for_each_other() -> None:
    env = environment({
        name: {"ports": {"main": {"container": 80, "host": port}}} for name, port in (("a", 7002), ("b", 7001))
    })  # fmt: skip
    there = facts(
        instance("a", fingerprint="old", published={80: 7001}), instance("b", fingerprint="old", published={80: 7002})
    )

    found = steps(make(desired(env), there))

    assert "b" in found["a"].needs
    assert "a" not in found["b"].needs


def test_the_reason_names_the_fields_that_changed() -> None:
    old = (instance("a", fingerprint="old"),)

    def reason(*fields: str) -> str:
        plan = make(desired(environment({"a": {}})), facts(*old, changed={"a": fields}))
        return steps(plan)["a"].reason

    assert reason() == "its configuration or image changed"
    assert reason("env.X", "memory") == "changed: env.X, memory"
    assert reason(*(f"env.{n}" for n in range(9))).endswith("env.5 and 3 more")
