"""Reserves unused uids for services if envkit is root: no other process of this host runs with such a uid.

`take` reserves a uid for a service's folder. The link `REGISTRY/UID` points to that folder, so that two environments
never use the same uid at the same time. The uid has no entry in the user database, so no user can log in with it, and
no file of the system belongs to it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from envkit.base.errors import EnvironmentFailed
from envkit.base.paths import make_folder

REGISTRY = Path("/var/cache/envkit/accounts")

WINDOW = range(1_900_000_000, 2_000_000_000)
"""The uids to choose from. They are above every range that systemd gives to users, containers and services, and
below the sign bit (https://systemd.io/UIDS-GIDS)."""

SMALL_WINDOW = 20_000
"""The number of uids to choose from in a user namespace that does not map the whole `WINDOW`, such as a rootless
container. They are the highest mapped uids below `WINDOW`."""

MAPS = ("/proc/self/uid_map", "/proc/self/gid_map")
DELEGATED = ("/etc/subuid", "/etc/subgid")


@dataclass(frozen=True)
class Account:
    """The uid and the gid with which a program runs."""

    uid: int
    gid: int


def available() -> bool:
    """Return whether envkit can reserve uids for services: it is root, and its user namespace maps such uids."""
    return os.getuid() == 0 and bool(_window())


def anybody() -> int | None:
    """Return the lowest uid that `take` can reserve, for checks without root's rights; None if not `available`."""
    return _window()[0] if available() else None


def take(folder: Path) -> Account | None:
    """Reserve a uid for the service in `folder` and return its account; `give_back` frees the uid.

    Returns None if services run as envkit's user, because envkit is not root or has no uids to choose from. Raises
    `EnvironmentFailed` if the registry cannot be written or every uid is in use.
    """
    if not available():
        return None
    window, text = _window(), str(folder)
    start = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    with _locked():
        running = _users()
        _sweep(running)
        for step in range(len(window)):
            number = window[(start + step) % len(window)]
            link = REGISTRY / str(number)
            if number in running or _folder_of(link) not in (None, text) or _known(number):
                continue
            if not link.is_symlink():
                link.symlink_to(text)
            return Account(number, number)
    raise EnvironmentFailed(f"every uid from {window.start} to {window.stop - 1} is in use, and each service needs one")


def _sweep(running: set[int]) -> None:
    """Free the uids of services that have neither a folder nor a process any more."""
    for link in REGISTRY.iterdir():
        owner = _folder_of(link)
        if owner and not os.path.lexists(owner) and int(link.name) not in running:
            link.unlink()


def give_back(folder: Path) -> None:
    """Free the uid of the service in `folder`."""
    for number in _numbers_of(folder):
        with suppress(OSError):
            (REGISTRY / str(number)).unlink(missing_ok=True)


def processes_of(folder: Path) -> set[int]:
    """Return every process that runs with the reserved uid of the service in `folder`; empty if no uid is reserved.

    Only this service uses the uid, so each of these processes belongs to the service, even a process that has left the
    service's session.
    """
    numbers = set(_numbers_of(folder))
    if not numbers:
        return set()
    return {pid for pid, users in _running() if numbers & users}


def named() -> Account:
    """Return a system account with a name, without a login shell and without a process.

    initdb fails if its user has no name.

    Never returns `nobody` or `postgres`, because other programs use them. Raises `EnvironmentFailed` if there is no
    other account.
    """
    running = _users()
    for entry in pwd.getpwall():
        closed = entry.pw_shell.endswith(("/nologin", "/false"))
        if closed and 0 < entry.pw_uid < 1000 and entry.pw_name != "postgres" and entry.pw_uid not in running:
            return Account(entry.pw_uid, entry.pw_gid)
    raise EnvironmentFailed(
        "initdb refuses to run as root, and every system account of this host is used by a process",
        hint="add one (useradd --system --shell /usr/sbin/nologin envkit), or run as a user",
    )


def _window() -> range:
    """Return the range of uids to choose from; it is empty in a user namespace that maps root only."""
    first, last = 0, WINDOW.stop
    for path in MAPS:
        with suppress(OSError, ValueError):  # macOS has no such file, and no user namespaces
            rows = [tuple(map(int, line.split())) for line in Path(path).read_text().splitlines()]
            inner, _, count = max(rows, key=lambda row: row[0] + row[2])
            first, last = max(first, inner), min(last, inner + count)
    if first <= WINDOW.start and last >= WINDOW.stop:
        return WINDOW
    last = min(last, WINDOW.start)
    return range(max(first, last - SMALL_WINDOW, 1000), last)


def _known(number: int) -> bool:
    """Return whether the uid is in the user database, is delegated to a user's containers, or means "no user"."""
    with suppress(KeyError):
        return bool(pwd.getpwuid(number))
    return number in (65534, 65535) or any(number in given for given in _delegated())


def _delegated() -> Iterator[range]:
    for path in DELEGATED:
        with suppress(OSError):
            for line in Path(path).read_text().splitlines():
                with suppress(ValueError):
                    _, first, count = line.split(":")
                    yield range(int(first), int(first) + int(count))


def _numbers_of(folder: Path) -> list[int]:
    links = REGISTRY.iterdir() if os.getuid() == 0 and REGISTRY.is_dir() else ()
    return [int(link.name) for link in links if link.name.isdigit() and _folder_of(link) == str(folder)]


def _folder_of(link: Path) -> str | None:
    try:
        return str(link.readlink())
    except OSError:
        return None


def _users() -> set[int]:
    """Return every uid that a process runs with."""
    return {number for _, users in _running() for number in users}


def _running() -> Iterable[tuple[int, set[int]]]:
    """Yield the pid of each process and the set of its real, effective, saved and file system uids.

    Yields nothing on systems other than Linux.
    """
    with suppress(OSError):
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                with suppress(OSError):
                    said = (process / "status").read_bytes().partition(b"\nUid:")[2]
                    yield int(process.name), set(map(int, said.partition(b"\n")[0].split()))


@contextmanager
def _locked() -> Iterator[None]:
    try:
        make_folder(REGISTRY.parent, 0o755)
        make_folder(REGISTRY, 0o700)
        handle = os.open(REGISTRY / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise EnvironmentFailed(
            f"{REGISTRY} cannot be written: {error.strerror}", hint="envkit is root: make it writable, or run as a user"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
