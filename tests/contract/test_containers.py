"""The behaviour of containers that all engines, also the fake, must have."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from envkit.base import labels
from envkit.base.errors import EngineError, PortTaken
from envkit.base.ports import accepts
from envkit.drivers.runtimes.fake import Script
from tests.contract.bench import Bench, RealBench

MIB = 2**20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def outer_address() -> str:
    """Return an address of this host that is not loopback, or an empty string if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for documentation (RFC 5737); UDP's connect sends nothing
        except OSError:
            return ""
        address = str(probe.getsockname()[0])
    return "" if address.startswith("127.") else address


# Ports


def test_a_port_is_published_on_loopback_only(engine: Bench) -> None:
    port = free_port()

    made = engine.start(ports={8080: port})

    assert made.published == {8080: port}
    assert engine.runtime.published()[port].container == made.name
    if outer_address():
        assert not accepts(port, outer_address())
    if isinstance(engine, RealBench):
        bindings = engine.api.inspect_container(made.id)["NetworkSettings"]["Ports"]["8080/tcp"]
        assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}


def test_the_engine_chooses_a_port_for_zero(engine: Bench) -> None:
    first, second = engine.start(ports={8080: 0}), engine.start(ports={8080: 0})

    assert first.published[8080] > 0
    assert first.published[8080] != second.published[8080]


def test_a_port_held_by_a_container_is_named_with_it_and_nothing_stays(engine: Bench) -> None:
    port, name = free_port(), f"{engine.environment}-holder"
    engine.stranger(name, port=port)

    with pytest.raises(PortTaken, match=f"port {port} .*container {name}"):
        engine.start(ports={8080: port})

    assert engine.runtime.observe(engine.environment) == []
    assert name in engine.names()


# Files, users and limits in a container


def test_files_are_there_before_the_process_with_owner_and_mode(engine: Bench) -> None:
    files = [
        {"path": "/etc/app/secret.conf", "content": "k€y=1\n", "mode": "0400", "owner": 1000},
        {"path": "/etc/app/open.conf", "content": "", "mode": "0644"},
    ]

    made = engine.start(files=files, user="1000:1000", command=["cat", "/etc/app/secret.conf"])

    assert engine.ended(made).exit_code == 0, engine.runtime.logs(made)
    assert engine.runtime.logs(made, tail=10) == "k€y=1\n"


def test_files_keep_owner_and_mode(engine: Bench) -> None:
    files = [
        {"path": "/srv/tool", "content": "x", "mode": "0755", "owner": 0},
        {"path": "/srv/key", "content": "x", "mode": "0600", "owner": 999},
    ]
    made = engine.start(files=files)

    assert engine.runtime.execute(made, ["stat", "-c", "%u:%g %a", "/srv/tool"]) == (0, "0:0 755\n")
    assert engine.runtime.execute(made, ["stat", "-c", "%u:%g %a", "/srv/key"]) == (0, "999:999 600\n")


@pytest.mark.parametrize(("user", "owner"), [("1001", "1001:1001"), ("1001:7", "1001:7")])
def test_a_file_is_the_services_users_unless_it_says_whose(engine: Bench, user: str, owner: str) -> None:
    files = [{"path": "/etc/app/key", "content": "x", "mode": "0600"}]

    made = engine.start(files=files, user=user)

    assert engine.runtime.execute(made, ["stat", "-c", "%u:%g %a", "/etc/app/key"]) == (0, f"{owner} 600\n")
    assert engine.runtime.execute(made, ["cat", "/etc/app/key"]) == (0, "x")


def test_a_file_is_renewed_in_place_with_its_owner_and_mode(engine: Bench) -> None:
    # /var/run leads to /run in most images
    path = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    made = engine.start(files=[{"path": path, "content": "old", "mode": "0600", "owner": "1001:7"}], user="1001:7")

    assert engine.runtime.rewrite(made.name, path, b"new")
    assert not engine.runtime.rewrite(made.name, path, b"new"), "the content was the same already"
    assert engine.runtime.rewrite(made.name, path, b"newer")

    assert engine.runtime.execute(made, ["cat", path]) == (0, "newer")
    assert engine.runtime.execute(made, ["stat", "-c", "%u:%g %a", path]) == (0, "1001:7 600\n")


def test_there_is_nothing_to_renew_in_what_is_gone(engine: Bench) -> None:
    made = engine.start()

    assert not engine.runtime.rewrite(made.name, "/no/such/file", b"x")
    assert not engine.runtime.rewrite(f"{made.name}-other", "/no/such/file", b"x")


