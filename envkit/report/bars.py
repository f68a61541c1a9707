"""Draw the durations of an `up`: a bar for each step, with the critical path marked and its total below."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from envkit.inventory.timings import Span, Timings

LEAST = 10
"""Minimum width of a bar in columns. Notes are drawn only if bars beside them can have twice this width."""

COLOURS = {"critical": "1;36", "failed": "1;31", "other": "32", "faint": "2"}


@dataclass(frozen=True)
class Look:
    """Settings for drawing: the width in columns, Unicode or ASCII characters, and whether to use colours."""

    columns: int = 80
    letters: bool = True
    colours: bool = False

    @property
    def marks(self) -> tuple[str, str, str, str]:
        """The characters for waiting, a step, a step of the critical path, and the arrow between two steps."""
        return ("·", "▒", "█", "→") if self.letters else (".", "=", "#", ">")

    def painted(self, text: str, colour: str) -> str:
        """Return the text in that colour, or unchanged if colours are off."""
        return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if self.colours and text else text


def draw(found: Timings, look: Look) -> str:
    """Return the drawing as text; each line ends with a newline."""
    spans = [span for span in found.spans if span.ran]
    kept = sum(span.state == "kept" for span in found.spans)
    never = [span.step for span in found.spans if span.began is None]
    head = f"up of {found.name} on {found.where}: {found.seconds:.1f}s"
    lines = [*_fold(head + (", failed" if found.result == "failed" else ""), look, ""), ""]
    lines += _rows(found, spans, look)
    if kept:
        lines.append(look.painted(f"  and {kept} that {'was' if kept == 1 else 'were'} kept", "faint"))
    if never:
        lines += [look.painted(line, "faint") for line in _fold(f"  never began: {', '.join(never)}", look, "    ")]
    return "".join(f"{line}\n" for line in [*lines, "", *_chain(found, look)])


def _rows(found: Timings, spans: list[Span], look: Look) -> list[str]:
    chain = {span.step for span in found.critical}
    names = min(max(len(span.step) for span in spans), max(8, look.columns // 3))
    notes = {span.step: _note(found, span) for span in spans}
    room = look.columns - names - 12
    beside = max(map(len, notes.values()))
    bar = room - beside - 2 if room - beside - 2 >= 2 * LEAST else max(LEAST, room)
    scale = bar / max(span.ended for span in spans)
    rows = []
    for span in spans:
        critical = span.step in chain
        colour = "failed" if span.state == "failed" else "critical" if critical else "other"
        short = span.step if len(span.step) <= names else span.step[: names - 1] + ("…" if look.letters else "~")
        mark = look.painted(("*" if critical else " ") + " " + short.ljust(names), colour if critical else "other")
        line = f"{mark} {span.seconds:6.1f}s  {_bar(span, scale, bar, critical, colour, look)}"
        rows.append(f"{line}  {look.painted(notes[span.step], 'faint')}".rstrip() if bar < room else line.rstrip())
    return rows


def _bar(span: Span, scale: float, most: int, critical: bool, colour: str, look: Look) -> str:
    wait, other, path, _ = look.marks
    begin = min(int((span.began or 0.0) * scale), most - 1)
    length = max(1, min(round(span.ended * scale), most) - begin)
    drawn = look.painted(wait * begin, "faint") + look.painted((path if critical else other) * length, colour)
    return drawn + " " * (most - begin - length)


def _note(found: Timings, span: Span) -> str:
    """Return the note beside a bar: the step that it waited for, or that it failed or was stopped."""
    if span.state in ("failed", "stopped"):
        return span.state
    before = found.waited_for(span)
    return f"after {before}" if before else ""


def _chain(found: Timings, look: Look) -> list[str]:
    chain = found.critical
    arrow = f" {look.marks[3]} "
    said = arrow.join(f"{span.step} {span.seconds:.1f}s" for span in chain)
    total = sum(span.seconds for span in chain)
    first, last = (chain[0].began or 0.0, chain[-1].ended) if chain else (0.0, 0.0)
    rest = f"{first:.1f}s before it, {max(0.0, last - first - total):.1f}s between its steps, "
    rest += f"{max(0.0, found.seconds - last):.1f}s after it"
    lines = [*_fold(f"* critical path: {said}", look, "  ")]
    return [*lines, *_fold(f"  {total:.1f}s of {found.seconds:.1f}s; {rest}", look, "  ")]


def _fold(text: str, look: Look, indent: str) -> list[str]:
    return textwrap.wrap(
        text, look.columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ) or [""]  # fmt: skip
