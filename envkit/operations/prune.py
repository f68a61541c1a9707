"""`prune`: take away what nobody will ask for again, and nothing else. Decided here, shown by the caller, then done."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from envkit.base import labels
from envkit.base.errors import EnvkitError
from envkit.base.events import Stream
from envkit.base.owner import Claim, Owner, here
from envkit.base.paths import Paths
from envkit.base.waiting import Cancel
from envkit.inventory import state
from envkit.operations.list import Found, run_of
from envkit.operations.locking import locked
from envkit.operations.remove import down


@dataclass(frozen=True)
class PruneTarget:
    """An environment that may go, and why."""

    found: Found
    reason: str


@dataclass(frozen=True)
class Pruned:
    """What went, or why it did not."""

    name: str
    removed: tuple[str, ...] = ()
    problem: str = ""


def choose(environments: Iterable[Found], now: float | None = None) -> list[PruneTarget]:
    """Those of this user that are expired or orphaned. What is in use or cannot be judged from here stays."""
    moment = time.time() if now is None else now
    return [PruneTarget(found, reason) for found in environments if (reason := why(found, moment))]


def why(found: Found, now: float) -> str:
    """Why the environment may go; empty when it has to stay."""
    asks = here(Path(), "")
    if found.owner is None or found.owner.user not in ("", asks.user):
        return ""
    if found.state == "busy" or found.running or found.unseen:
        return ""
    if 0 < found.expires < now:
        return f"its time was over {_ago(now - found.expires)} ago"
    if not _judgeable(found) or found.owner.mount not in ("", asks.mount):
        return ""  # a folder that is not seen from here proves nothing
    if found.roots and not any(Path(root).is_dir() for root in found.roots):
        return f"its folder {', '.join(found.roots)} is gone"
    if found.state == "gone":
        return "nothing of it is there but files" if found.record or _homely(found) else ""
    if found.record is None and _homely(found):
        return "it never came up, or what is left of it was not taken down"
    return ""


def expired(environments: Iterable[Found], but: str, now: float | None = None) -> list[Found]:
    """Those that were made for a CI job and whose lease is over; not the one named `but`."""
    moment = time.time() if now is None else now
    return [it for it in environments if it.job and it.name != but and 0 < it.expires < moment]


def _revived(one: PruneTarget, paths: Paths) -> str:
    """Why it is not to go any more: somebody used it since it was chosen. Its lock is held."""
    record = state.read(paths)
    if record and one.found.record and record.expires != one.found.record.expires:
        return "it was brought up again meanwhile"
    user = run_of(paths)
    return f"it is used by {user}" if user else ""


def _judgeable(found: Found) -> bool:
    """Whether every state directory that may know of it is one of this machine, and this user may look into it."""
    folders = [labels.home_here(mark) for mark in found.homes]
    return all(folder is not None and _readable(folder) for folder in folders)


def _readable(folder: Path) -> bool:
    """Also when it is gone: then nobody will come back for what it spoke of."""
    try:
        next(folder.iterdir(), None)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _homely(found: Found) -> bool:
    """Whether the traces themselves say which state directory is theirs: else a record may be anywhere."""
    return any(trace.owner.mark for trace in found.traces)


def _ago(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def prune(
    doomed: Iterable[PruneTarget], home: Path, environ: Mapping[str, str], stream: Stream, cancel: Cancel
) -> list[Pruned]:
    """Take them away one after the other; what goes wrong with one is told, and the others go all the same."""
    done = []
    for one in doomed:
        cancel.check()
        paths = Paths(_home(one.found, home), one.found.name)
        asks = _claim(one.found, paths.home)
        try:
            with locked(paths, 1.0, stream, cancel):
                if revived := _revived(one, paths):
                    done.append(Pruned(one.found.name, problem=revived))
                    continue
                removed = down(one.found.name, paths, "auto", environ, stream.note, asks)
            done.append(Pruned(one.found.name, tuple(removed)))
        except EnvkitError as error:
            done.append(Pruned(one.found.name, problem=error.message))
    return done


def _claim(found: Found, home: Path) -> Claim:
    """The claim of this user on what one owner, who is gone or whose time is over, left behind."""
    owner = found.owner or Owner()
    ours = here(home, owner.checkout or "")
    return Claim(replace(ours, machine=owner.machine or ours.machine, home=owner.home or ours.home))


def _home(found: Found, home: Path) -> Path:
    """The state directory whose files go along."""
    return next((folder for mark in found.homes if (folder := labels.home_here(mark))), home)
