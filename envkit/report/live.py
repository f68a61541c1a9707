"""The live view: a table, redrawn in place, with each step's state, its time and its current work."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from rich.console import Console, OverflowMethod
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from envkit.base.events import Event, Kind

_MARKS = {
    Kind.DONE: ("✓", "+", "green"),
    Kind.KEPT: ("=", "=", "dim"),
    Kind.FAILED: ("✗", "x", "bold red"),
    Kind.SKIPPED: ("-", "-", "yellow"),
    Kind.PLANNED: ("·", ".", "dim"),
}
"""For each kind of event: the mark, the mark for terminals with ASCII only, and the style."""


TIME = 6
"""Width of a time in columns, for example `123.4s`."""


@dataclass
class _Line:
    kind: Kind = Kind.PLANNED
    message: str = ""
    began: float | None = None
    seconds: float | None = None


class LiveView:
    """An event sink for a terminal. It prints notes above the table; the table stays on the screen at the end."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stderr)
        self._lines: dict[str, _Line] = {}
        self._letters = self._console.encoding.startswith("utf")
        self._spinner = Spinner("dots" if self._letters else "line")
        self._live = Live(console=self._console, refresh_per_second=10, get_renderable=self._table)
        self._on = False

    def __call__(self, event: Event) -> None:
        """Update the table with the event, or print the event if it is a note."""
        if not event.step:
            self._console.print(Text(event.message, style="dim"))
            return
        line = self._lines.setdefault(event.step, _Line())
        if event.kind is Kind.STARTED:
            line.began = time.monotonic()
            self._start()
        if event.kind is not Kind.PROGRESS:
            line.kind = event.kind
        line.message, line.seconds = event.message, event.seconds

    def _start(self) -> None:
        if not self._on:
            self._on = True
            self._live.start()

    def pause(self) -> None:
        """Draw the table for the last time and release the terminal; a later step starts a new table."""
        self.close()
        self._lines.clear()

    def close(self) -> None:
        """Draw the table for the last time and release the terminal."""
        if self._on:
            self._on = False
            self._live.stop()

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 1))
        cut: OverflowMethod = "ellipsis" if self._letters else "crop"
        longest = max((len(name) for name in self._lines), default=0)
        names = min(longest, max(8, self._console.width // 2))
        table.add_column(width=1)
        table.add_column(no_wrap=True, overflow=cut, width=names)
        table.add_column(justify="right", no_wrap=True, width=TIME)
        # This column takes the rest of the line. Without a fixed width, rich would shrink every column, marks first.
        table.add_column(overflow=cut, no_wrap=True, width=max(1, self._console.width - names - TIME - 5))
        for name, line in self._lines.items():
            if line.kind is Kind.STARTED:
                took = time.monotonic() - (line.began or time.monotonic())
                table.add_row(self._spinner, name, f"{took:.1f}s", Text(_first(line.message), style="dim"))
            else:
                mark, plain, style = _MARKS.get(line.kind, _MARKS[Kind.PLANNED])
                mark = mark if self._letters else plain
                took_text = f"{line.seconds:.1f}s" if line.seconds else ""
                table.add_row(
                    Text(mark, style=style), Text(name, style=style), took_text, Text(_first(line.message), style="dim")
                )
        return table


def _first(text: str) -> str:
    return text.splitlines()[0] if text else ""
