"""Fills PostgreSQL's data directory for a process: copies a template from the cache, which is faster than initdb."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from envkit.base.errors import EnvironmentFailed
from envkit.base.owned import own_folder
from envkit.base.paths import write_private
from envkit.config import rights
from envkit.drivers import accounts
from envkit.drivers.accounts import Account
from envkit.drivers.runtimes.spawning import as_user

SECONDS = 60.0
"""The timeout in seconds for initdb, and again for the creation of the database. Both took 1.0 s on an idle two-core
machine."""

TOLD = ("POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB")
"""The variables that determine the contents of the data directory, as in PostgreSQL's own images."""

INITDB = ("--encoding=UTF8", "--no-locale", "--no-sync")


def fill(
    data: Path, programs: Mapping[str, Path], variables: Mapping[str, str], environ: Mapping[str, str], cache: Path,
    account: Account | None,
) -> None:  # fmt: skip
    """Make a data directory with the user, password and database of `POSTGRES_*`, owned by `account`, mode 0700.

    The user is a superuser only if the variables request it. Raises `EnvironmentFailed` with initdb's output.
    """
    from filelock import FileLock

    binary = programs["postgres"]
    told = [variables.get(name, "") for name in (*TOLD, rights.ALL, rights.EXTENSIONS)]
    program = rights.limited("initdb", [str(programs["initdb"])])
    key = "\0".join((str(binary), str(binary.stat().st_mtime_ns), *told, *program))
    template = cache / "postgres" / hashlib.sha256(key.encode()).hexdigest()[:16]
    own_folder(template.parent, 0o700)
    with FileLock(f"{template}.lock", mode=0o600):
        if not template.exists():
            with _scratch(data.with_name("initdb"), account) as folder:
                _make(folder, template, programs, variables, environ)
            _sweep(template.parent)
    shutil.copytree(template, data, symlinks=True)
    own(data, account)


def own(folder: Path, account: Account | None) -> None:
    """Set the folder's mode to 0700, and make the account the owner of the folder and everything in it."""
    folder.chmod(0o700)
    if account is None:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _sweep(folder: Path) -> None:
    """Remove incomplete templates of a killed envkit. Keep a template while another process holds its lock."""
    from filelock import FileLock, Timeout

    for left in folder.glob(".*.new"):
        lock = folder / f"{left.name.removeprefix('.').removesuffix('.new')}.lock"
        with suppress(Timeout), FileLock(lock, timeout=0, mode=0o600):
            shutil.rmtree(left, ignore_errors=True)


def _make(
    scratch: tuple[Path, Account | None], template: Path, programs: Mapping[str, Path], variables: Mapping[str, str],
    environ: Mapping[str, str],
) -> None:  # fmt: skip
    """Make the data in the scratch folder and copy it; rename the copy at the end, so no template is incomplete."""
    folder, account = scratch
    write_private(folder / "password", variables.get("POSTGRES_PASSWORD", ""))
    own(folder, account)
    make = _with_all_rights if variables.get(rights.ALL) == "true" else _with_limited_rights
    make(folder, programs, variables, environ, account)
    beside = template.with_name(f".{template.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(folder / "data", beside, symlinks=True)
    beside.rename(template)


def _with_limited_rights(
    folder: Path, programs: Mapping[str, Path], variables: Mapping[str, str], environ: Mapping[str, str],
    account: Account | None,
) -> None:  # fmt: skip
    """Run the initdb script that containers use too. It makes the user's role, and a superuser who cannot log in."""
    user, database = _user(variables), _database(variables)
    login = [f"--username={user}", "--auth-local=reject"]
    login += [f"--pwfile={folder / 'password'}"] if variables.get("POSTGRES_PASSWORD") else ["--auth-host=trust"]
    told = {
        "PGDATA": str(folder / "data"),
        "POSTGRES_DB": database,
        rights.DATABASE: "" if database == "postgres" else database,
        rights.EXTENSIONS: variables.get(rights.EXTENSIONS, ""),
    }
    argv = rights.limited("initdb", [str(programs["initdb"]), *login, *INITDB])
    _run([*argv], {**environ, **told}, account)


def _with_all_rights(
    folder: Path, programs: Mapping[str, Path], variables: Mapping[str, str], environ: Mapping[str, str],
    account: Account | None,
) -> None:  # fmt: skip
    """Run initdb and create the database as PostgreSQL's own images do: the user is the superuser."""
    data, database = folder / "data", _database(variables)
    initdb = [str(programs["initdb"]), "-D", str(data), "-U", _user(variables), *INITDB]
    if variables.get("POSTGRES_PASSWORD"):
        initdb += ["--auth=scram-sha-256", f"--pwfile={folder / 'password'}"]
    _run(initdb, environ, account)
    if database != "postgres":
        single = [str(programs["postgres"]), "--single", "-D", str(data), "-c", "fsync=off", "postgres"]
        quoted = database.replace('"', '""')
        _run(single, environ, account, f'CREATE DATABASE "{quoted}"\n')


def _user(variables: Mapping[str, str]) -> str:
    return variables.get("POSTGRES_USER") or "postgres"


def _database(variables: Mapping[str, str]) -> str:
    return variables.get("POSTGRES_DB") or _user(variables)


@contextmanager
def _scratch(folder: Path, account: Account | None) -> Iterator[tuple[Path, Account | None]]:
    """Yield a folder for initdb inside the service's folder, and the account for initdb; then remove the folder.

    If envkit is killed, the folder is removed with the service. initdb needs a user with a name, so this
    account has another uid than the service's account. It has the same gid, so it can enter the service's folder.
    """
    user = Account(accounts.named().uid, account.gid) if account else None
    folder.mkdir(mode=0o700)
    try:
        yield folder, user
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(argv: list[str], environ: Mapping[str, str], account: Account | None, text: str = "") -> None:
    """Run the command in a new session and wait for its end. On timeout or interruption, kill its process group.

    Raises `EnvironmentFailed` with the output if the command fails.
    """
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/",
        start_new_session=True, env={**os.environ, **environ, "LC_ALL": "C"}, **as_user(account),
    )  # fmt: skip
    try:
        said, complained = process.communicate(text, timeout=SECONDS)
    except BaseException:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    name = "initdb" if "/bin/sh" in argv[0] else argv[0]
    if process.returncode != 0 or "ERROR" in complained:
        raise EnvironmentFailed(f"{name} ended with {process.returncode}", detail=(said + complained)[-3000:])
