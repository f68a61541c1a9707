"""PostgreSQL's data directory for a process: initdb once, into a template in the cache; then a copy, which is quick."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from envkit.config import rights
from envkit.errors import EnvironmentFailed
from envkit.owned import own_folder
from envkit.runtimes.spawning import Account

SECONDS = 60.0
"""For initdb and the creation of the database; 1.0 s on an idle two-core machine."""

TOLD = ("POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB")
"""Variables that the data directory is made from, as in PostgreSQL's own images."""

INITDB = ("--encoding=UTF8", "--no-locale", "--no-sync")


def unprivileged() -> Account | None:
    """The user that PostgreSQL runs as where envkit is root, which PostgreSQL refuses; None where it is not."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(found.pw_uid, found.pw_gid)
    raise EnvironmentFailed("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")


def fill(
    data: Path, programs: Mapping[str, Path], variables: Mapping[str, str], environ: Mapping[str, str], cache: Path,
    account: Account | None,
) -> None:  # fmt: skip
    """A data directory with the user, password and database of `POSTGRES_*`, owned by `account`, mode 0700.

    The user is no superuser, unless the variables say so. Raises `EnvironmentFailed` with initdb's output.
    """
    from filelock import FileLock

    binary = programs["postgres"]
    told = [variables.get(name, "") for name in (*TOLD, rights.ALL, rights.EXTENSIONS)]
    program = rights.limited("initdb", [str(programs["initdb"])])
    key = "\0".join((str(binary), str(binary.stat().st_mtime_ns), *told, *program, str(account and account.uid)))
    template = cache / "postgres" / hashlib.sha256(key.encode()).hexdigest()[:16]
    own_folder(template.parent, 0o700)
    with FileLock(f"{template}.lock", mode=0o600):
        if not template.exists():
            _make(template, programs, variables, environ, account)
    shutil.copytree(template, data, symlinks=True)
    own(data, account)


def own(folder: Path, account: Account | None) -> None:
    """Hand the folder and all in it to the account; 0700."""
    folder.chmod(0o700)
    if account is None:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _make(
    template: Path, programs: Mapping[str, Path], variables: Mapping[str, str], environ: Mapping[str, str],
    account: Account | None,
) -> None:  # fmt: skip
    """Run initdb and CREATE DATABASE in a scratch directory that the account can reach; whole or not at all."""
    with _scratch(template, account) as folder:
        (folder / "password").write_text(variables.get("POSTGRES_PASSWORD", ""))
        folder.chmod(0o700)
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
    """As in a container: the same program makes envkit's superuser, who cannot log in here, and the role."""
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
    """As PostgreSQL's own images do: the user is the superuser."""
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
def _scratch(template: Path, account: Account | None) -> Iterator[Path]:
    """A folder for who holds the template's lock; what a killed run left in it goes.

    Beside the template, but where another user runs initdb: that one cannot pass root's home.
    """
    digest = hashlib.sha256(str(template).encode()).hexdigest()[:16]
    folder = Path("/var/tmp") / f"envkit-initdb-{digest}" if account else template.with_name(f".{template.name}.initdb")  # noqa: S108  0700, its owner checked below
    if folder.is_symlink() or (folder.exists() and folder.stat().st_uid not in (os.getuid(), account and account.uid)):
        raise EnvironmentFailed(f"{folder} belongs to somebody else", hint="remove it")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(argv: list[str], environ: Mapping[str, str], account: Account | None, text: str = "") -> None:
    as_user = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
    name = "initdb" if "/bin/sh" in argv[0] else argv[0]
    done = subprocess.run(  # type: ignore[call-overload]  # the account's three words
        argv, input=text, capture_output=True, text=True, timeout=SECONDS, cwd="/", check=False,
        env={**os.environ, **environ, "LC_ALL": "C"}, **as_user,
    )  # fmt: skip
    if done.returncode != 0 or "ERROR" in done.stderr:
        raise EnvironmentFailed(f"{name} ended with {done.returncode}", detail=(done.stdout + done.stderr)[-3000:])
