"""Tests of `down` on the shared environment, run twice: it removes all of the environment and nothing else."""

from __future__ import annotations

import shutil

import pytest

from tests.support.box import Box

pytestmark = [pytest.mark.e2e, pytest.mark.kind]


def test_down_leaves_nothing_and_touches_no_bystander(gateway: Box) -> None:
    engine, name = gateway.engine, gateway.name
    other = {"envkit.env": f"{name}-other", "envkit.schema": "1", "envkit.service": "redis"}
    alike = f"envkit-{name}-other"
    with (
        engine.container(f"{alike}-redis", **other) as container,
        engine.container(f"envkit-{name}-unlabelled") as unlabelled,
        engine.network(alike, **other) as network,
        engine.volume(alike, **other) as volume,
    ):
        volumes = engine.volumes_of(name)
        assert volumes, "PostgreSQL and the node have anonymous volumes"
        shutil.rmtree(gateway.state)  # envkit must find everything by its labels
        said = gateway("down").ok()
        assert gateway.left(volumes) == [], said
        for identity in (container, unlabelled):
            assert engine.api.inspect_container(identity)["State"]["Running"]
        assert engine.api.inspect_network(network)["Id"]
        assert engine.existing({volume}) == {volume}

        again = gateway("down").ok()
        assert "nothing to remove" in again.out
        assert gateway("status").code == 4
        env = gateway("env")
        assert (env.code, env.out) == (4, "false\n") and "up" in env.err
    gateway.untouched()
