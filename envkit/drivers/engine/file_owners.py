"""Finds the default owner of files that envkit copies into a container: the user as whom the container runs."""

from __future__ import annotations

from collections.abc import Callable

PASSWD = "/etc/passwd"  # noqa: S105  a list of users
ROOT = "0"


def numbered(user: str, passwd: Callable[[], str]) -> str:
    """Return a user as uid or uid:gid.

    It searches the container's /etc/passwd for a name, and returns root if the name is not in the file.
    """
    name, _, group = user.partition(":")
    if name.isdecimal() and (not group or group.isdecimal()):
        return user
    for line in passwd().splitlines():
        fields = line.split(":")
        if len(fields) > 3 and name in (fields[0], fields[2]):
            return f"{fields[2]}:{group if group.isdecimal() else fields[3]}"
    return name if name.isdecimal() else ROOT


def ids(owner: str) -> tuple[int, int]:
    """Return the uid and the gid. Without a gid, it uses the uid as gid, as most images that create a user do."""
    uid, _, gid = owner.partition(":")
    return int(uid), int(gid or uid)
