"""Labels are the truth: what carries `envkit.env=NAME` is that environment's, and nothing else is touched.

The labels of `owner` say whose environment of that name it is; see `base.owner.Owner`.
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
"""The numeric id of the user who made it."""

ROOT = "envkit.root"
"""The checkout; empty for what was made from shipped profiles alone."""

HOME = "envkit.home"
"""Which machine's which state directory the environment's record is in; see `home_mark`."""

MOUNT = "envkit.mount"
"""The mount namespace in which those two folders are meant."""

EXPIRES = "envkit.expires"
"""On the network: seconds since 1970 after which `prune` may take the environment. The record knows better."""

JOB = "envkit.job"
"""On the network: the CI job that the environment was made for. The next job of this user removes it when its time is
over."""

SCHEMA_VERSION = "2"
"""1 had no user, and the state directory on networks alone: such things are judged by the labels they have."""

MARKER = "ENVKIT_ENV"
"""Every process that envkit starts for an environment carries this variable; it is never exported to a user's shell."""


STATE_MARKER = "ENVKIT_STATE_DIR"
"""Beside the marker: the state directory that has the environment's record."""

OWNER_MARKER = "ENVKIT_OWNER"
"""Beside the marker: `USER:CHECKOUT`."""


def home_mark(home: Path) -> str:
    """`MACHINE:FOLDER`; several machines may use one engine, and several state directories may be on one machine."""
    return f"{machine()}:{home}"


def home_here(mark: str) -> Path | None:
    """The folder of a mark that this machine made, else None."""
    where, _, folder = mark.partition(":")
    return Path(folder) if folder and where == machine() else None


NODE_PREFIX = "envkit-"
KIND_CLUSTER = "io.x-k8s.kind.cluster"


def environment_of(marks: Mapping[str, str]) -> str:
    """The environment that a container with these labels belongs to, a node of its kind cluster too; else empty."""
    cluster = marks.get(KIND_CLUSTER, "")
    return marks.get(ENV) or (cluster.removeprefix(NODE_PREFIX) if cluster.startswith(NODE_PREFIX) else "")


def owned(environment: str, role: str, owner: Owner, **more: str) -> dict[str, str]:
    """The labels of something that belongs to the environment."""
    said = {USER: owner.user, ROOT: owner.checkout, HOME: owner.mark or None, MOUNT: owner.mount}
    known = {key: value for key, value in said.items() if value is not None}
    return {ENV: environment, SCHEMA: SCHEMA_VERSION, ROLE: role, **known, **more}


def owner_of(marks: Mapping[str, str]) -> Owner:
    """The owner that a container's or network's labels name."""
    machine, _, home = marks.get(HOME, "").partition(":")
    return Owner(marks.get(USER, ""), machine, home, marks.get(ROOT), marks.get(MOUNT, ""))


def marks_of(environment: str, owner: Owner) -> dict[str, str]:
    """The variables of a process that belongs to the environment."""
    return {
        MARKER: environment,
        STATE_MARKER: owner.home,
        OWNER_MARKER: f"{owner.user}:{owner.checkout or ''}",
    }


def owner_of_marks(marks: Mapping[str, str], user: str, mount: str = "", pids: str = "") -> Owner:
    """The owner of a process of `user` with these variables.

    Root alone can start processes of other users, so only a mark that names root says more than the process's user.
    """
    written, _, checkout = marks.get(OWNER_MARKER, "").partition(":")
    maker = written if written == ROOT_USER else user
    return Owner(maker, "", marks.get(STATE_MARKER, ""), checkout if written else None, mount, pids)


def resource_name(environment: str, service: str = "") -> str:
    """`envkit-NAME` for the network and the cluster, `envkit-NAME-SERVICE` for a container."""
    return f"envkit-{environment}-{service}" if service else f"envkit-{environment}"
