"""Who may change or remove what was found: one value, written on all that is made, and one question for every verb.

User, state directory and checkout must match. Namespaces count for processes only: a container stays its owner's over a
reboot. A pid also needs the boot that it was written in, see `drivers.runtimes.marked.Stamp`.
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
"""The next step for whoever may take what is not theirs."""


@dataclass(frozen=True)
class Owner:
    """Who made something. An empty field is unknown; `checkout` is None when unknown, and empty when there is none."""

    user: str = ""
    """The numeric user id."""
    machine: str = ""
    home: str = ""
    """The state directory, as a path of that machine."""
    checkout: str | None = None
    """The folder of the configuration file. Shipped profiles without any file of the user's belong to no checkout."""
    mount: str = ""
    """The mount namespace in which the paths are meant. Empty where the system has none."""
    pids: str = ""
    """The PID namespace in which process numbers are meant."""

    @property
    def known(self) -> bool:
        """Whether anything at all is said about the owner."""
        return bool(self.user or self.home or self.checkout is not None)

    @property
    def mark(self) -> str:
        """`MACHINE:FOLDER`, the state directory as labels name it."""
        return f"{self.machine}:{self.home}" if self.home else ""

    @property
    def key(self) -> str:
        """Eight characters that differ for each user and state directory, for names that can carry no label."""
        import hashlib

        return hashlib.sha256(f"{self.user}\0{self.home}".encode()).hexdigest()[:8]


UNKNOWN = Owner()


class Whose(StrEnum):
    """The answer to the question."""

    OURS = "ours"
    USER = "another user's"
    HOME = "another state directory's"
    CHECKOUT = "another checkout's"
    NAMESPACE = "another namespace's"
    UNKNOWN = "cannot be told"


@dataclass(frozen=True)
class Verdict:
    """Whose something is. `reason` completes a sentence whose subject is the thing; it is empty for what is ours."""

    whose: Whose
    reason: str = ""

    @property
    def ours(self) -> bool:
        """Whether it may be changed and removed."""
        return self.whose is Whose.OURS


OURS = Verdict(Whose.OURS)


@dataclass(frozen=True)
class Claim:
    """Who asks. `force` takes everything that carries our labels, as far as this user has the right."""

    owner: Owner
    folder: str = ""
    """The folder that was worked in: earlier versions wrote it as the checkout of shipped profiles, too."""
    machines: frozenset[str] = frozenset()
    """Other names that this machine had: the record of this state directory was written under them."""
    force: bool = False

    def on(self, found: Owner, *, process: bool = False) -> Verdict:
        """Say whose `found` is. Pure."""
        answer = whose(found, self, process=process)
        may = not process or self.owner.user in (ROOT_USER, found.user)
        return OURS if self.force and may else answer

    def check(self, found: Owner, what: str, *, process: bool = False) -> None:
        """Raise `HolderError` that names `what`, unless it is ours."""
        answer = self.on(found, process=process)
        if not answer.ours:
            error = HolderError(f"{what} {answer.reason}", hint=TAKE_IT)
            error.same_home = found.home == self.owner.home
            raise error


NOBODY = Claim(Owner("nobody", "nowhere", "nowhere", "nowhere"))
"""The claim of whoever only reads: nothing is theirs."""


def whose(found: Owner, asks: Claim, *, process: bool = False) -> Verdict:
    """Compare who made something with who asks. What says too little is nobody's to take."""
    ours = asks.owner
    if not found.known:
        return Verdict(Whose.UNKNOWN, "does not say who made it")
    if found.user and found.user != ours.user:
        return Verdict(Whose.USER, f"belongs to user {found.user}, and this is user {ours.user}")
    if process:
        for kind, there, here in (("mount", found.mount, ours.mount), ("PID", found.pids, ours.pids)):
            if there and here and there != here:
                return Verdict(Whose.NAMESPACE, f"runs in another {kind} namespace ({there}), and this is {here}")
        if not found.home:
            return Verdict(Whose.UNKNOWN, "does not say which state directory it belongs to")
    elif found.home and found.machine not in (ours.machine, *asks.machines):
        return Verdict(Whose.HOME, f"belongs to the state directory {found.home} of the machine {found.machine}")
    if found.home and found.home != ours.home:
        return Verdict(Whose.HOME, f"belongs to the state directory {found.home}, and this one is {ours.home}")
    return _of_checkout(found, asks)


def _of_checkout(found: Owner, asks: Claim) -> Verdict:
    ours = asks.owner.checkout
    before = not found.user and not ours and found.checkout == asks.folder  # an earlier version's labels name no user
    if found.checkout is None or found.checkout == ours or before:
        return OURS
    there = found.checkout or "no checkout (it was made from a shipped profile)"
    return Verdict(Whose.CHECKOUT, f"belongs to {there}, and this is {ours or 'no checkout (a shipped profile)'}")


# Here


@cache
def namespace(kind: str, pid: int | str = "self") -> str:
    """The number of a process's namespace (`mnt`, `pid`); empty where that cannot be read, or the system has none."""
    try:
        return str(Path(f"/proc/{pid}/ns/{kind}").readlink()).strip("mntpid:[]")
    except OSError:
        return ""


def machine() -> str:
    """The name of this machine, as `uname` tells it. (The module `platform` takes 2 ms to import.)"""
    return os.uname().nodename


def here(home: Path, checkout: str) -> Owner:
    """The owner of what this process makes."""
    return Owner(str(os.getuid()), machine(), str(home), checkout, namespace("mnt"), namespace("pid"))


def claim(home: Path, checkout: str, folder: str = "", written: Owner | None = None, *, force: bool = False) -> Claim:
    """The claim of this process. `written` is the owner in this state directory's own record of the environment."""
    ours = here(home, checkout)
    other = written.machine if written and replace(written, machine=ours.machine).mark == ours.mark else ""
    return Claim(ours, folder, frozenset({other} - {"", ours.machine}), force)


def of_data(raw: object) -> Owner:
    """The owner as a file holds it. Raises `TypeError`, `ValueError`."""
    if not isinstance(raw, Mapping):
        raise TypeError(f"expected a mapping, found {raw!r}")
    found = Owner(**raw)
    if not all(isinstance(value, str) for value in (found.user, found.machine, found.home, found.mount, found.pids)):
        raise ValueError("an owner's fields are texts")
    return found
