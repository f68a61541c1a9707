"""PostgreSQL and Redis servers as plain programs, without installing them: an installed package starts a daemon."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

PACKAGES = ("postgresql-15", "redis-server")


@dataclass(frozen=True)
class Binaries:
    """Where the servers are, and the libraries that came with them."""

    postgres: Path  # the folder with initdb and postgres
    redis: Path
    libraries: Path | None

    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "LC_ALL": "C"} | (
            {"LD_LIBRARY_PATH": str(self.libraries)} if self.libraries else {}
        )


def find(workdir: Path) -> Binaries:
    """The host's own servers, else Debian's packages unpacked into ``workdir``. Skips (fails in CI) without either."""
    found = _installed(Path("/"))
    if found is None:
        _unpack(workdir)
        found = _installed(workdir)
    if found is None:
        unavailable("no PostgreSQL and Redis servers were found, nor in Debian's packages")
    return found


def unavailable(reason: str) -> NoReturn:
    """Ends the test: skipped on a laptop, failed in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _installed(root: Path) -> Binaries | None:
    postgres = sorted((root / "usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[-3]))
    redis = root / "usr/bin/redis-server" if root != Path("/") else Path(shutil.which("redis-server") or "/nowhere")
    if not postgres or not redis.exists():
        return None
    libraries = next((root / "usr/lib").glob("*-linux-gnu*"), None) if root != Path("/") else None
    return Binaries(postgres[-1].parent, redis, libraries)


def _unpack(workdir: Path) -> None:
    """Downloads once into the user's cache, unpacks for this session: a server under another user must reach it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "envkit-tests" / "debian"
    if not list(cache.glob("*.deb")):
        _download(cache)
    for package in cache.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, workdir], check=True, timeout=60)


def _download(cache: Path) -> None:
    fresh = cache.with_name(f"{cache.name}.{os.getpid()}")
    (fresh / "partial").mkdir(parents=True)
    argv = ["apt-get", "install", "--download-only", "--yes", "--quiet=2", "--no-install-recommends"]
    argv += ["-o", "Debug::NoLocking=1", "-o", f"Dir::Cache::archives={fresh}", "-o", "APT::Sandbox::User=root"]
    try:
        subprocess.run([*argv, *PACKAGES], check=True, timeout=300, capture_output=True)
    except (OSError, subprocess.SubprocessError) as exc:
        shutil.rmtree(fresh)
        unavailable(f"the packages {' and '.join(PACKAGES)} cannot be downloaded: {exc}")
    if cache.exists():
        shutil.rmtree(fresh)  # another run was faster
    else:
        fresh.rename(cache)
