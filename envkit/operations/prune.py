"""`prune`: remove environments that are expired or orphaned. `choose` selects them, and `prune` removes them.

Between the two calls the command shows the selection to the user.
"""

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
    """An environment that `prune` is allowed to remove, and the reason."""

    found: Found
    reason: str


@dataclass(frozen=True)
class Pruned:
    """The parts of one environment that were removed, or the problem that prevented the removal."""

    name: str
    removed: tuple[str, ...] = ()
    problem: str = ""


def choose(environments: Iterable[Found], now: float | None = None) -> list[PruneTarget]:
    """Return the environments of this user that are expired or orphaned.

    Environments that are in use, or whose files this process cannot read, are left out.
    """
    moment = time.time() if now is None else now
    return [PruneTarget(found, reason) for found in environments if (reason := why(found, moment))]


def why(found: Found, now: float) -> str:
    """Return why `prune` is allowed to remove the environment, or "" if the environment must stay."""
    asks = here(Path(), "")
    if found.owner is None or found.owner.user not in ("", asks.user):
        return ""
    if found.state == "busy" or found.running or found.unseen:
        return ""
    if 0 < found.expires < now:
        return f"it expired {_ago(now - found.expires)} ago"
    if not _judgeable(found) or found.owner.mount not in ("", asks.mount):
        return ""  # a folder that this process does not see may exist in another mount namespace
    if found.roots and not any(Path(root).is_dir() for root in found.roots):
        return f"its folder {', '.join(found.roots)} is gone"
    if found.state == "gone":
        return "only its files are left" if found.record or _homely(found) else ""
    if found.record is None and _homely(found):
        return "it never came up, or its remains were not removed"
    return ""


def expired(environments: Iterable[Found], but: str, now: float | None = None) -> list[Found]:
    """Return the expired environments that were made for a CI job, except the one named `but`."""
    moment = time.time() if now is None else now
    return [it for it in environments if it.job and it.name != but and 0 < it.expires < moment]


def _revived(one: PruneTarget, paths: Paths) -> str:
    """Return why the environment must not be removed, if somebody used it after `choose`, else "".

    The caller holds the environment's lock.
    """
    record = state.read(paths)
    if record and one.found.record and record.expires != one.found.record.expires:
        return "it was brought up again meanwhile"
    user = run_of(paths)
    return f"it is used by {user}" if user else ""


def _judgeable(found: Found) -> bool:
    """Return whether this user can read all state directories of the environment.

    The state directories of another machine count as unreadable.
    """
    folders = [labels.home_here(mark) for mark in found.homes]
    return all(folder is not None and _readable(folder) for folder in folders)


def _readable(folder: Path) -> bool:
    """Return whether this user can read the folder. A missing folder counts as readable: it contains no record."""
    try:
        next(folder.iterdir(), None)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _homely(found: Found) -> bool:
    """Return whether the traces name their state directory. If they do not, a record can exist in any directory."""
    return any(trace.owner.mark for trace in found.traces)


def _ago(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def prune(
    doomed: Iterable[PruneTarget], home: Path, environ: Mapping[str, str], stream: Stream, cancel: Cancel
) -> list[Pruned]:
    """Remove the environments one after the other; return the result for each. A failure does not stop the others."""
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
    """Return this user's claim with the machine, state directory and checkout of the environment's owner.

    A claim says for which owner a command acts. `why` showed that the environment is not needed any more, so this user
    is allowed to remove it.
    """
    owner = found.owner or Owner()
    ours = here(home, owner.checkout or "")
    return Claim(replace(ours, machine=owner.machine or ours.machine, home=owner.home or ours.home))


def _home(found: Found, home: Path) -> Path:
    """Return the state directory that contains the environment's files, or `home` if the traces name none."""
    return next((folder for mark in found.homes if (folder := labels.home_here(mark))), home)
