"""Reads the records of services that run as processes. A record is the file `instance.json` in the service's folder."""

from __future__ import annotations

import json
import os
import signal
import stat
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from envkit.base import labels
from envkit.base.errors import EngineError
from envkit.base.owner import Claim, Owner, of_data
from envkit.base.paths import make_folder
from envkit.drivers.runtimes import limits
from envkit.drivers.runtimes.marked import session
from envkit.drivers.runtimes.process_table import Stamp, alive, boot, is_stopped, start_time
from envkit.drivers.runtimes.spawning import launch_of
from envkit.planning.facts import Instance

RECORD = "instance.json"

NEVER = -1.0
"""A start time that no process has."""


@dataclass(frozen=True)
class Records:
    """The records of one environment's services; each service has a folder in `home`."""

    home: Path
    claim: Claim

    def names(self) -> list[str]:
        """Return the names of the services that have a record; empty if another user owns `home`."""
        return sorted(path.parent.name for path in self.home.glob(f"*/{RECORD}")) if self.are_ours() else []

    def are_ours(self) -> bool:
        """Return whether this user owns `home`. If not, envkit must not end the processes that the records name."""
        try:
            found = self.home.lstat()
        except OSError:
            return False
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()

    def make_home(self) -> None:
        """Make the folder `home`, which only this user can write.

        Raises `EngineError` if another user has made it, which is possible below `/var/tmp`.
        """
        if not os.path.lexists(self.home):
            make_folder(self.home.parent)
            make_folder(self.home, 0o711)
        if not self.are_ours():
            raise EngineError(f"{self.home} belongs to somebody else", hint="remove it, or use another --name")

    def began(self, instance: Instance) -> float | None:
        """Return the recorded start time of the instance's leader, or None if there is no record of this process.

        A process without a record is identified by its marker only. Returns `NEVER` if the pid is from an earlier boot
        or from another PID namespace.
        """
        try:
            raw = json.loads((self.home / instance.service / RECORD).read_text())
            stamp = Stamp(int(raw["id"]), float(raw["began"]), str(raw.get("boot", "")), instance.owner.pids)
        except (OSError, ValueError, KeyError, AttributeError):
            return None
        if stamp.pid != int(instance.id):  # another process of that service, identified by its marker alone
            return None
        return stamp.began if stamp.means_something else NEVER

    def group_of(self, instance: Instance) -> Path | None:
        """Return the path of the instance's control group; None if this user is not allowed to make groups."""
        owner = instance.owner if instance.owner.home else self.claim.owner
        return limits.group(environment_of(instance), instance.service, owner.key)

    def read(self, name: str) -> Instance | None:
        """Return the service with its state now; None if it has no record that this version of envkit can read."""
        found = _recorded(self.home / name)
        if found is None:
            return None
        instance, stamp = found
        if stamp.alive:
            return replace(instance, state="paused") if is_stopped(int(instance.id)) else instance
        group = self.group_of(instance)
        return replace(
            instance,
            state="exited",
            exit_code=_exit_code(self.home / name),
            oom_killed=bool(group and limits.ran_out(group)),
            published=instance.published if _lingers(stamp) else {},
        )


def record_of(instance: Instance, leader: int) -> str:
    """Return the text of a record; `leader` is the pid of the process that leads the service's session."""
    return json.dumps({**asdict(instance), "began": start_time(leader), "boot": boot()})


def environment_of(instance: Instance) -> str:
    """Return the name of the instance's environment."""
    return instance.name.removeprefix("envkit-").removesuffix(f"-{instance.service}")


def _recorded(folder: Path) -> tuple[Instance, Stamp] | None:
    """Return the instance in the record, and the stamp (pid, start time, boot) of its leader.

    Returns None if there is no record, or if another version of envkit wrote it in another form. envkit then finds the
    processes by their marker.
    """
    try:
        raw = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return None
    try:
        stamp = Stamp(int(raw["id"]), raw.pop("began"), raw.pop("boot", ""))
        raw["owner"] = _owner_in(raw, folder)
        raw["published"] = {int(inner): outer for inner, outer in raw["published"].items()}
        instance = Instance(**raw)
    except (OSError, TypeError, KeyError, ValueError, AttributeError):
        return None
    if stamp.boot not in ("", boot()):  # namespaces have other numbers after a reboot
        instance = replace(instance, owner=replace(instance.owner, mount="", pids=""))
    return instance, replace(stamp, pids=instance.owner.pids)


def _exit_code(folder: Path) -> int:
    try:
        return int((folder / "exit").read_text())
    except (OSError, ValueError):
        return 128 + signal.SIGKILL  # the shell that writes the exit code was killed with it


def _lingers(stamp: Stamp) -> bool:
    """Return whether a process of the session still runs although the leader has ended."""
    return stamp.means_something and any(alive(pid) for pid in session(stamp.pid, stamp.began))


def _owner_in(raw: dict[str, Any], folder: Path) -> Owner:
    """Return the owner from a record; its user is the owner of the record's file.

    Records of earlier versions contain only the owner's checkout.
    """
    checkout = raw.pop("root", None)
    if "owner" in raw:
        owner = of_data(raw["owner"])
    else:
        owner = Owner(home=launch_of(folder).env.get(labels.STATE_MARKER, ""), checkout=checkout)
    return replace(owner, user=str((folder / RECORD).stat().st_uid))
