"""A terminal screen as an SVG file: it uses only installed fonts, and its description repeats the text."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from xml.etree import ElementTree as Xml

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

FOLDER = Path(__file__).resolve().parents[2] / "docs/pictures"
FONT_FACES = re.compile(r"@font-face \{\{.*?\}\}\s*", re.DOTALL)
NAMESPACE = "{http://www.w3.org/2000/svg}"


def write(name: str, command: str, lines: Sequence[str], columns: int) -> None:
    """Write the picture of a command and its output; lines may contain ANSI colours."""
    console = Console(
        record=True, file=io.StringIO(), width=columns, force_terminal=True, color_system="truecolor",
        legacy_windows=False,
    )  # fmt: skip
    text = Text.from_ansi("\n".join([f"\x1b[1;32m$\x1b[0m \x1b[1m{command}\x1b[0m", *lines]))
    console.print(text, soft_wrap=True, highlight=False)
    description = escape(text.plain).replace("{", "{{").replace("}", "}}")
    form = FONT_FACES.sub("", CONSOLE_SVG_FORMAT).replace(
        "Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace"
    )
    form = form.replace("<style>", f"<desc>{description}</desc>\n    <style>", 1)
    drawn = console.export_svg(title="envkit", code_format=form, unique_id=f"envkit-{name}")
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.svg").write_text("\n".join(line.rstrip() for line in drawn.splitlines()) + "\n")


def described(name: str) -> list[str]:
    """Return the lines of the picture's description, the command first."""
    found = Xml.parse(FOLDER / f"{name}.svg").getroot().find(f"{NAMESPACE}desc")
    assert found is not None
    return (found.text or "").splitlines()


def drawn(name: str) -> list[str]:
    """Return the text drawn in the picture, line by line."""
    rows: dict[float, list[tuple[float, str]]] = {}
    for group in Xml.parse(FOLDER / f"{name}.svg").getroot().iter(f"{NAMESPACE}g"):
        if not group.get("class", "").endswith("-matrix"):
            continue
        for text in group.iter(f"{NAMESPACE}text"):
            row = rows.setdefault(float(text.get("y", "0")), [])
            row.append((float(text.get("x", "0")), (text.text or "").replace("\xa0", " ")))
    return ["".join(part for _, part in sorted(parts)).rstrip() for _, parts in sorted(rows.items())]
