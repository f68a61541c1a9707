"""Tests of `--port-offset auto`: the choice of the offset, its reuse, and that two offsets never share a port."""

from __future__ import annotations

import itertools
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from envkit.base.errors import Cancelled, EnvironmentFailed
from envkit.base.paths import Paths
from envkit.base.waiting import Cancel
from envkit.inventory import offsets, state
from tests.support.ports import GATEWAY

PORTS = [*GATEWAY]


def chosen(home: Path, name: str, root: str = "/", ports: list[int] = PORTS, lost: tuple[int, ...] = ()) -> int:
    return offsets.reserve(Paths(home, name), root, ports, Cancel(), lost)


def test_it_is_remembered_for_checkout_and_name(tmp_path: Path) -> None:
    first = chosen(tmp_path, "a")
    assert first > 0
    assert [chosen(tmp_path, "a"), offsets.known(Paths(tmp_path, "a"), "/")] == [first, first]
    assert offsets.proposed(Paths(tmp_path, "a"), "/", PORTS) == first
    assert offsets.known(Paths(tmp_path, "a"), "/tmp") is None
    assert offsets.known(Paths(tmp_path, "b"), "/") is None


def test_what_is_proposed_is_what_is_given_and_writes_nothing(tmp_path: Path) -> None:
    told = offsets.proposed(Paths(tmp_path, "a"), "/", PORTS)
    assert list(tmp_path.iterdir()) == []
    assert chosen(tmp_path, "a") == told


@pytest.mark.parametrize("ports", [PORTS, [8080], [8080, 8081, 8082], [5432, 6379, 8080, 9090, 18080, 9080]])
def test_two_of_one_configuration_never_meet_in_a_port(ports: list[int]) -> None:
    """Two environments of one configuration share no port at any offset, so neither checks the other.

    Case G4: the API's port plus 1000 was the metrics' port.
    """
    every = list(itertools.chain(*offsets.slots(ports)))
    seen: dict[int, int] = {}
    for offset in [0, *every]:
        for port in ports:
            assert seen.setdefault(port + offset, offset) == offset
    assert len(every) > 100 and max(every) + max(ports) <= offsets.HIGHEST_PORT


def test_ports_stay_below_those_for_outgoing_connections_while_there_is_room(tmp_path: Path) -> None:
    best = offsets.slots(PORTS)[0]
    assert all(max(PORTS) + offset < offsets.OUTGOING.start for offset in best) and len(best) > 50
    assert chosen(tmp_path, "a") in best


def test_many_at_once_get_ports_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda number: chosen(tmp_path, f"a{number}"), range(32)))
    ports = [port + offset for offset in found for port in PORTS]
    assert len(set(ports)) == len(ports)


def test_other_configurations_are_kept_apart_too(tmp_path: Path) -> None:
    first = chosen(tmp_path, "a", ports=[20000])
    second = chosen(tmp_path, "b", ports=[20000 + offset for offset in range(0, 2000, 20)])
    assert second % 20 == 0 or (20000 + first) not in range(20000 + second, 22000 + second, 20)


def test_ports_of_an_environment_that_is_up_are_not_chosen(tmp_path: Path) -> None:
    told = offsets.proposed(Paths(tmp_path, "a"), "/", PORTS)
    state.write(Paths(tmp_path, "other"), state.Record("other", "/", ports={"x.api": PORTS[0] + told}))
    assert chosen(tmp_path, "a") != told


def test_a_port_that_somebody_holds_is_not_chosen(tmp_path: Path) -> None:
    told = offsets.proposed(Paths(tmp_path, "a"), "/", PORTS)
    with socket.create_server(("127.0.0.1", PORTS[1] + told)):
        assert chosen(tmp_path, "a") != told


def test_a_lost_one_is_not_chosen_again(tmp_path: Path) -> None:
    first = chosen(tmp_path, "a")
    second = chosen(tmp_path, "a", lost=(first,))
    assert second != first
    assert chosen(tmp_path, "a") == second


def test_no_ports_need_no_offset(tmp_path: Path) -> None:
    assert chosen(tmp_path, "a", ports=[]) == 0 == offsets.proposed(Paths(tmp_path, "a"), "/", [])
    assert list(tmp_path.iterdir()) == []


def test_deleted_checkouts_and_old_environments_are_forgotten(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    home = tmp_path / "state"
    chosen(home, "gone", str(checkout))
    checkout.rmdir()
    for number in range(offsets.KEPT + 3):
        chosen(home, f"a{number}", ports=[8080])
    names = [row["name"] for row in json.loads((home / ".offsets.json").read_text())]
    assert len(names) == offsets.KEPT + 1 and "gone" not in names and "a0" not in names


def test_a_remembered_one_gives_way_when_nothing_else_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offsets, "LARGEST", 40)
    one, two = chosen(tmp_path, "a", ports=[9000]), chosen(tmp_path, "b", ports=[9000])
    assert {one, two} == {20, 40}
    Paths(tmp_path, "a").make()
    assert chosen(tmp_path, "c", ports=[9000]) == two, "a is up, b is only remembered"
    Paths(tmp_path, "c").make()
    with pytest.raises(EnvironmentFailed, match="no port offset is free for environment b: 2 were tried"):
        chosen(tmp_path, "b", ports=[9000])


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"name": "a"}]', '{"a": 1}', '[{"ports": null}]'])
def test_a_broken_file_is_written_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / ".offsets.json").write_text(text)
    first = chosen(tmp_path, "a")
    assert chosen(tmp_path, "a") == first


def test_the_wait_for_the_lock_hears_a_signal(tmp_path: Path) -> None:
    cancel = Cancel()
    with offsets._alone(tmp_path, Cancel()):
        cancel.set(15)
        with pytest.raises(Cancelled):
            offsets.reserve(Paths(tmp_path, "a"), "/", PORTS, cancel)
