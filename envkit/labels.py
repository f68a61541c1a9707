"""Labels are the truth: what carries `envkit.env=NAME` is that environment's, and nothing else is touched."""

from __future__ import annotations

import platform
from pathlib import Path

ENV = "envkit.env"
SCHEMA = "envkit.schema"
ROLE = "envkit.role"
SERVICE = "envkit.service"
FINGERPRINT = "envkit.fingerprint"
ROOT = "envkit.root"
IMAGE = "envkit.image"
HOME = "envkit.home"
"""On the network: which machine's which state directory the environment's record is in; see `home_mark`."""

EXPIRES = "envkit.expires"
"""On the network: seconds since 1970 after which `prune` may take the environment. The record knows better."""

SCHEMA_VERSION = "1"

MARKER = "ENVKIT_ENV"
"""Every process that envkit starts for an environment carries this variable; it is never exported to a user's shell."""


STATE_MARKER = "ENVKIT_STATE_DIR"
"""Beside the marker: the state directory that has the environment's record."""


def home_mark(home: Path) -> str:
    """`MACHINE:FOLDER`; several machines may use one engine, and several state directories may be on one machine."""
    return f"{platform.node()}:{home}"


def home_here(mark: str) -> Path | None:
    """The folder of a mark that this machine made, else None."""
    machine, _, folder = mark.partition(":")
    return Path(folder) if folder and machine == platform.node() else None


def owned(environment: str, role: str, root: str, **more: str) -> dict[str, str]:
    """The labels of something that belongs to the environment; `root` is the checkout that holds it."""
    return {ENV: environment, SCHEMA: SCHEMA_VERSION, ROLE: role, ROOT: root, **more}


def resource_name(environment: str, service: str = "") -> str:
    """`envkit-NAME` for the network and the cluster, `envkit-NAME-SERVICE` for a container."""
    return f"envkit-{environment}-{service}" if service else f"envkit-{environment}"
