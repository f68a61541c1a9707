"""Tests of concurrent use: two commands on one environment, two environments, two checkouts, and similar names."""

from __future__ import annotations

import dataclasses

import pytest

from tests.support import ports
from tests.support.box import Box, Small

pytestmark = pytest.mark.e2e

PYTHON = "docker.io/library/python:3.12-slim"
WEB = """
cluster: none
services:
  web:
    image: {image}
    command: [python3, -m, http.server, "80"]
    ports: {{http: "{port}:80"}}
    probe: {{type: http}}
    exports: {{WEB_URL: "http://${{self.address}}/"}}
"""


def web(small: Small, **more: object) -> Box:
    (port,) = ports.free()
    return small(WEB.format(image=PYTHON, port=port), ports=(port,), **more)


def test_two_at_once_make_one_environment(small: Small) -> None:
    box = web(small)
    said = [running.wait() for running in [box.start("up") for _ in range(3)]]
    assert [one.code for one in said] == [0, 0, 0], "\n".join(map(str, said))
    assert set(box.ids()) == {"web"}
    assert len(box.engine.networks_of(box.name)) == 1
    assert sum("done in" in one.err and "starting " in one.err for one in said) == 1, "one did the work"


def test_up_and_down_at_once_end_in_one_of_both(small: Small) -> None:
    box = web(small)
    said = [running.wait() for running in (box.start("up"), box.start("down"))]
    assert [one.code for one in said] == [0, 0], "\n".join(map(str, said))
    there = box.left()
    assert (set(box.ids()), box("status").code) in (({"web"}, 0), (set(), 4)), there
    box("down").ok()
    assert box.left() == []


def test_two_side_by_side_by_name_and_offset(small: Small) -> None:
    first = web(small)
    offset = ports.offset(first.ports)
    second = dataclasses.replace(
        first,
        name=f"{first.name}-b",
        flags=(*first.flags, "--port-offset", str(offset)),
        ports=tuple(port + offset for port in first.ports),
        started=[],
    )
    try:
        running = [box.start("up") for box in (first, second)]
        for one in running:
            one.wait().ok()
        assert first.variables()["WEB_URL"] == f"http://127.0.0.1:{first.ports[0]}/"
        assert second.variables()["WEB_URL"] == f"http://127.0.0.1:{second.ports[0]}/"
        before = second.ids()
        first("down").ok()
        assert first.left() == [] and second.ids() == before
        second("status").ok()
    finally:
        assert second.close() == []


@pytest.mark.parametrize("state", ["shared", "apart"])
def test_a_second_checkout_is_told_where_the_first_is(small: Small, state: str) -> None:
    first = web(small)
    second = web(small, name=first.name)
    first("up").ok()
    before = first.ids()
    environ = {"ENVKIT_STATE_DIR": str(first.state)} if state == "shared" else {}
    for verb in ("up", "plan"):
        said = second(verb, **environ)
        assert said.code == 2 and str(first.folder) in said.err and "--name" in said.err, said
    assert first.ids() == before


def test_neighbours_with_similar_names_stay(small: Small) -> None:
    box = web(small)
    engine, alike = box.engine, f"envkit-{box.name}-other"
    other = {"envkit.env": f"{box.name}-other", "envkit.schema": "1", "envkit.service": "web"}
    with (
        engine.container(f"{alike}-web", **other) as container,
        engine.container(f"envkit-{box.name}x") as unlabelled,
        engine.network(alike, **other) as network,
        engine.volume(alike, **other) as volume,
    ):
        box("up").ok()
        volumes = engine.volumes_of(box.name)
        box("down").ok()
        assert box.left(volumes) == []
        assert engine.api.inspect_container(container)["State"]["Running"]
        assert engine.api.inspect_container(unlabelled)["State"]["Running"]
        assert engine.api.inspect_network(network)["Id"]
        assert engine.existing({volume}) == {volume}


def test_down_after_every_file_is_lost(small: Small) -> None:
    import shutil

    box = web(small)
    box("up").ok()
    shutil.rmtree(box.state)
    box("down").ok()
    assert box.left() == []
    assert "nothing to remove" in box("down").ok().out


def test_down_of_processes_finds_containers_that_a_lost_record_knew(small: Small) -> None:
    import shutil

    box = web(small)
    box("up").ok()
    shutil.rmtree(box.state)
    (port,) = ports.free()
    other = box.folder / "processes.yaml"
    other.write_text(f"cluster: none\nservices: {{redis: {{preset: redis, ports: {{redis: {port}}}}}}}\n")
    flags = ("-f", str(other), "--lane", "embedded")
    processes = dataclasses.replace(box, flags=flags, wanted_engine="auto", ports=(*box.ports, port))
    processes("up").ok()
    assert f"envkit-{box.name}-web" in processes("down").ok().err
    assert processes.left() == []
