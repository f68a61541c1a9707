"""Whose a file in a container is, where it does not say: the user's that the container runs as."""

from __future__ import annotations

from collections.abc import Callable

PASSWD = "/etc/passwd"  # noqa: S105  a list of users
ROOT = "0"


def numbered(user: str, passwd: Callable[[], str]) -> str:
    """A user as uid or uid:gid; a name is looked up in the container's own list, root where that does not know it."""
    name, _, group = user.partition(":")
    if name.isdecimal() and (not group or group.isdecimal()):
        return user
    for line in passwd().splitlines():
        fields = line.split(":")
        if len(fields) > 3 and name in (fields[0], fields[2]):
            return f"{fields[2]}:{group if group.isdecimal() else fields[3]}"
    return name if name.isdecimal() else ROOT


def ids(owner: str) -> tuple[int, int]:
    """Uid and gid; a uid alone is both, as images that make a user do it."""
    uid, _, gid = owner.partition(":")
    return int(uid), int(gid or uid)
