"""The behaviour of services that all runtimes must have: containers of both engines, processes and the fake."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from envkit.base import labels
from envkit.base.errors import EngineError, PortTaken
from envkit.drivers.runtimes.fake import Script
from tests.contract.bench import OWNER, Bench, RealBench, labels_of

MIB = 2**20


def test_a_started_service_is_told_with_all_that_it_was_made_from(place: Bench) -> None:
    unit = place.unit()

    made = place.runtime.start(unit)

    assert (made.service, made.state, made.running) == (unit.name, "running", True)
    assert made.name == f"envkit-{place.environment}-{unit.name}"
    assert place.runtime.whose(made).ours
    assert (made.owner.user, made.owner.home, made.owner.checkout) == (OWNER.user, OWNER.home, OWNER.checkout)
    assert (made.fingerprint, made.image) == ("f1ngerpr1nt", unit.image)
    assert made.image_id == place.images.id_of(unit.image)
    assert place.runtime.look(made) == made
    assert place.runtime.observe(place.environment) == [made]


def test_labels_are_there_before_life(place: Bench) -> None:
    """If the engine refuses the start halfway, or the process dies at once, its label still finds it."""
    made = place.start(command=["false"])

    gone = place.ended(made)

    assert gone.exit_code == 1
    assert [it.id for it in place.runtime.observe(place.environment)] == [made.id]
    if isinstance(place, RealBench):
        marks = place.api.inspect_container(made.id)["Config"]["Labels"]
        assert labels_of(place.environment).items() <= marks.items()
        assert marks[labels.SERVICE] == made.service


def test_observing_goes_by_label_and_by_nothing_else(place: Bench) -> None:
    made = place.start()
    stranger = f"envkit-{place.environment}-lookalike"
    place.stranger(stranger)

    assert [it.id for it in place.runtime.observe(place.environment)] == [made.id]
    assert place.runtime.observe(f"{place.environment}x") == []
    assert place.runtime.observe(place.environment[:-1]) == []
    assert stranger in place.names()


def test_what_is_gone_looks_dead(place: Bench) -> None:
    made = place.start()
    place.runtime.remove(made)

    assert place.runtime.look(made).state == "dead"
    assert not place.runtime.look(made).running


def test_a_port_held_by_a_process_is_named_with_its_pid_and_nothing_stays(place: Bench) -> None:
    import os

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        unit = place.unit(ports={8080: port})
        with pytest.raises(
            PortTaken, match=rf"port {port} \(wanted by {unit.name}\).*process {os.getpid()} \("
        ) as caught:
            place.runtime.start(unit)

    assert "--port-offset" in caught.value.hint
    assert place.runtime.observe(place.environment) == []


def test_entrypoint_and_command_are_words_and_not_shell(place: Bench) -> None:
    made = place.start(entrypoint=["echo", "a  b"], command=["$HOME", "*", "; exit 3"])

    assert place.ended(made).exit_code == 0
    assert place.runtime.logs(made, tail=5) == "a  b $HOME * ; exit 3\n"


def test_a_command_beside_a_service_tells_code_and_output(place: Bench) -> None:
    made = place.start()

    assert place.runtime.execute(made, ["true"]) == (0, "")
    assert place.runtime.execute(made, ["sh", "-c", "exit 7"]) == (7, "")
    assert place.runtime.execute(made, ["echo", "ü"]) == (0, "ü\n")


def test_a_command_beside_a_dead_service_is_an_error(place: Bench) -> None:
    made = place.ended(place.start(command=["true"]))

    with pytest.raises(EngineError):
        place.runtime.execute(made, ["true"])


@pytest.mark.parametrize("code", [0, 3])
def test_a_death_tells_its_exit_code(place: Bench, code: int) -> None:
    gone = place.ended(place.start(command=["sh", "-c", f"exit {code}"]))

    assert (gone.state, gone.exit_code, gone.oom_killed) == ("exited", code, False)
    assert gone.death() == f"exited with {code}"
    assert gone.published == {}


def test_a_process_killed_for_its_memory_is_told_as_such(place: Bench) -> None:
    made = place.start(command=["tail", "/dev/zero"], memory=16 * MIB, fake=Script(dies=0.01, oom=True))

    gone = place.ended(made)

    assert gone.exit_code == 137
    assert "memory" in gone.death() or "limit of 16 MiB" in gone.death()
    if place.tells_oom:
        assert gone.oom_killed
        assert "ran out of memory" in gone.death()


def test_a_silent_service_has_an_empty_log(place: Bench) -> None:
    assert place.runtime.logs(place.ended(place.start(command=["true"])), tail=5) == ""


def test_a_restart_brings_a_dead_service_back(place: Bench) -> None:
    made = place.start(command=["sh", "-c", "test -e again && exec sleep 1000; touch again; exit 4"],
                        fake=Script(dies=0.0, exit_code=4))  # fmt: skip
    assert place.ended(made).exit_code == 4
    place.script(made.service, Script())

    assert place.runtime.restart(made, 0).state == "running"


def test_our_own_of_the_same_name_is_replaced(place: Bench) -> None:
    """A killed `up` may have created a service that no record has."""
    unit = place.unit()
    old = place.runtime.start(unit)

    new = place.runtime.start(replace(unit, fingerprint="other"))

    assert new.id != old.id
    assert [it.fingerprint for it in place.runtime.observe(place.environment)] == ["other"]


def test_a_variable_reaches_the_service(place: Bench) -> None:
    made = place.start(env={"GREETING": "a b 'c' \"d\" $e"})

    assert place.runtime.execute(made, ["printenv", "GREETING"]) == (0, "a b 'c' \"d\" $e\n")


def test_the_last_lines_of_a_log(place: Bench) -> None:
    text = "".join(f"line {number}\n" for number in range(1, 6))
    made = place.ended(place.start(command=["sh", "-c", f"printf '{text}'"], fake=Script(log=text, dies=0.0)))

    assert place.runtime.logs(made, tail=2).splitlines() == ["line 4", "line 5"]
    assert len(place.runtime.logs(made).splitlines()) == 5


def test_to_remove_can_be_repeated(place: Bench) -> None:
    made, other = place.start(), place.start()

    for grace in (0.0, 0.0, 1.0):
        place.runtime.remove(made, grace=grace)

    assert [it.id for it in place.runtime.observe(place.environment)] == [other.id]


def test_what_ignores_its_stop_signal_is_killed(place: Bench) -> None:
    made = place.start(command=["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"])

    place.runtime.remove(made, grace=0.3)

    assert place.runtime.observe(place.environment) == []


def test_what_is_paused_stays_and_goes_on(place: Bench) -> None:
    made = place.start()
    place.runtime.pause(made)
    place.runtime.pause(made)

    held = place.runtime.look(made)
    assert (held.state, held.running, held.id) == ("paused", False, made.id)
    assert [it.state for it in place.runtime.observe(place.environment)] == ["paused"]

    assert place.runtime.resume(held).running
    assert place.runtime.resume(place.runtime.look(made)).running
    assert place.runtime.look(made) == made


def test_what_is_paused_can_be_removed(place: Bench) -> None:
    made = place.start()
    place.runtime.pause(made)

    place.runtime.remove(place.runtime.look(made), grace=1.0)

    assert place.runtime.look(made).state == "dead"
    assert place.runtime.observe(place.environment) == []


def test_output_is_followed_to_its_end(place: Bench) -> None:
    made = place.start(
        command=["sh", "-c", "echo one; echo two; sleep 0.3; echo three"],
        fake=Script(log="one\ntwo\nthree\n", dies=0.1),
    )

    assert list(place.runtime.follow(made, tail=10)) == ["one", "two", "three"]
    assert place.runtime.look(made).state == "exited"
    assert list(place.runtime.follow(made, tail=1)) == ["three"]
