"""Tests of `logs --follow` from files and streams, and of the command line that enters a service."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from envkit.base.errors import Cancelled, NotUp, ToolMissing, UsageError
from envkit.base.events import Event
from envkit.base.waiting import Cancel
from envkit.cli.options import normalize_argv
from envkit.cli.output import Prefixed
from envkit.drivers.runtimes.fake import FakeEngine, Script
from envkit.drivers.runtimes.following import Place, growing, lines_of, unread
from envkit.operations.shell import client_of
from tests.support.fake_session import opened
from tests.support.operations import entry, follow, up
from tests.unit.wants import environment

# Lines


def test_lines_are_whole_whatever_the_pieces_are() -> None:
    pieces = [b"a\nb", "€"[:1].encode()[:2], "€".encode()[2:], b"\r\n", b"\n", b"end"]
    assert list(lines_of(pieces)) == ["a", "b€", "", "end"]
    assert list(lines_of([])) == []


class Clock:
    """A fake clock that runs one action at each sleep."""

    def __init__(self, *turns: Callable[[], object]) -> None:
        self.turns = list(turns)

    def sleep(self, _seconds: float) -> None:
        if self.turns:
            self.turns.pop(0)()

    def goes_on(self) -> bool:
        return bool(self.turns)


def append(path: Path, text: str) -> Callable[[], object]:
    def turn() -> None:
        with path.open("a") as file:
            file.write(text)

    return turn


def test_a_file_is_followed_until_nobody_writes(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("1\n2\n3\n")
    clock = Clock(append(path, "4\nha"), append(path, "lf\n"), append(path, "last"))
    assert list(growing(path, clock.goes_on, 1, sleep=clock.sleep)) == ["3", "4", "half", "last"]


def test_what_was_written_before_is_left_out_or_shown(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("1\n2\n")
    assert list(growing(path, lambda: False, 0)) == []
    assert list(growing(path, lambda: False)) == ["1", "2"]
    assert list(growing(tmp_path / "none", lambda: True)) == []


def test_a_file_that_is_replaced_is_read_from_its_beginning(tmp_path: Path) -> None:
    path, fresh = tmp_path / "log", tmp_path / "fresh"
    path.write_text("old\n")
    fresh.write_text("new\n")
    clock = Clock(lambda: fresh.replace(path), append(path, "more\n"))
    assert list(growing(path, clock.goes_on, 1, sleep=clock.sleep)) == ["old", "new", "more"]


def test_a_file_is_read_on_from_its_place(tmp_path: Path) -> None:
    path, place = tmp_path / "log", Place()
    path.write_text("1\n2\n")
    assert list(growing(path, lambda: False, 1, place)) == ["2"]
    append(path, "3\n")()
    assert list(growing(path, lambda: False, 1, place)) == ["3"]
    assert list(growing(path, lambda: False, 1, place)) == []
    path.write_text("new\n")
    assert list(growing(path, lambda: False, 1, place)) == ["new"], "what is shorter was begun anew"


def test_a_stream_is_read_on_from_its_place() -> None:
    lines = [f"2026-11-20T16:03:{second}Z {second}\n".encode() for second in ("23.5", "23.51", "24")]
    place = Place()
    assert [text for _, text in unread(lines[:2], place)] == [b"23.5\n", b"23.51\n"]
    assert list(unread(lines, place)) == [(b"2026-11-20T16:03:24Z ", b"24\n")], "an engine is asked for whole seconds"
    assert place.moment == 1795190604 * 10**9
    halves = [b"2026-11-20T18:03:25.000000001+02:00 long ", b"2026-11-20T16:03:25.000000002Z line\n"]
    assert list(lines_of(text for _, text in unread([*halves, b"without\n"], place))) == ["long line", "without"]


def test_pieces_of_one_second_are_counted() -> None:
    """Podman's timestamps have whole seconds only."""
    lines = [b"2026-11-20T16:03:23Z %d\n" % number for number in range(4)]
    place = Place()
    read = [[text for _, text in unread(lines[:end], place)] for end in (1, 3, 3, 4)]
    assert read == [[b"0\n"], [b"1\n", b"2\n"], [], [b"3\n"]]


# Several services


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    made = FakeEngine()
    made.images.there["i"] = "sha256:i"
    yield made
    made.close()


def session(engine: FakeEngine, home: Path, services: dict[str, Any], **more: Any) -> Any:
    return opened(environment(services), home, engine, **more)


def test_it_ends_when_all_have_ended_and_says_how(engine: FakeEngine, tmp_path: Path) -> None:
    engine.scripts = {"a": Script(log="one\ntwo\n", dies=0.0), "b": Script(log="three\n", dies=0.0, exit_code=3)}
    once = {"once": True}
    said: list[str] = []

    def sink(event: Event) -> None:
        said.append(event.message)

    with pytest.raises(Exception, match="b"):
        up(session(engine, tmp_path, {"a": once, "b": once}), keep=True)
    lines: list[tuple[str, str]] = []
    follow(session(engine, tmp_path, {"a": once, "b": once}, sink=sink), [], None, lambda *it: lines.append(it))
    assert sorted(lines) == [("a", "one"), ("a", "two"), ("b", "three")]
    assert sorted(said) == ["a exited with 0", "b exited with 3"]


