"""Labels define what belongs to an environment: everything with `envkit.env=NAME`. envkit changes nothing else.

Further labels identify the owner of the environment; see `base.owner.Owner`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from envkit.base.owner import ROOT_USER, Owner, machine

ENV = "envkit.env"
SCHEMA = "envkit.schema"
ROLE = "envkit.role"
SERVICE = "envkit.service"
FINGERPRINT = "envkit.fingerprint"
IMAGE = "envkit.image"

USER = "envkit.user"
"""Label with the numeric id of the user who created the thing."""

ROOT = "envkit.root"
"""Label with the folder of the checkout; empty if the environment uses shipped profiles only."""

HOME = "envkit.home"
"""Label with the machine and the state directory that holds the environment's record; see `home_mark`."""

MOUNT = "envkit.mount"
"""Label with the mount namespace in which the paths of `ROOT` and `HOME` are valid."""

EXPIRES = "envkit.expires"
"""Label of the network: seconds since 1970 after which `prune` is allowed to remove the environment.

The time in the record is newer and takes precedence.
"""

JOB = "envkit.job"
"""Label of the network: the CI job of the environment. After expiry, the next job of the same user removes it."""

SCHEMA_VERSION = "2"
"""Version of the labels. Version 1 had no user label, and had the state directory on networks only.

If a thing has labels of version 1, envkit decides who owns it from the labels that exist.
"""

MARKER = "ENVKIT_ENV"
"""Variable in each process that envkit starts for an environment; envkit never exports it to a user's shell."""


STATE_MARKER = "ENVKIT_STATE_DIR"
"""Variable in the same processes as `MARKER`: the state directory that has the environment's record."""

OWNER_MARKER = "ENVKIT_OWNER"
"""Variable in the same processes as `MARKER`: the owner, as `USER:CHECKOUT`."""


def home_mark(home: Path) -> str:
    """Return `MACHINE:FOLDER` for the state directory `home` of this machine.

    The text has both parts because several machines can use one engine, and one machine can have several state
    directories.
    """
    return f"{machine()}:{home}"


def home_here(mark: str) -> Path | None:
    """Return the state directory in `mark`, a result of `home_mark`, or None if `mark` is from another machine."""
    where, _, folder = mark.partition(":")
    return Path(folder) if folder and where == machine() else None


NODE_PREFIX = "envkit-"
KIND_CLUSTER = "io.x-k8s.kind.cluster"


def environment_of(marks: Mapping[str, str]) -> str:
    """Return the name of the environment that a container with these labels belongs to, or an empty string.

    A node of a kind cluster has kind's label only; the name of the cluster then tells the environment.
    """
    cluster = marks.get(KIND_CLUSTER, "")
    return marks.get(ENV) or (cluster.removeprefix(NODE_PREFIX) if cluster.startswith(NODE_PREFIX) else "")


def owned(environment: str, role: str, owner: Owner, **more: str) -> dict[str, str]:
    """Return the labels for a new object of the environment."""
    said = {USER: owner.user, ROOT: owner.checkout, HOME: owner.mark or None, MOUNT: owner.mount}
    known = {key: value for key, value in said.items() if value is not None}
    return {ENV: environment, SCHEMA: SCHEMA_VERSION, ROLE: role, **known, **more}


def owner_of(marks: Mapping[str, str]) -> Owner:
    """Return the owner that the labels of a container or network name."""
    machine, _, home = marks.get(HOME, "").partition(":")
    return Owner(marks.get(USER, ""), machine, home, marks.get(ROOT), marks.get(MOUNT, ""))


def marks_of(environment: str, owner: Owner) -> dict[str, str]:
    """Return the marker variables for a new process of the environment."""
    return {
        MARKER: environment,
        STATE_MARKER: owner.home,
        OWNER_MARKER: f"{owner.user}:{owner.checkout or ''}",
    }


def owner_of_marks(marks: Mapping[str, str], user: str, mount: str = "", pids: str = "") -> Owner:
    """Return the owner of a process that runs as `user` with these variables.

    Only root can start processes as other users. The owner is therefore root if `OWNER_MARKER` names root, else `user`.
    """
    written, _, checkout = marks.get(OWNER_MARKER, "").partition(":")
    maker = written if written == ROOT_USER else user
    return Owner(maker, "", marks.get(STATE_MARKER, ""), checkout if written else None, mount, pids)


def resource_name(environment: str, service: str = "") -> str:
    """Return `envkit-NAME`, for the network and the cluster, or `envkit-NAME-SERVICE`, for a container."""
    return f"envkit-{environment}-{service}" if service else f"envkit-{environment}"
