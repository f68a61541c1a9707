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

from envkit.errors import EnvironmentFailed
from envkit.owned import own_folder
from envkit.runtimes.spawning import Account

SECONDS = 60.0
"""For initdb and the creation of the database; 1.0 s on an idle two-core machine."""


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

    Raises `EnvironmentFailed` with initdb's output.
    """
    from filelock import FileLock

    user, password = variables.get("POSTGRES_USER", "postgres"), variables.get("POSTGRES_PASSWORD", "")
    database = variables.get("POSTGRES_DB", user)
    binary = programs["postgres"]
    key = f"{binary}\0{binary.stat().st_mtime_ns}\0{user}\0{password}\0{database}\0{account and account.uid}"
    template = cache / "postgres" / hashlib.sha256(key.encode()).hexdigest()[:16]
    own_folder(template.parent, 0o700)
    with FileLock(f"{template}.lock", mode=0o600):
        if not template.exists():
            _make(template, programs, user, password, database, environ, account)
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
    template: Path, programs: Mapping[str, Path], user: str, password: str, database: str,
    environ: Mapping[str, str], account: Account | None,
) -> None:  # fmt: skip
    """Run initdb and CREATE DATABASE in a scratch directory that the account can reach; whole or not at all."""
    with _scratch(template, account) as folder:
        secret = folder / "password"
        secret.write_text(password)
        folder.chmod(0o700)
        own(folder, account)
        data = folder / "data"
        initdb = [str(programs["initdb"]), "-D", str(data), "-U", user, "--encoding=UTF8", "--no-locale", "--no-sync"]
        if password:
            initdb += ["--auth=scram-sha-256", f"--pwfile={secret}"]
        _run(initdb, environ, account)
        if database not in ("postgres", ""):
            single = [str(programs["postgres"]), "--single", "-D", str(data), "-c", "fsync=off", "postgres"]
            quoted = database.replace('"', '""')
            _run(single, environ, account, f'CREATE DATABASE "{quoted}"\n')
        beside = template.with_name(f".{template.name}.new")
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(data, beside, symlinks=True)
        beside.rename(template)


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
    done = subprocess.run(  # type: ignore[call-overload]  # the account's three words
        argv, input=text, capture_output=True, text=True, timeout=SECONDS, cwd="/", check=False,
        env={**os.environ, **environ, "LC_ALL": "C"}, **as_user,
    )  # fmt: skip
    if done.returncode != 0 or "ERROR" in done.stderr:
        raise EnvironmentFailed(f"{argv[0]} ended with {done.returncode}", detail=(done.stdout + done.stderr)[-3000:])
