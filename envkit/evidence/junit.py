"""Finds, reads and summarises the JUnit files that the command wrote. Hostile files do no harm."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LARGEST = 32 << 20
"""Largest size in bytes of a file that is read. A larger file becomes a note."""

MOST_FILES = 50
MOST_FAILURES = 200
MESSAGE = 4000
"""Number of characters of a failure's message that are kept."""

DEEPEST = 8
MOST_LOOKED_AT = 50_000
"""Limits of the search for reports: the depth below the working directory, and the number of files."""

SKIPPED = frozenset(
    {".git", ".hg", ".venv", "venv", "node_modules", "__pycache__", ".mypy_cache", ".ruff_cache", ".tox"}
)

OPTIONS = ("--junitxml", "--junit-xml", "--junitfile", "--junit-report", "-junitfile", "--ginkgo.junit-report")
"""Options of pytest, gotestsum and ginkgo that name the report's file."""

EARLIER = 2.0
"""Number of seconds by which a new file can seem older than the command, because file systems store coarse times."""


@dataclass(frozen=True)
class Failure:
    """One failed test. `at` is the time of its end (seconds since 1970), or None if the report has no time."""

    test: str
    message: str = ""
    at: float | None = None


@dataclass(frozen=True)
class Report:
    """The sum of all reports. `failed` has the first `MOST_FAILURES`; `notes` name what could not be read."""

    files: tuple[str, ...] = ()
    tests: int = 0
    failures: int = 0
    skipped: int = 0
    failed: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()

    def __add__(self, other: Report) -> Report:
        return Report(
            self.files + other.files, self.tests + other.tests, self.failures + other.failures,
            self.skipped + other.skipped, (self.failed + other.failed)[:MOST_FAILURES], self.notes + other.notes,
        )  # fmt: skip

    @property
    def last_failure(self) -> float | None:
        """Return the time at which the last failed test ended, or None if no test failed or a time is missing."""
        times = [failure.at for failure in self.failed]
        return None if not times or None in times else max(time for time in times if time is not None)

    def summary(self) -> str:
        """Return the counts in words, such as `120 tests, 3 failed, 2 skipped`."""
        more = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.tests} test{'' if self.tests == 1 else 's'}, {self.failures} failed{more}"


def reports(argv: Sequence[str], folder: Path, since: float) -> Report | None:
    """Return the sum of all reports written after `since`, or None if there are none.

    The reports are the files that the command line names, and the JUnit files below the folder.
    """
    found = Report()
    for path in sorted({*_named(argv, folder), *_below(folder, since)})[:MOST_FILES]:
        with suppress(OSError):
            if path.stat().st_mtime >= since - EARLIER:
                found += read(path)
    return found if found.files or found.notes else None


def _named(argv: Sequence[str], folder: Path) -> Iterator[Path]:
    for number, word in enumerate(argv):
        option, equals, value = word.partition("=")
        if option in OPTIONS:
            value = value if equals else next(iter(argv[number + 1 : number + 2]), "")
            path = folder / value
            if value and path.is_file():
                yield path.resolve()


def _below(folder: Path, since: float) -> Iterator[Path]:
    """Yield the `*.xml` files below the folder that changed after `since` and begin like a report.

    Folders of caches, version control and installed packages (`SKIPPED`) are left out.
    """
    looked_at = 0
    for home, folders, names in os.walk(folder):
        depth = len(Path(home).relative_to(folder).parts)
        folders[:] = [] if depth >= DEEPEST else sorted(one for one in folders if one not in SKIPPED)
        looked_at += len(names)
        if looked_at > MOST_LOOKED_AT:
            return
        for name in names:
            path = Path(home) / name
            with suppress(OSError):
                if name.endswith(".xml") and path.stat().st_mtime >= since - EARLIER and _looks_right(path):
                    yield path.resolve()


def _looks_right(path: Path) -> bool:
    with path.open("rb") as file:
        return b"<testsuite" in file.read(2000)


def read(path: Path) -> Report:
    """Return one report. A file that is no report, is too large or declares entities becomes a note, not an error."""
    from xml.parsers import expat

    if path.stat().st_size > LARGEST:
        return Report(notes=(f"{path}: larger than {LARGEST >> 20} MiB, not read",))
    reader = _Reader(path.stat().st_mtime)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(path.read_bytes(), True)
    except (expat.ExpatError, _Refused, ValueError) as error:
        return replace(reader.report, files=(str(path),), notes=(f"{path}: not read to its end: {error}",))
    return replace(reader.report, files=(str(path),))


class _Refused(Exception):
    """The file declares a document type or entities. Entities can grow without bound, and no report needs them."""


def _refuse(*_: Any) -> None:
    raise _Refused("it declares a document type or entities")


@dataclass
class _Reader:
    """Counts test cases. Suites can contain suites, and their own counts are ignored because they can be wrong."""

    written: float
    report: Report = Report()
    _clock: list[float | None] = field(default_factory=list)
    _case: Mapping[str, str] = field(default_factory=dict)
    _state: str = ""
    _message: str = ""
    _listens: bool = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        match name:
            case "testsuite":
                self._clock.append(_moment(attributes.get("timestamp", "")))
            case "testcase":
                self._case, self._state, self._message = attributes, "", ""
            case "failure" | "error":
                self._state = "failed"
                self._message += f"{attributes.get('message', '')}\n"
                self._listens = True
            case "skipped" if not self._state:
                self._state = "skipped"

    def text(self, data: str) -> None:
        if self._listens and len(self._message) < 16 * MESSAGE:
            self._message += data

    def end(self, name: str) -> None:
        match name:
            case "testsuite" if self._clock:
                self._clock.pop()
            case "failure" | "error":
                self._listens = False
            case "testcase":
                self._count()

    def _count(self) -> None:
        ended = None
        if self._clock and (began := self._clock[-1]) is not None:
            self._clock[-1] = done = began + _number(self._case.get("time", ""))
            ended = min(done, self.written)  # the times of parallel tests add up to more than has passed
        name = ".".join(part for part in (self._case.get("classname", ""), self._case.get("name", "")) if part)
        failed = (Failure(name, _telling(self._message)[:MESSAGE].strip(), ended),) if self._state == "failed" else ()
        self.report += Report((), 1, len(failed), int(self._state == "skipped"), failed)


def _telling(message: str) -> str:
    """Return the first line of the message and the lines that pytest marks with E, or all lines if none is marked.

    The other lines of pytest's message are source code, which can contain any word.
    """
    first, *lines = message.splitlines() or [""]
    marked = [line[1:].strip() for line in lines if line.startswith("E  ")]
    return "\n".join([first, *(marked or lines)])


def _moment(text: str) -> float | None:
    """Return an ISO time as seconds since 1970, or None. A time without a zone is in this machine's zone."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC).timestamp()
    except ValueError:
        return None


def _number(text: str) -> float:
    try:
        return max(0.0, float(text.replace(",", "")))
    except ValueError:
        return 0.0