def test_a_strangers_file_is_not_readable_to_the_user(engine: Bench) -> None:
    files = [{"path": "/etc/key", "content": "x", "mode": "0600", "owner": 0}]

    made = engine.ended(engine.start(files=files, user="1000", command=["cat", "/etc/key"]))

    assert made.exit_code == 1
    assert "Permission denied" in engine.runtime.logs(made, tail=5)


def test_environment_user_and_folder_reach_the_process(engine: Bench) -> None:
    made = engine.start(env={"GREETING": "a b 'c' \"d\" $e"}, user="1000", workdir="/tmp")

    assert engine.runtime.execute(made, ["printenv", "GREETING"]) == (0, "a b 'c' \"d\" $e\n")
    assert engine.runtime.execute(made, ["id", "-u"]) == (0, "1000\n")
    assert engine.runtime.execute(made, ["pwd"]) == (0, "/tmp\n")


def test_a_memory_limit_holds_without_swap(engine: Bench) -> None:
    made = engine.start(memory=64 * MIB)

    assert (made.memory, made.swap) == (64 * MIB, 64 * MIB)
    assert engine.runtime.limit_of(made) == str(64 * MIB), "the limit that the kernel reports"


def test_services_find_each_other_by_name(engine: Bench) -> None:
    first, second = engine.start(), engine.start()

    code, output = engine.runtime.execute(first, ["getent", "hosts", second.service])
    assert code == 0, output
    assert second.service in output
    assert engine.runtime.execute(first, ["getent", "hosts", "nobody-is-called-so"])[0] != 0


# Exit codes and logs


def test_logs_whole_and_last_lines(engine: Bench) -> None:
    text = "".join(f"line {number}\n" for number in range(1, 6))
    made = engine.start(command=["sh", "-c", f"printf '{text}'; echo to-stderr >&2; exit 1"],
                        fake=Script(log=text + "to-stderr\n", dies=0.0, exit_code=1))  # fmt: skip
    engine.ended(made)

    assert engine.runtime.logs(made, tail=2).splitlines()[-1] in ("line 5", "to-stderr")
    assert len(engine.runtime.logs(made, tail=2).splitlines()) == 2
    whole = engine.runtime.logs(made).splitlines()
    assert len(whole) == 6
    assert all(line[:4].isdigit() and "T" in line.split()[0] for line in whole), "each line begins with its time"
    assert {line.partition(" ")[2] for line in whole} == {*text.splitlines(), "to-stderr"}


def test_removing_takes_anonymous_volumes_along_and_can_be_repeated(engine: Bench) -> None:
    made = engine.start(image=engine.redis)
    volumes = engine.volumes_of(made)
    assert volumes, "the redis image declares a volume"

    engine.runtime.remove(made)
    engine.runtime.remove(made)
    engine.runtime.remove(made, grace=1.0)

    assert engine.runtime.observe(engine.environment) == []
    assert not set(volumes) & engine.volumes()


def test_a_restart_keeps_the_container_and_what_is_in_it(engine: Bench) -> None:
    files = [{"path": "/srv/data", "content": "kept\n"}]
    made = engine.start(files=files)

    again = engine.runtime.restart(made, 0)

    assert (again.id, again.state) == (made.id, "running")
    assert engine.runtime.execute(again, ["cat", "/srv/data"]) == (0, "kept\n")


# Containers that do not belong to envkit


def test_a_strangers_container_of_the_same_name_is_an_error_and_untouched(engine: Bench) -> None:
    unit = engine.unit()
    name = labels.resource_name(engine.environment, unit.name)
    identity = engine.stranger(name)

    with pytest.raises(EngineError, match=f"{name} exists and is not envkit's"):
        engine.runtime.start(unit)

    assert engine.names().count(name) == 1
    if isinstance(engine, RealBench):
        assert engine.api.inspect_container(identity)["State"]["Running"]


def test_a_program_that_is_not_there_leaves_nothing(engine: Bench) -> None:
    with pytest.raises(EngineError, match="start"):
        engine.start(command=["no-such-program"])

    assert engine.runtime.observe(engine.environment) == []


def test_an_image_that_is_not_here_leaves_nothing(engine: Bench) -> None:
    with pytest.raises(EngineError, match="image"):
        engine.start(image="localhost/envkit-standin/nothing:0")

    assert engine.runtime.observe(engine.environment) == []


def test_a_network_that_is_not_there_leaves_nothing(engine: Bench) -> None:
    unit = replace(engine.unit(), environment=f"{engine.environment}-other")

    with pytest.raises(EngineError, match="network"):
        engine.runtime.start(unit)

    assert engine.runtime.observe(unit.environment) == []
