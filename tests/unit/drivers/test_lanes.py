"""Tests of lanes: which lane envkit chooses, which options fit together, and how a lane changes an environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from envkit.base.errors import EngineError, UsageError
from envkit.base.events import Event, Stream
from envkit.base.paths import Paths
from envkit.config.models import Environment
from envkit.config.names import PARTS
from envkit.drivers import lanes
from envkit.drivers.engine.discovery import can_start
from envkit.drivers.lanes import QUIET, Choice, OpenLane, finalize_for_lane, free_ports, open_lane
from tests.unit.sockets import DOCKER, PODMAN, tcp
from tests.unit.sockets import engine as engine_at
from tests.unit.wants import environment

BOTH = {"image": ["i"], "process": {"command": ["sleep", "9"]}}
PROCESS = {"process": {"command": ["sleep", "9"]}}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "state", "t")


def made(services: Mapping[str, Any] | None = None, **fields: Any) -> Environment:
    """Return an environment with the given services; a service has an image only if its definition names one."""
    return Environment.model_validate({"name": "t", "root": "/here", "services": services or {}, **fields})


def enter(
    wanted: Environment, paths: Paths, environ: Mapping[str, str] | None = None, heard: list[Event] | None = None
) -> OpenLane:
    sinks = [heard.append] if heard is not None else []
    with open_lane(wanted, environ or {}, paths, Stream(sinks)) as lane:
        return lane


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Act as if this machine has no engine."""
    monkeypatch.setattr(lanes, "can_start", lambda engine, environ: engine != "auto")


# The choice


@pytest.mark.parametrize(("answer", "engine"), [(DOCKER, "docker"), (PODMAN, "podman")])
def test_auto_is_containers_where_an_engine_answers(tmp_path: Path, paths: Paths, answer: Any, engine: str) -> None:
    with engine_at(tmp_path / "s", answer) as url:
        lane = enter(environment({"a": BOTH}), paths, {"DOCKER_HOST": url})

    assert lane.choice == Choice("containers", f"{engine} answers")
    assert lane.address is not None
    assert lane.address.engine == engine


def test_auto_is_embedded_where_there_is_none_and_says_so(bare: None, paths: Paths) -> None:
    heard: list[Event] = []

    lane = enter(environment({"a": BOTH}), paths, heard=heard)

    assert lane.choice == Choice("embedded", "no container engine was found")
    assert lane.address is None
    assert [event.message for event in heard] == ["lane embedded: no container engine was found"]


def test_a_dead_engine_is_an_error_and_no_change_of_lane(tmp_path: Path, paths: Paths) -> None:
    with pytest.raises(EngineError, match="does not answer") as caught:
        enter(environment({"a": BOTH}), paths, {"DOCKER_HOST": f"unix://{tmp_path}/nobody.sock"})

    assert caught.value.hint


def test_an_engine_that_is_named_is_never_replaced_by_processes(tmp_path: Path) -> None:
    nowhere = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "PATH": str(tmp_path)}

    assert can_start("docker", nowhere)
    assert can_start("podman", nowhere)


def test_embedded_is_quiet_when_it_was_asked_for(paths: Paths) -> None:
    heard: list[Event] = []

    lane = enter(environment({"a": BOTH}, lane="embedded"), paths, heard=heard)

    assert (lane.choice, lane.address, heard) == (Choice("embedded", "asked for"), None, [])


