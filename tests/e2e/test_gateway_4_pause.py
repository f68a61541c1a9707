"""Tests of the shared environment paused and resumed, including its node."""

from __future__ import annotations

import pytest

from tests.support.box import Box

pytestmark = [pytest.mark.e2e, pytest.mark.kind]


def test_a_paused_environment_is_frozen_and_goes_on_as_it_was(gateway: Box) -> None:
    before = gateway.ids()
    gateway("pause").ok()
    states = {name: gateway.engine.api.inspect_container(it)["State"]["Status"] for name, it in before.items()}
    assert states == dict.fromkeys(("cluster", "redis", "postgres", "datastorage"), "paused")

    resumed = gateway("up").ok()

    print(f"up of a paused environment: {resumed.seconds:.2f} s")
    assert gateway.ids() == before
    assert gateway("plan").ok().out.endswith("nothing to do\n")
