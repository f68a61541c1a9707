"""Decide who may change or remove containers, networks, clusters and processes that envkit finds.

envkit records an `Owner` for everything that it creates. Every command has a `Claim` and compares it with that owner:
user, state directory and checkout must match. Namespaces are compared for processes only, because a container can
outlive a reboot. A pid is valid only in the boot in which it was written, see `drivers.runtimes.process_table.Stamp`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from pathlib import Path

from envkit.base.errors import HolderError

ROOT_USER = "0"

TAKE_IT = "run `down` there, or `down --force` here"
"""Hint for a user whose environment has another owner."""


@dataclass(frozen=True)
class Owner:
    """The owner who created something. An empty field is unknown.

    `checkout` is None if it is unknown, and empty if there is no checkout.
    """

    user: str = ""
    """The numeric user id."""
    machine: str = ""
    home: str = ""
    """The state directory, as a path on `machine`."""
    checkout: str | None = None
    """The folder of the configuration file; empty if the user has no file and uses shipped profiles only."""
    mount: str = ""
    """The mount namespace in which the paths are valid; empty if the system has no namespaces."""
    pids: str = ""
    """The PID namespace in which process ids are valid; empty if the system has no namespaces."""

    @property
    def known(self) -> bool:
        """Whether user, state directory or checkout is known."""
        return bool(self.user or self.home or self.checkout is not None)

    @property
    def mark(self) -> str:
        """The state directory in the form of a label, `MACHINE:FOLDER`; empty if the directory is unknown."""
        return f"{self.machine}:{self.home}" if self.home else ""

    @property
    def key(self) -> str:
        """Eight characters for the names of things without labels; they differ for each user and state directory."""
        import hashlib

        return hashlib.sha256(f"{self.user}\0{self.home}".encode()).hexdigest()[:8]


UNKNOWN = Owner()


class Relation(StrEnum):
    """The result of a check: ours, the first field that differs, or an unknown owner."""

    OURS = "ours"
    USER = "another user's"
    HOME = "another state directory's"
    CHECKOUT = "another checkout's"
    NAMESPACE = "another namespace's"
    UNKNOWN = "of an unknown owner"


@dataclass(frozen=True)
class Verdict:
    """The result of a check with its reason.

    `reason` is the rest of a sentence that begins with the name of the thing; it is empty if the thing is ours.
    """

    whose: Relation
    reason: str = ""

    @property
    def ours(self) -> bool:
        """Whether envkit may change and remove the thing."""
        return self.whose is Relation.OURS


OURS = Verdict(Relation.OURS)


@dataclass(frozen=True)
class Claim:
    """The owner that a command acts for. With `force` the command can change everything that the user can change."""

    owner: Owner
    folder: str = ""
    """The working directory: earlier versions recorded it as the checkout of shipped profiles."""
    machines: frozenset[str] = frozenset()
    """Earlier names of this machine, from the environment's record in this state directory."""
    force: bool = False

    def on(self, found: Owner, *, process: bool = False) -> Verdict:
        """Return whether this command may change a thing that belongs to `found`, with the reason if not.

        `process` says that the thing is a process. `force` allows changes of another user's process only for root.
        """
        answer = relation_to(found, self, process=process)
        may = not process or self.owner.user in (ROOT_USER, found.user)
        return OURS if self.force and may else answer

    def check(self, found: Owner, what: str, *, process: bool = False) -> None:
        """Raise `HolderError` with `what` in its message, unless the verdict is ours."""
        answer = self.on(found, process=process)
        if not answer.ours:
            error = HolderError(f"{what} {answer.reason}", hint=TAKE_IT)
            error.same_home = found.home == self.owner.home
            raise error


NOBODY = Claim(Owner("nobody", "nowhere", "nowhere", "nowhere"))
"""The claim of a command that only reads: it owns nothing."""


def relation_to(found: Owner, asks: Claim, *, process: bool = False) -> Verdict:
    """Compare the owner `found` with the claim `asks`, ignore `force`, and return the verdict.

    A thing without enough information about its owner is not ours.
    """
    ours = asks.owner
    if not found.known:
        return Verdict(Relation.UNKNOWN, "has no mark of its creator")
    if found.user and found.user != ours.user:
        return Verdict(Relation.USER, f"belongs to user {found.user}, and this is user {ours.user}")
    if process:
        for kind, there, here in (("mount", found.mount, ours.mount), ("PID", found.pids, ours.pids)):
            if there and here and there != here:
                return Verdict(Relation.NAMESPACE, f"runs in another {kind} namespace ({there}), and this is {here}")
        if not found.home:
            return Verdict(Relation.UNKNOWN, "has no mark of its state directory")
    elif found.home and found.machine not in (ours.machine, *asks.machines):
        return Verdict(Relation.HOME, f"belongs to the state directory {found.home} of the machine {found.machine}")
    if found.home and found.home != ours.home:
        return Verdict(Relation.HOME, f"belongs to the state directory {found.home}, and this one is {ours.home}")
    return _of_checkout(found, asks)


def _of_checkout(found: Owner, asks: Claim) -> Verdict:
    ours = asks.owner.checkout
    before = not found.user and not ours and found.checkout == asks.folder  # labels of earlier versions have no user
    if found.checkout is None or found.checkout == ours or before:
        return OURS
    there = found.checkout or "no checkout (it was made from a shipped profile)"
    return Verdict(Relation.CHECKOUT, f"belongs to {there}, and this is {ours or 'no checkout (a shipped profile)'}")


# The owner of this process


@cache
def namespace(kind: str, pid: int | str = "self") -> str:
    """Return the number of the process's namespace of the given kind (`mnt`, `pid`).

    The result is empty if the number cannot be read or the system has no namespaces.
    """
    try:
        return str(Path(f"/proc/{pid}/ns/{kind}").readlink()).strip("mntpid:[]")
    except OSError:
        return ""


def machine() -> str:
    """Return the node name of this machine, from `uname`. (The module `platform` takes 2 ms to import.)"""
    return os.uname().nodename


def here(home: Path, checkout: str) -> Owner:
    """Return the owner for everything that this process creates."""
    return Owner(str(os.getuid()), machine(), str(home), checkout, namespace("mnt"), namespace("pid"))


def claim(home: Path, checkout: str, folder: str = "", written: Owner | None = None, *, force: bool = False) -> Claim:
    """Return the claim of this process. `written` is the owner that the environment's record names, if there is one."""
    ours = here(home, checkout)
    other = written.machine if written and replace(written, machine=ours.machine).mark == ours.mark else ""
    return Claim(ours, folder, frozenset({other} - {"", ours.machine}), force)


def of_data(raw: object) -> Owner:
    """Return the owner that the data of a file describe. Raises `TypeError` or `ValueError` for other data."""
    if not isinstance(raw, Mapping):
        raise TypeError(f"expected a mapping, found {raw!r}")
    found = Owner(**raw)
    if not all(isinstance(value, str) for value in (found.user, found.machine, found.home, found.mount, found.pids)):
        raise ValueError("every field of an owner must be text")
    return found