def test_a_signal_ends_it(engine: FakeEngine, tmp_path: Path) -> None:
    up(session(engine, tmp_path, {"a": {}}))
    cancel = Cancel()
    threading.Timer(0.3, cancel.set, (2,)).start()
    with pytest.raises(Cancelled) as caught:
        follow(session(engine, tmp_path, {"a": {}}, cancel=cancel), ["a"], 1, lambda *_: None)
    assert caught.value.exit_code == 130


def test_what_is_not_there_cannot_be_followed(engine: FakeEngine, tmp_path: Path) -> None:
    with pytest.raises(NotUp):
        follow(session(engine, tmp_path, {"a": {}}), ["a"], 1, lambda *_: None)


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("logs -f", "logs --follow"),
        ("logs -f redis", "logs --follow redis"),
        ("logs redis -f", "logs redis --follow"),
        ("logs -f envkit.yaml redis", "logs -f envkit.yaml redis"),
        ("logs -f ./dir redis -f", "logs -f ./dir redis --follow"),
        ("-f other logs", "-f other logs"),
        ("up -f x", "up -f x"),
        ("run -- logs -f x", "run -- logs -f x"),
    ],
)
def test_a_short_f_is_what_every_other_logs_means_by_it(typed: str, read: str) -> None:
    assert " ".join(normalize_argv(["envkit", *typed.split()])[1:]) == read


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours_only_where_they_are_wanted(
    environ: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    written: list[str] = []
    show = Prefixed(written.append, environ)
    for name in ("redis", "db", "redis"):
        show(name, "hello")
    assert written[0] == ("\x1b[36mredis |\x1b[0m hello\n" if coloured else "redis | hello\n")
    assert written[1] == ("\x1b[33mdb    |\x1b[0m hello\n" if coloured else "db | hello\n")
    assert written[2] == written[0]


# Entering a service


POSTGRES = {"type": "postgres", "user": "me", "password": "s3cret", "database": "shop"}
DB = {"probe": POSTGRES, "ports": {"main": {"container": 5432, "host": "auto"}}}
CACHE = {"probe": {"type": "redis", "password": "s3cret"}, "ports": {"main": {"container": 6379, "host": "auto"}}}


def test_a_client_gets_its_password_by_a_variable() -> None:
    services = environment({"db": DB, "cache": CACHE, "other": {}}).services
    argv, variables = client_of(services["db"])
    assert argv == ["psql"]
    assert variables == {
        "PGHOST": "127.0.0.1", "PGPORT": "5432", "PGUSER": "me", "PGDATABASE": "shop", "PGPASSWORD": "s3cret"
    }  # fmt: skip
    argv, variables = client_of(services["cache"], {6379: 16379})
    assert (argv, variables) == (["redis-cli", "-h", "127.0.0.1", "-p", "16379"], {"REDISCLI_AUTH": "s3cret"})
    assert client_of(services["other"]) == ([], {})


@pytest.fixture
def there(engine: FakeEngine, tmp_path: Path) -> Any:
    """Return a session that finds an engine's command on PATH; its services have no probes, because none could pass."""
    (tmp_path / "docker").write_text("#!/bin/sh\n")
    (tmp_path / "docker").chmod(0o755)
    up(session(engine, tmp_path, {"db": {"ports": DB["ports"]}}))
    services = {"db": DB, "job": {"host_command": ["true"], "once": True}}
    return session(engine, tmp_path, services, environ={"PATH": str(tmp_path)})


def test_into_a_container_with_the_engines_own_command_line(there: Any, tmp_path: Path) -> None:
    way = entry(there, "db", [], tty=True)
    words = " ".join(way.argv)
    assert words.startswith(f"{tmp_path}/docker --host unix:///nowhere/fake.sock exec --interactive --tty --env PGHOST")
    assert words.endswith("psql") and "s3cret" not in words
    assert way.variables["PGPASSWORD"] == "s3cret"


def test_a_command_is_run_there_word_for_word(there: Any) -> None:
    way = entry(there, "db", ["sh", "-c", "echo  $A"], tty=False)
    assert way.argv[-3:] == ("sh", "-c", "echo  $A")
    assert "--tty" not in way.argv


def test_what_cannot_be_entered(there: Any, engine: FakeEngine) -> None:
    with pytest.raises(UsageError, match="nobody"):
        entry(there, "nobody", [], tty=False)
    with pytest.raises(UsageError, match="one-shot on this host"):
        entry(there, "job", [], tty=False)
    with pytest.raises(NotUp, match="has no cluster"):
        entry(there, "cluster", [], tty=False)
    there.drivers.caller.environ["PATH"] = "/nowhere"
    with pytest.raises(ToolMissing, match="command line of docker"):
        entry(there, "db", [], tty=False)
    engine.kill("db")
    time.sleep(0.01)
    with pytest.raises(NotUp, match="exited with 137"):
        entry(there, "db", [], tty=False)


def test_the_clusters_shell_has_its_kubeconfig(there: Any) -> None:
    there.environment = environment({"db": DB}, cluster={"type": "kind"})
    there.paths.kubeconfig.write_text("")
    there.drivers.caller.environ.update({"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"})
    way = entry(there, "cluster", [], tty=False)
    assert way.argv == ("/bin/sh",) and "KUBECONFIG is set" in way.note
    assert way.variables["KUBECONFIG"] == str(there.paths.kubeconfig)
    assert entry(there, "cluster", ["sh", "-c", "x"], tty=False).argv[1:] == ("-c", "x")
