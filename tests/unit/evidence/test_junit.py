"""Tests of the reports that the command wrote: envkit finds them, treats them as untrusted, and summarises them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from envkit.evidence import junit, log_patterns
from envkit.evidence.junit import read, reports

PYTEST = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="4" time="1.5"
 timestamp="2026-01-01T12:00:00+00:00">
<testcase classname="tests.test_a" name="test_one" time="1.0" />
<testcase classname="tests.test_a" name="test_two" time="0.5"><failure message="assert 1 == 2">def test_two():
&gt;  assert 1 == 2</failure></testcase>
<testcase classname="tests.test_a" name="test_three" time="0.25"><error message="failed on setup">Connection refused
</error></testcase>
<testcase classname="tests.test_a" name="test_four" time="0"><skipped message="not here"/></testcase>
</testsuite></testsuites>"""
NOON = 1767268800.0
BOMB = """<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<testsuite><testcase name="t"><failure>&b;</failure></testcase></testsuite>"""
SINCE = 1000.0


def write(path: Path, text: str, at: float = NOON * 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (at, at))
    return path


def test_pytests_report(tmp_path: Path) -> None:
    report = read(write(tmp_path / "r.xml", PYTEST))
    assert report.summary() == "4 tests, 2 failed, 1 skipped"
    first, second = report.failed
    assert (first.test, first.at) == ("tests.test_a.test_two", NOON + 1.5)
    assert first.message.startswith("assert 1 == 2")
    assert "Connection refused" in second.message
    assert report.last_failure == NOON + 1.75


SHOWN = """def test():
    try: go()
    except TimeoutError:  # Connection refused
&gt;       assert 1 == 2
E       assert 1 == 2"""


def one_failure(text: str) -> str:
    return f'<testsuite><testcase name="t"><failure message="no">{text}</failure></testcase></testsuite>'


def test_source_that_a_report_shows_complains_of_nothing(tmp_path: Path) -> None:
    assert read(write(tmp_path / "r.xml", one_failure(SHOWN))).failed[0].message == "no\nassert 1 == 2"
    said = "main_test.go:3: dial tcp 127.0.0.1:1: connection refused"
    assert read(write(tmp_path / "go.xml", one_failure(said))).failed[0].message == f"no\n{said}"


def test_a_test_did_not_end_after_its_report_was_written(tmp_path: Path) -> None:
    assert read(write(tmp_path / "r.xml", PYTEST, at=NOON + 1)).last_failure == NOON + 1


def test_times_are_unknown_where_the_report_tells_none(tmp_path: Path) -> None:
    report = read(write(tmp_path / "r.xml", PYTEST.replace('timestamp="2026-01-01T12:00:00+00:00"', "")))
    assert report.last_failure is None
    assert report.failures == 2


@pytest.mark.parametrize("text", [BOMB, "<testsuite><testcase", "not xml <testsuite"])
def test_what_cannot_be_read_is_a_note(tmp_path: Path, text: str) -> None:
    report = read(write(tmp_path / "r.xml", text))
    assert len(report.notes) == 1
    assert report.failures == 0


def test_a_huge_report_is_told_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(junit, "LARGEST", 10)
    assert "not read" in read(write(tmp_path / "r.xml", PYTEST)).notes[0]


def test_reports_are_found_by_option_and_below_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "work/build/reports/a.xml", PYTEST)
    write(tmp_path / "work/other.xml", "<project/>")
    write(tmp_path / "work/node_modules/b.xml", PYTEST)
    write(tmp_path / "work/old.xml", PYTEST, at=SINCE - 60)
    write(tmp_path / "elsewhere/c.xml", PYTEST)
    for argv in (
        ["pytest", f"--junitxml={tmp_path}/elsewhere/c.xml"],
        ["pytest", "--junit-xml", "../elsewhere/c.xml"],
        ["gotestsum", "--junitfile", "../elsewhere/c.xml", "--", "./..."],
    ):
        found = reports(argv, tmp_path / "work", SINCE)
        assert found is not None
        assert [Path(name).name for name in found.files] == ["c.xml", "a.xml"]
        assert found.failures == 4
    assert reports(["x"], tmp_path / "elsewhere", NOON * 3) is None


def test_what_failures_complain_of() -> None:
    said = log_patterns.complaint(
        'psycopg.OperationalError: connection to server at "127.0.0.1", port 15437 failed: refused'
    )
    assert said.ports == ()
    said = log_patterns.complaint(
        "connection failed: connection to server at 127.0.0.1, port 15437 failed: Connection refused"
    )
    assert said == log_patterns.Complaint(("connection",), (15437,))
    assert log_patterns.complaint("HTTPConnectionPool(host='127.0.0.1', port=18091): Read timed out.").ports == (18091,)
    assert log_patterns.complaint("redis.exceptions.OutOfMemoryError: OOM command not allowed").kinds == ("redis-full",)
    assert log_patterns.complaint("expected 404, got 500").kinds == ()


def test_lines_from_before_the_run_say_nothing_of_it() -> None:
    assert log_patterns.before("2026-01-01T11:59:00.123Z no space left on device", NOON)
    assert log_patterns.before("2026-01-01 11:59:00.123 UTC [1] PANIC: no space left on device", NOON)
    assert not log_patterns.before("2026-01-01 12:00:01.123 UTC [1] PANIC", NOON)
    assert not log_patterns.before("no time at all", NOON)
