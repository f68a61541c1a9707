"""Prepares the start of a service: finds its program, copies its files, fills its data directory, chooses its user."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.base import labels
from envkit.base.errors import EnvironmentFailed
from envkit.base.paths import make_folder
from envkit.config import rights
from envkit.config.models import File
from envkit.drivers import accounts
from envkit.drivers.accounts import Account
from envkit.drivers.runtimes import postgres_data
from envkit.drivers.runtimes.base import Unit
from envkit.drivers.runtimes.marked import SERVICE
from envkit.drivers.runtimes.spawning import Launch

if TYPE_CHECKING:
    from envkit.drivers.supply.programs import Program, Programs

BECOMES_ITS_USER = {"datastorage": "ENVKIT_DATASTORAGE_USER"}
"""Maps each supply whose program starts as root and then changes to the service's user itself, to the variable in which
envkit passes `UID:GID` to the program."""


@dataclass(frozen=True)
class Launching:
    """Prepares units for their start; `programs` finds their programs.

    If envkit is root, a program of a supply runs as an unused uid, one for each service. A command in the configuration
    runs as envkit's user, because it is often in a checkout that no other user can read. With `own_user`, the command
    of a service runs as an unused uid too.
    """

    programs: Programs
    cache: Path

    def __call__(self, unit: Unit, folder: Path) -> Launch:
        """Copy the files, make the data directory and find the program; return how to start the unit.

        Raises `EnvironmentFailed` if a program is missing, no uid is free or initdb fails.
        """
        process = unit.service.process
        assert process is not None
        program = self.programs.found(unit.image)
        account = accounts.take(folder) if process.supply or process.own_user else None
        _open_for(folder, account)
        copy_files(unit.service.files, folder / "root", account)
        data = folder / "data"
        if process.supply == "postgres":
            variables = {**program.environ, **marks(unit)}
            postgres_data.fill(data, program.paths, unit.service.env, variables, self.cache, account)
        else:
            data.mkdir(mode=0o700)
            postgres_data.own(data, account)
        argv = _with_path(process.command, program)
        if process.supply == "kubernetes":
            from envkit.drivers.supply.kubernetes_flags import without_refused

            argv = without_refused(argv, program.version)
        user_variable = BECOMES_ITS_USER.get(process.supply or "") if account else None
        argv = argv if user_variable else _executable(argv, folder, account)
        if process.supply == "redis" and Path(argv[0]).name == "redis-server":
            argv = rights.limited("redis-server", argv)
        env = {**unit.service.env, **program.environ, **process.env, **_home(account), **marks(unit)}
        if account and user_variable:
            env[user_variable] = f"{account.uid}:{account.gid}"
        return Launch(
            argv, env, account, bool(user_variable), self.programs.id_of(unit.image), process.stop_signal,
            unit.service.stop_timeout,
        )  # fmt: skip


def marks(unit: Unit) -> dict[str, str]:
    """Return the marker variables of the service's processes and of the processes that prepare its data.

    `down` finds processes by these variables.
    """
    return {**labels.marks_of(unit.environment, unit.owner), SERVICE: unit.name}


def _open_for(folder: Path, account: Account | None) -> None:
    """Let the service's account enter the folder, but not list or change it. Other users cannot enter it."""
    if account:
        os.chown(folder, -1, account.gid)
    folder.chmod(0o710 if account else 0o700)


def _executable(argv: tuple[str, ...], folder: Path, account: Account | None) -> tuple[str, ...]:
    """Return the command. If the account cannot execute the program's file, the command names a copy."""
    program, *rest = argv
    if account is None or Path(program).stat().st_mode & stat.S_IXOTH:
        return argv
    copy = folder / Path(program).name
    shutil.copyfile(program, copy)
    copy.chmod(0o755)
    return (str(copy), *rest)


def _with_path(command: Sequence[str], program: Program) -> tuple[str, ...]:
    name, *rest = command
    path = program.paths.get(name) or shutil.which(name)
    if not path:
        raise EnvironmentFailed(f"there is no {name} in {program.source}", hint=f"it has: {', '.join(program.paths)}")
    return (str(path), *rest)


def _home(account: Account | None) -> dict[str, str]:
    home = os.environ.get("HOME", "")
    # macOS has no locale C.UTF-8, and PostgreSQL fails to start with an unknown locale.
    locale = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"
    return {"HOME": "/nonexistent" if account else home, "LC_ALL": locale}


def copy_files(files: Sequence[File], root: Path, account: Account | None = None) -> None:
    """Copy the service's files below `root` with their modes; envkit's user owns the copies.

    The account can also read copies whose mode lets only the owner read, because they get the same rights for the
    account's group. This group has no other member.
    """
    gid = account.gid if account else -1
    make_folder(root.parent)
    for file in files:
        target = root / os.path.normpath(f"/{file.path}").lstrip("/")  # `..` ends at the root, as in a container
        _folders(target.parent, gid)
        data = file.content.encode() if file.content is not None else Path(str(file.source)).read_bytes()
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(data)
            os.fchown(out.fileno(), -1, gid)
            os.fchmod(out.fileno(), file.permissions | (file.permissions & 0o500) >> 3 if account else file.permissions)


def _folders(folder: Path, gid: int) -> None:
    """Make the folder and all missing folders above it, readable for the group `gid` if it is not negative."""
    if not folder.exists():
        _folders(folder.parent, gid)
        folder.mkdir(mode=0o700)
        os.chown(folder, -1, gid)
        folder.chmod(0o700 if gid < 0 else 0o750)
