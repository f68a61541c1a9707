"""What this process has promised with 202 and not yet seen to its end; and what it has refused without being sure.

The suite's Redis keeps nothing on disk and may evict the stream under memory pressure. What was promised and is then
neither in the stream nor in PostgreSQL is lost, and only somebody who remembers it can say so. With a file, the
memory survives this process's death too.
"""

import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

LOG = logging.getLogger(__name__)
SETTLED_LINES = 10_000  # of settled events that a file may hold before it is written anew


class Ledger:
    """Event id -> correlation id of every queued event whose end is not known; as bounded as the queue itself.

    ``path`` holds ``+ID CORRELATION`` for a promise and ``-ID`` for its end. It is flushed, not synced: it is to
    outlive the process, not the machine. A file that cannot be written costs only that.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._outstanding = _read(path) if path else {}
        self._lines = 0
        self._file: TextIO | None = None
        self._rewrite()

    def __len__(self) -> int:
        return len(self._outstanding)

    def promised(self, events: Sequence[Mapping[str, Any]]) -> None:
        """These events were answered with 202."""
        new = {event["event_id"]: event["correlation_id"] for event in events}
        self._outstanding |= new
        self._append(f"+{event_id} {_one_line(correlation)}" for event_id, correlation in new.items())

    def settled(self, event_ids: Iterable[str]) -> None:
        """The end of these is known."""
        known = [event_id for event_id in event_ids if self._outstanding.pop(event_id, None) is not None]
        self._append(f"-{event_id}" for event_id in known)
        if self._lines > SETTLED_LINES + len(self._outstanding) or (known and not self._outstanding):
            self._rewrite()

    def outstanding(self) -> dict[str, str]:
        """A copy of what is open now."""
        return dict(self._outstanding)

    def close(self) -> None:
        """Lets go of the file; what is open stays in it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, lines: Iterable[str]) -> None:
        if self._file is None:
            return
        text = [f"{line}\n" for line in lines]
        self._lines += len(text)
        try:
            self._file.writelines(text)
            self._file.flush()
        except OSError as exc:
            self._give_up(exc)

    def _rewrite(self) -> None:
        if self._path is None:
            return
        self.close()
        beside = self._path.with_name(f"{self._path.name}.new")
        try:
            beside.write_text("".join(f"+{i} {_one_line(c)}\n" for i, c in self._outstanding.items()), encoding="utf-8")
            beside.replace(self._path)
            self._file = self._path.open("a", encoding="utf-8")
            self._lines = len(self._outstanding)
        except OSError as exc:
            self._give_up(exc)

    def _give_up(self, exc: OSError) -> None:
        LOG.warning("the ledger is kept in memory only", extra={"path": str(self._path), "reason": exc.strerror})
        with contextlib.suppress(OSError):
            self.close()
        self._file, self._path = None, None


def _one_line(correlation: str) -> str:
    return " ".join(correlation.split())


def _read(path: Path) -> dict[str, str]:
    """What an earlier process left open. A line that its death cut short is its last one, and says nothing."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            event_id, _, correlation = line[1:].partition(" ")
            if line.startswith("+") and len(event_id) == len("00000000-0000-0000-0000-000000000000"):
                found[event_id] = correlation
            elif line.startswith("-"):
                found.pop(event_id, None)
    return found
