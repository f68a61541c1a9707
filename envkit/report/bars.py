"""Draw the durations of an `up`: a bar for each step, with the critical path marked and its total below."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, OverflowMethod, RenderableType
from rich.table import Table
from rich.text import Text

from envkit.inventory.timings import Span, Timings

LEAST = 10
"""Minimum width of a bar in columns. Notes are drawn only if bars beside them can have twice this width."""

TIME = 6
"""Columns for a time: `123.4s`."""

CRITICAL, FAILED, OTHER, FAINT = "bold cyan", "bold red", "green", "dim"


@dataclass(frozen=True)
class Style:
    """Settings for drawing: the width in columns, Unicode or ASCII characters, and whether to use colours."""

    columns: int = 80
    letters: bool = True
    colours: bool = False

    @property
    def marks(self) -> tuple[str, str, str, str]:
        """The characters for waiting, a step, a step of the critical path, and the arrow between two steps."""
        return ("·", "▒", "█", "→") if self.letters else (".", "=", "#", ">")

    @property
    def cut(self) -> OverflowMethod:
        """The way rich shortens a name that is too long."""
        return "ellipsis" if self.letters else "crop"


def draw(found: Timings, look: Style) -> str:
    """Return the drawing as text; each line ends with a newline."""
    text = io.StringIO()
    console = Console(
        file=text, width=look.columns, color_system="standard" if look.colours else None, force_terminal=look.colours,
        legacy_windows=False, _environ={},
    )  # fmt: skip
    for part in _parts(found, look):
        console.print(part, highlight=False)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def _parts(found: Timings, look: Style) -> Iterator[RenderableType]:
    spans = [span for span in found.spans if span.ran]
    kept = sum(span.state == "kept" for span in found.spans)
    never = [span.step for span in found.spans if span.began is None]
    head = f"up of {found.name} on {found.where}: {found.seconds:.1f}s"
    yield Text(head + (", failed" if found.result == "failed" else "") + "\n")
    yield _rows(found, spans, look)
    if kept:
        yield _indented("", Text(f"and {kept} that {'was' if kept == 1 else 'were'} kept", FAINT))
    if never:
        yield _indented("", Text(f"never began: {', '.join(never)}", FAINT))
    yield ""
    yield from _chain(found, look)


def _rows(found: Timings, spans: list[Span], look: Style) -> Table:
    chain = {span.step for span in found.critical}
    names = min(max(len(span.step) for span in spans), max(8, look.columns // 3))
    notes = {span.step: _note(found, span) for span in spans}
    room = look.columns - names - TIME - 6
    beside = max(map(len, notes.values()))
    bar = room - beside - 2 if room - beside - 2 >= 2 * LEAST else max(LEAST, room)
    scale = bar / max(span.ended for span in spans)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, overflow=look.cut, width=names + 2)
    table.add_column(no_wrap=True, justify="right", min_width=TIME)
    table.add_column(no_wrap=True, overflow="crop", width=bar)
    for span in spans:
        critical = span.step in chain
        colour = FAILED if span.state == "failed" else CRITICAL if critical else OTHER
        name = Text(f"{'*' if critical else ' '} {span.step}", colour if critical else OTHER)
        note = [Text.assemble((notes[span.step], FAINT))] if bar < room else []
        table.add_row(name, f"{span.seconds:.1f}s", _bar(span, scale, bar, critical, colour, look), *note)
    return table


def _bar(span: Span, scale: float, most: int, critical: bool, colour: str, look: Style) -> Text:
    wait, other, path, _ = look.marks
    begin = min(int((span.began or 0.0) * scale), most - 1)
    length = max(1, min(round(span.ended * scale), most) - begin)
    return Text.assemble((wait * begin, FAINT), ((path if critical else other) * length, colour))


def _note(found: Timings, span: Span) -> str:
    """Return the note beside a bar: `failed`, `stopped`, the step for which this step waited, or an empty string."""
    if span.state in ("failed", "stopped"):
        return span.state
    before = found.waited_for(span)
    return f"after {before}" if before else ""


def _chain(found: Timings, look: Style) -> Iterator[Table]:
    chain = found.critical
    arrow = f" {look.marks[3]} "
    said = arrow.join(f"{span.step} {span.seconds:.1f}s" for span in chain)
    total = sum(span.seconds for span in chain)
    first, last = (chain[0].began or 0.0, chain[-1].ended) if chain else (0.0, 0.0)
    rest = f"{first:.1f}s before it, {max(0.0, last - first - total):.1f}s between its steps, "
    rest += f"{max(0.0, found.seconds - last):.1f}s after it"
    yield _indented("*", Text(f"critical path: {said}"))
    yield _indented("", Text(f"{total:.1f}s of {found.seconds:.1f}s; {rest}"))


def _indented(mark: str, text: Text) -> Table:
    """Return the text with each line indented by two columns, and with the mark before the first line."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=1)
    table.add_row(mark, text)
    return table
