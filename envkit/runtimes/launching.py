"""From a unit to a launch: the program's real path, the data directory filled, the user it runs as."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from envkit.config import rights
from envkit.config.models import File
from envkit.errors import EnvironmentFailed
from envkit.runtimes import postgres_data
from envkit.runtimes.base import Unit
from envkit.runtimes.spawning import Account, Launch
from envkit.supply.programs import Program, Programs


@dataclass(frozen=True)
class Launching:
    """Makes units ready; `programs` knows where their programs are."""

    programs: Programs
    cache: Path

    def __call__(self, unit: Unit, folder: Path) -> Launch:
        """Copy the files, make the data directory, find the program. Raises `EnvironmentFailed`."""
        process = unit.service.process
        assert process is not None
        program = self.programs.found(unit.image)
        copy_files(unit.service.files, folder / "root")
        data, account = folder / "data", None
        if process.supply == "postgres":
            account = postgres_data.unprivileged()
            postgres_data.fill(data, program.paths, unit.service.env, program.environ, self.cache, account)
        else:
            data.mkdir(mode=0o700)
        argv = _with_path(process.command, program)
        if process.supply == "kubernetes":
            from envkit.clusters.envtest import without_refused

            argv = without_refused(argv, program.version)
        if process.supply == "redis" and Path(argv[0]).name == "redis-server":
            argv = rights.limited("redis-server", argv)
        env = {**unit.service.env, **program.environ, **process.env, **_home(account)}
        return Launch(
            argv, env, account, self.programs.id_of(unit.image), process.stop_signal, unit.service.stop_timeout
        )


def _with_path(command: Sequence[str], program: Program) -> tuple[str, ...]:
    name, *rest = command
    path = program.paths.get(name) or shutil.which(name)
    if not path:
        raise EnvironmentFailed(f"there is no {name} in {program.source}", hint=f"it has: {', '.join(program.paths)}")
    return (str(path), *rest)


def _home(account: Account | None) -> dict[str, str]:
    home = os.environ.get("HOME", "")
    # macOS knows no C.UTF-8, and PostgreSQL ends where the locale means nothing.
    locale = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"
    return {"HOME": "/nonexistent" if account else home, "LC_ALL": locale}


def copy_files(files: Sequence[File], root: Path) -> None:
    """The service's files below its own root, with their modes; this user owns them."""
    for file in files:
        target = root / os.path.normpath(f"/{file.path}").lstrip("/")  # `..` ends at the root, as in a container
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        data = file.content.encode() if file.content is not None else Path(str(file.source)).read_bytes()
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(data)
        target.chmod(file.permissions)
