"""How a service's program is begun: what it is started with, and the small shell that leads its session."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from envkit.paths import write_private

_SHIM = (
    'read -r _ || exit 125; exec </dev/null; cd "$2" || exit 126; exit_file=$1; shift 2; '
    '"$@"; code=$?; printf %s "$code" >"$exit_file"; exit "$code"'
)
"""Waits for a line, runs the program as its child, and keeps the exit code, which envkit may not be there to be told.

So the program begins when it is recorded and limited, and never when envkit does not live to do that.
"""


@dataclass(frozen=True)
class Account:
    """An unprivileged user to run a program as, where envkit is root and the program refuses that."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Launch:
    """A unit made ready: argv with the program's real path, its variables, who it runs as, which program it is."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    account: Account | None = None
    identity: str = ""
    stop_signal: str = "TERM"
    patience: float = 10.0
    """Seconds after the stop signal that are worth waiting, whoever asks."""


def launch_of(folder: Path) -> Launch:
    """What it was started with. Raises `OSError`, `ValueError`."""
    raw = json.loads((folder / "launch.json").read_text())
    account = Account(**raw["account"]) if raw["account"] else None
    return Launch(**{**raw, "argv": tuple(raw["argv"]), "account": account})


def environ_of(launch: Launch) -> dict[str, str]:
    """Its variables, and where programs are; nothing else of the caller's."""
    return {"PATH": os.environ.get("PATH", os.defpath), **launch.env}


def as_user(launch: Launch) -> dict[str, Any]:
    """What `subprocess` must be told to run as the launch's account."""
    account = launch.account
    return {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}


def spawn(folder: Path, launch: Launch) -> subprocess.Popen[bytes]:
    """The leader of a new session, waiting for its line. What it was started with is kept for a restart."""
    write_private(folder / "launch.json", json.dumps(asdict(launch)))
    if launch.account:
        os.chown(folder, launch.account.uid, launch.account.gid)
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            ["/bin/sh", "-c", _SHIM, "envkit", str(folder / "exit"), str(folder), *launch.argv],
            stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, env=environ_of(launch),
            **as_user(launch),
        )  # fmt: skip
