"""Finds the default owner of files that are copied into a container: the user that the container runs as."""

from __future__ import annotations

from collections.abc import Callable

PASSWD = "/etc/passwd"  # noqa: S105  a list of users
ROOT = "0"


def numbered(user: str, passwd: Callable[[], str]) -> str:
    """Return a user as uid or uid:gid; look a name up in the container's /etc/passwd, and use root if it is missing."""
    name, _, group = user.partition(":")
    if name.isdecimal() and (not group or group.isdecimal()):
        return user
    for line in passwd().splitlines():
        fields = line.split(":")
        if len(fields) > 3 and name in (fields[0], fields[2]):
            return f"{fields[2]}:{group if group.isdecimal() else fields[3]}"
    return name if name.isdecimal() else ROOT


def ids(owner: str) -> tuple[int, int]:
    """Return uid and gid; without a gid the uid serves as both, as in most images that create a user."""
    uid, _, gid = owner.partition(":")
    return int(uid), int(gid or uid)