@pytest.mark.parametrize(
    ("fields", "why"),
    [({"lane": "mixed"}, "asked for"), ({"cluster": "envtest"}, "docker answers")],
    ids=["by name", "by its cluster"],
)
def test_mixed_is_containers_with_the_parts(tmp_path: Path, paths: Paths, fields: Any, why: str) -> None:
    with engine_at(tmp_path / "s", DOCKER) as url:
        lane = enter(environment({"a": BOTH}, **{"cluster": "kind", **fields}), paths, {"DOCKER_HOST": url})

    assert lane.choice == Choice("mixed", why)
    assert lane.environment.cluster.type == "envtest"
    assert all(lane.environment.services[name].in_container for name in (*PARTS, "a"))
    assert not any(service.process for service in lane.environment.services.values())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"lane": "embedded", "engine": "docker"}, "lane embedded uses no engine, and engine is docker"),
        ({"lane": "containers", "cluster": "envtest"}, "lane containers has a kind cluster"),
        ({"cluster": "existing"}, "existing is not available"),
        ({"lane": "embedded", "cluster": "existing"}, "existing is not available"),
    ],
    ids=["embedded with an engine", "containers with envtest", "existing", "existing embedded"],
)
def test_what_does_not_go_together_is_refused_before_anything(paths: Paths, fields: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        enter(environment({"a": BOTH}, **fields), paths)

    assert caught.value.hint
    assert not paths.home.exists()


# Changes that a lane makes


def test_each_lane_takes_its_own_form_of_a_service(paths: Paths) -> None:
    wanted = environment({"a": BOTH, "b": {"host_command": ["true"], "once": True}})

    embedded, containers = finalize_for_lane(wanted, "embedded", paths), finalize_for_lane(wanted, "containers", paths)

    assert (embedded.services["a"].image, embedded.services["a"].runs) == ((), True)
    assert (containers.services["a"].image, containers.services["a"].process) == (("i",), None)
    assert embedded.services["b"] == containers.services["b"] == wanted.services["b"]


def test_every_service_without_a_home_is_named(paths: Paths) -> None:
    wanted = environment({"one": {}, "two": BOTH, "three": {}})

    with pytest.raises(UsageError, match=r"lane embedded runs processes: one, three$") as caught:
        finalize_for_lane(wanted, "embedded", paths)

    assert "process:" in caught.value.hint


@pytest.mark.parametrize("lane", ["containers", "mixed"])
def test_a_process_alone_has_no_home_among_containers(paths: Paths, lane: lanes.Lane) -> None:
    with pytest.raises(UsageError, match=f"lane {lane} runs containers: one$"):
        finalize_for_lane(made({"one": PROCESS, "two": BOTH}), lane, paths)


def test_node_ports_need_nodes(paths: Paths) -> None:
    wanted = made({}, cluster={"type": "kind", "ports": [{"node": 30081, "host": 18091}]})

    assert finalize_for_lane(wanted, "containers", paths) == wanted
    for lane in ("embedded", "mixed"):
        with pytest.raises(UsageError, match=rf"port 30081.* lane {lane} has none"):
            finalize_for_lane(wanted, lane, paths)


def test_the_parts_come_first_and_clash_with_services_of_their_names(paths: Paths) -> None:
    assert tuple(finalize_for_lane(made({"a": PROCESS}, cluster="kind"), "embedded", paths).services) == (*PARTS, "a")
    with pytest.raises(UsageError, match="services named etcd clash"):
        finalize_for_lane(made({"etcd": PROCESS}, cluster="kind"), "embedded", paths)


def test_without_a_cluster_there_are_no_parts(paths: Paths) -> None:
    assert list(finalize_for_lane(made({"a": PROCESS}), "embedded", paths).services) == ["a"]


# Ports


def ports_of(wanted: Environment) -> dict[str, Any]:
    offset = wanted.port_offset
    return {
        f"{name}.{key}": port.host + offset if isinstance(port.host, int) else port.host
        for name, service in wanted.services.items()
        for key, port in service.ports.items()
    }


def served(offset: int = 0, **ports: Any) -> Environment:
    return made({"a": {**PROCESS, "ports": {key: {"container": 80, **it} for key, it in ports.items()}}},
                port_offset=offset)  # fmt: skip


def test_ports_without_a_number_are_picked_and_remembered(paths: Paths) -> None:
    wanted = served(x={"host": "auto"}, y={}, z={"host": 20001})

    first = ports_of(finalize_for_lane(wanted, "embedded", paths, make=True))

    assert first["a.z"] == 20001
    assert len({*first.values()} & {*QUIET}) == 3
    assert ports_of(finalize_for_lane(wanted, "embedded", paths)) == first
    assert oct((paths.folder / "ports.json").stat().st_mode & 0o777) == "0o600"


def test_the_offset_moves_fixed_ports_and_none_that_was_picked(paths: Paths) -> None:
    first = ports_of(finalize_for_lane(served(0, x={"host": "auto"}), "embedded", paths, make=True))

    assert ports_of(finalize_for_lane(served(7000, x={"host": "auto"}), "embedded", paths)) == first


def test_a_new_port_leaves_the_others_alone(paths: Paths) -> None:
    first = ports_of(finalize_for_lane(served(x={"host": "auto"}), "embedded", paths, make=True))

    second = ports_of(finalize_for_lane(served(x={"host": "auto"}, y={"host": "auto"}), "embedded", paths, make=True))

    assert second["a.x"] == first["a.x"] != second["a.y"]


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "3"], ids=["empty", "cut off", "a list", "a number"])
def test_a_broken_memory_of_ports_is_none(paths: Paths, text: str) -> None:
    paths.make()
    (paths.folder / "ports.json").write_text(text)

    assert ports_of(finalize_for_lane(served(x={"host": "auto"}), "embedded", paths))["a.x"] in QUIET


def test_to_look_makes_no_file(paths: Paths) -> None:
    wanted = made({"a": {**PROCESS, "ports": {"x": {"container": 80, "host": "auto"}}}}, cluster="kind")

    finalize_for_lane(wanted, "embedded", paths)

    assert not paths.home.exists()
    finalize_for_lane(wanted, "embedded", paths, make=True)
    assert {*json.loads((paths.folder / "ports.json").read_text())} == {"etcd.client", "apiserver.https", "a.x"}
    assert (paths.folder / "pki/ca.crt").exists()


def test_entering_a_lane_makes_no_file_and_settling_does(paths: Paths) -> None:
    lane = enter(made({"a": PROCESS}, cluster="kind", lane="embedded"), paths)
    assert not paths.home.exists()

    assert tuple(lane.settle(0).services) == (*PARTS, "a")
    assert (paths.folder / "pki/etcd/etcd.crt").exists()


def test_picked_ports_are_free_different_and_nobody_elses() -> None:
    with tcp(lambda _plug: None) as held:
        others = {*QUIET} - {20000, 20001, 20002, held}
        found = free_ports(2, others)

    assert len({*found}) == 2
    assert {*found} <= {20000, 20001, 20002}
