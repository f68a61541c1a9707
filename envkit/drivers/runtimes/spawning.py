"""Starts a service's program under a small shell that leads a session, and stores how to start it again."""

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
"""A shell script that waits for a line, runs the program as a child, and writes the exit code into a file.

The shell writes the exit code because envkit has often ended by then. The program starts only after envkit has written
the record and set the memory limit, and it does not start if envkit dies first. The shell runs as envkit's user, so a
program with another uid can neither send signals to the shell nor write the file."""

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
"""A Python program that changes to the service's user and then executes the service's program.

Root opens the service's program before the change, so the program can be in a folder that only root can enter. setpriv
would be faster (1 ms instead of Python's 10 ms), but BusyBox's setpriv cannot do this, and macOS has no setpriv."""


@dataclass(frozen=True)
class Launch:
    """The facts for starting a unit: arguments with the program's real path, variables, user, an id of the program."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    account: Account | None = None
    drops: bool = False
    """Whether the program itself changes to the account's user. A variable then contains the uid and gid."""
    identity: str = ""
    stop_signal: str = "TERM"
    patience: float = 10.0
    """The longest grace period in seconds after the stop signal; it limits the `grace` of every caller."""


def launch_of(folder: Path) -> Launch:
    """Return the stored launch of the service in `folder`. Raises `OSError` or `ValueError` if it cannot be read."""
    raw = json.loads((folder / "launch.json").read_text())
    account = Account(**raw["account"]) if raw["account"] else None
    return Launch(**{**raw, "argv": tuple(raw["argv"]), "account": account})


def environ_of(launch: Launch) -> dict[str, str]:
    """Return the service's variables, and envkit's PATH if they contain no PATH. No other variable is added."""
    return {"PATH": os.environ.get("PATH", os.defpath), **launch.env}


def as_user(account: Account | None) -> dict[str, Any]:
    """Return the arguments of `subprocess` for running a program as the account; empty if the account is None."""
    return {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}


def spawn(folder: Path, launch: Launch) -> subprocess.Popen[bytes]:
    """Start the shell that leads a new session and waits for a line; store the launch in `folder` for a restart.

    envkit's user owns the files of the launch and of the log; the service's account cannot write `folder`.
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
    """Return the arguments to put before the command so that it runs as its account.

    The list is empty if envkit does not change the user.
    """
    account = launch.account
    if account is None or launch.drops:
        return []
    return [sys.executable, "-I", "-S", "-c", _DROP, str(account.uid), str(account.gid)]
