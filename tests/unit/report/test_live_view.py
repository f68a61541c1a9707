"""Tests that the live view keeps marks, names and times on a terminal of any width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from envkit.base.events import Event, Kind
from envkit.report.live import LiveView


@pytest.mark.parametrize("width", [30, 44, 60, 100])
def test_marks_names_and_times_stay_on_a_narrow_terminal(width: int) -> None:
    written = io.StringIO()
    view = LiveView(Console(file=written, width=width, force_terminal=True, color_system=None))
    view(Event(Kind.STARTED, "service datastorage"))
    view(Event(Kind.DONE, "service datastorage", "an event was written and read back", seconds=123.4))
    view(Event(Kind.STARTED, "image localhost/stand-in/redis:7"))
    view(Event(Kind.FAILED, "image localhost/stand-in/redis:7", "no such image", seconds=2.0))
    view.close()
    picture = [line for line in written.getvalue().splitlines() if "✓" in line or "✗" in line][-2:]
    (done,) = (line for line in picture if "✓" in line)
    (failed,) = (line for line in picture if "✗" in line)
    assert "✓ service data" in done
    assert "123.4s" in done
    assert "✗ image" in failed
    assert "2.0s" in failed
