"""The ledger of promises and the record of refused events, without any server."""

from contextlib import closing
from pathlib import Path

import pytest

from envkit.datastorage import ledger as ledgers
from envkit.datastorage import withdrawals
from envkit.datastorage.events import new_event_id
from envkit.datastorage.ledger import Ledger
from envkit.datastorage.withdrawals import Withdrawals


def promise(correlation: str = "rr-1") -> dict[str, str]:
    return {"event_id": new_event_id(), "correlation_id": correlation}


def test_promises_are_open_until_they_are_settled() -> None:
    ledger, events = Ledger(), [promise(), promise()]
    ledger.promised(events)
    ledger.settled([events[0]["event_id"], "unknown"])
    assert ledger.outstanding() == {events[1]["event_id"]: "rr-1"}


def test_a_file_outlives_the_process(tmp_path: Path) -> None:
    events = [promise("two\nlines"), promise()]
    with closing(Ledger(tmp_path / "ledger")) as first:
        first.promised(events)
        first.settled([events[1]["event_id"]])
        with closing(Ledger(tmp_path / "ledger")) as second:
            assert second.outstanding() == {events[0]["event_id"]: "two lines"}


def test_a_line_cut_short_by_death_is_ignored(tmp_path: Path) -> None:
    whole = promise()
    (tmp_path / "ledger").write_text(f"+{whole['event_id']} rr-1\n+0190a1b2-c3")
    with closing(Ledger(tmp_path / "ledger")) as ledger:
        assert ledger.outstanding() == {whole["event_id"]: "rr-1"}


def test_the_file_does_not_grow_with_what_is_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "SETTLED_LINES", 10)
    kept = promise()
    with closing(Ledger(tmp_path / "ledger")) as ledger:
        ledger.promised([kept])
        for _ in range(50):
            event = promise()
            ledger.promised([event])
            ledger.settled([event["event_id"]])
        assert len((tmp_path / "ledger").read_text().splitlines()) <= 14
        ledger.settled([kept["event_id"]])
    assert (tmp_path / "ledger").read_text() == ""


def test_a_file_that_cannot_be_written_costs_only_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger(tmp_path / "missing" / "ledger")
    ledger.promised([promise()])
    assert len(ledger) == 1
    assert "kept in memory only" in caplog.text


def test_refused_events_are_remembered_until_both_servers_have_worked_for_a_while() -> None:
    now = 100.0
    refused = Withdrawals(lambda: now)
    refused.refused(["a"])
    refused.ill()
    now += 60
    refused.well()
    assert "a" in refused  # the servers may only now execute writes that they received before
    now += withdrawals.GRACE_SECONDS - 1
    refused.refused(["b"])
    now += 2
    refused.well()
    assert refused.ids() == {"b"}


def test_a_bounded_number_of_refused_events_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(withdrawals, "MAX_REMEMBERED", 3)
    refused = Withdrawals(lambda: 0.0)
    refused.refused(["a", "b"])
    refused.refused(["c", "d"])
    assert refused.ids() == {"b", "c", "d"}
