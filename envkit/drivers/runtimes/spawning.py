"""How a service's program is begun: what it is started with, and the small shell that leads its session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from envkit.base.paths import append_private, write_private
from envkit.drivers.accounts import Account

_SHIM = (
    "read -r _ || exit 125; exec </dev/null; exit_file=$1; shift; "
    '"$@"; code=$?; (umask 077; printf %s "$code" >"$exit_file"); exit "$code"'
)
"""Waits for a line, runs the program as its child, and keeps the exit code, which envkit may not be there to be told.

So the program begins when it is recorded and limited, and never when envkit does not live to do that. The shell runs as
envkit's user: a program with a user of its own can neither signal it nor write the file.
"""

_DROP = """
import os, signal, sys
uid, gid, words = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
for name in ("SIGPIPE", "SIGXFZ", "SIGXFSZ"):  # Python ignores them, and what it starts would inherit that
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
try:
    program = os.open(words[0], os.O_RDONLY | os.O_CLOEXEC)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    try:
        os.execv(words[0], words)
    except PermissionError:
        if os.execve not in os.supports_fd:
            raise
        os.set_inheritable(program, os.pread(program, 2, 0) == b"#!")  # a script's interpreter opens it by its number
        os.execve(program, words, os.environ)
except OSError as error:
    print(f"{words[0]} cannot be run as uid {uid}: {error.strerror}", file=sys.stderr)
    sys.exit(127 if isinstance(error, FileNotFoundError) else 126)
"""
"""Becomes the program, as its user. A program in a folder that only root may pass is run all the same: root opened it.

setpriv would be quicker (1 ms, Python takes 10 ms), but BusyBox' cannot do this, and macOS has none.
"""


@dataclass(frozen=True)
class Launch:
    """A unit made ready: argv with the program's real path, its variables, who it runs as, which program it is."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    account: Account | None = None
    drops: bool = False
    """Whether the program itself becomes its account's user, once it is loaded; one of its variables says so."""
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


def as_user(account: Account | None) -> dict[str, Any]:
    """What `subprocess` must be told to run something as the account."""
    return {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}


def spawn(folder: Path, launch: Launch) -> subprocess.Popen[bytes]:
    """The leader of a new session, in its folder, waiting for its line. What it was started with is kept for a restart.

    All of these files are envkit's user's alone, in a folder that the service's account cannot write.
    """
    write_private(folder / "launch.json", json.dumps(asdict(launch)))
    log = append_private(folder / "log")
    try:
        return subprocess.Popen(
            ["/bin/sh", "-c", _SHIM, "envkit", str(folder / "exit"), *_dropping(launch), *launch.argv],
            stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, env=environ_of(launch), cwd=folder,
        )  # fmt: skip
    finally:
        os.close(log)


def _dropping(launch: Launch) -> list[str]:
    """The words before the program's that make it run as its account."""
    account = launch.account
    if account is None or launch.drops:
        return []
    return [sys.executable, "-I", "-S", "-c", _DROP, str(account.uid), str(account.gid)]
