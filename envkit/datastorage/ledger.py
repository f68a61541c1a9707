"""Records the promised events, which the service answered with 202 (queued).

An event stays in the record until the service knows that the event is stored, parked or lost.

The Redis of a test suite stores nothing on disk, and can evict the stream if its memory is full. A promised event that
is then neither in the stream nor in PostgreSQL is lost, and only this record shows that. With a file, the record also
survives the end of the process.
"""

import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

LOG = logging.getLogger(__name__)
SETTLED_LINES = 10_000  # if the file has more lines than this about settled events, it is rewritten


class Ledger:
    """Maps the event id of each promised event to its correlation id. The queue's limits also limit the ledger's size.

    The file at ``path`` has a line ``+ID CORRELATION`` for each promise and ``-ID`` for each settled event. The
    ledger flushes the file but does not sync it: the file must survive the process, not a crash of the host. If the
    file cannot be written, the ledger continues in memory.
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
        """Record that the service answered these events with 202."""
        new = {event["event_id"]: event["correlation_id"] for event in events}
        self._outstanding |= new
        self._append(f"+{event_id} {_one_line(correlation)}" for event_id, correlation in new.items())

    def settled(self, event_ids: Iterable[str]) -> None:
        """Remove events that are stored, parked or known to be lost."""
        known = [event_id for event_id in event_ids if self._outstanding.pop(event_id, None) is not None]
        self._append(f"-{event_id}" for event_id in known)
        if self._lines > SETTLED_LINES + len(self._outstanding) or (known and not self._outstanding):
            self._rewrite()

    def outstanding(self) -> dict[str, str]:
        """Return a copy of the mapping from event id to correlation id, for all events that are still promised."""
        return dict(self._outstanding)

    def close(self) -> None:
        """Close the file. Unsettled promises stay in it."""
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
    """Return the unsettled promises of an earlier process.

    If that process was killed while it wrote, the last line can be incomplete. It is ignored if its id is too short.
    """
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            event_id, _, correlation = line[1:].partition(" ")
            if line.startswith("+") and len(event_id) == len("00000000-0000-0000-0000-000000000000"):
                found[event_id] = correlation
            elif line.startswith("-"):
                found.pop(event_id, None)
    return found
