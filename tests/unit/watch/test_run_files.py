"""Tests of a run's files: they are complete at any moment and limited in size; envkit keeps the last ten runs."""

from __future__ import annotations

from pathlib import Path

from envkit.base.paths import Paths
from envkit.cli.running import secretless
from envkit.drivers.stores.redis import values_of as redis_values
from envkit.watch.folder import KEPT, all_of, latest, new
from envkit.watch.logs import Bounded, Tail
from envkit.watch.timeline import Happening, Sample, Writer, parse, read, render


def test_a_line_comes_back_as_it_was(tmp_path: Path) -> None:
    one = Happening(1.5, "died", "redis", "exited with 1", {"exit_code": 1, "oom": False})
    assert parse(render(one), Happening) == one
    writer = Writer(tmp_path / "x")
    writer(one)
    writer.close()
    with (tmp_path / "x").open("a") as file:
        file.write('{"at": 2.0, "kind"')  # a line cut off by SIGKILL
    assert list(read(tmp_path / "x", Happening)) == [one]
    assert list(read(tmp_path / "absent", Sample)) == []


def test_a_long_timeline_is_thinned_and_stays_bounded(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "x", most=1000, thin=10)
    for number in range(1000):
        writer(Sample(float(number), "redis", {"n": number}))
    writer.close()
    assert (tmp_path / "x").stat().st_size < 12000
    found = list(read(tmp_path / "x", Sample))
    assert found[0].at == 0.0 and found[-1].at > 900


def test_a_long_log_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    log = Bounded(tmp_path / "log", head=100, tail=200)
    for number in range(1000):
        log.write(b"line %d\n" % number)
        assert (tmp_path / "log").stat().st_size <= 600
    log.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[0] == "line 0" and lines[-1] == "line 999"
    assert any("bytes are left out" in line for line in lines)
    log.write(b"too late")


def test_a_log_is_followed_also_when_it_begins_anew(tmp_path: Path) -> None:
    source, sink = tmp_path / "source", Bounded(tmp_path / "log")
    tail = Tail(source, sink)
    tail()  # the file does not exist yet
    source.write_text("one\n")
    tail()
    with source.open("a") as file:
        file.write("two\n")
    tail()
    source.unlink()
    source.write_text("three\n")
    tail()
    tail.close()
    sink.close()
    assert (tmp_path / "log").read_text() == "one\ntwo\nthree\n"


def test_the_last_runs_are_kept(tmp_path: Path) -> None:
    paths = Paths(tmp_path, "here")
    assert latest(paths) is None
    paths.runs.mkdir(parents=True)
    for number in range(KEPT + 3):
        (paths.runs / f"20200101-0000{number:02}-1").mkdir()
    folder = new(paths)
    assert len(all_of(paths)) == KEPT
    assert latest(paths) == folder
    folder.write_facts(code=1)
    folder.write_facts(ended=2.0)
    assert folder.read_facts() == {"code": 1, "ended": 2.0}
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_secrets_among_the_words_of_the_command_are_hidden() -> None:
    assert secretless("--api-token=abc") == "--api-token=********"
    assert secretless("postgres://me:secret@h/db") == "postgres://me:********@h/db"
    assert secretless("-run=TestThis") == "-run=TestThis"


def test_the_worth_of_redis_info() -> None:
    said = {"used_memory": "10", "maxmemory": "20", "errorstat_OOM": "count=3", "run_id": "x", "os": "Linux"}
    assert redis_values(said) == {"used_memory": 10.0, "maxmemory": 20.0, "refused_writes": 3.0, "run_id": "x"}
