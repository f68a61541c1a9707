"""Tests of the installed wheel and sdist: real pip, pipx and uvx, clean environments, another working folder."""

from __future__ import annotations

import json
import re
import shlex
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from zipfile import ZipFile

import pytest

from tests.docs.blocks import blocks, commands
from tests.e2e.embedded_box import EmbeddedBox, NoEngine, needed
from tests.support import ports
from tests.support.box import ROOT
from tests.support.engines import Engine
from tests.support.installing import Packages, call, environment, plain_environ

pytestmark = pytest.mark.e2e

CONFIGURATION = """
cluster: none
services:
  redis: {{preset: redis, ports: {{redis: {0}}}}}
  postgres: {{preset: postgres, ports: {{postgres: {1}}}}}
"""

SUITE = """
def test_it_is_there(envkit_namespace, envkit_redis):
    envkit_redis.set("key", envkit_namespace)
    assert envkit_redis.get("key") is not None
"""


@dataclass
class Installed(EmbeddedBox):
    """An environment of processes that an installed program brings up."""

    at: str = "envkit"

    def argv(self, verb: str, *words: str) -> tuple[str, ...]:
        """Return the installed program's command line."""
        return (self.at, verb, "-n", self.name, *self.flags, *words)

    def environ(self, **more: str) -> dict[str, str]:
        """Return variables in which PATH contains nothing of this checkout."""
        own = {key: value for key, value in super().environ().items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
        return {**own, "PATH": plain_environ()["PATH"], **more}


Make = Callable[..., Installed]


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Make]:
    """Yield a function that makes an environment for a program in another folder.

    The test fails if anything remains.
    """
    made: list[Installed] = []

    def make(program: str | Path, *flags: str, configured: bool = True) -> Installed:
        name, numbers = f"e2e-inst-{uuid.uuid4().hex[:6]}", tuple(ports.free(2)) if configured else ()
        box = Installed(
            cast(Engine, NoEngine()), name, tmp_path, ("--lane", "embedded", *flags), ports=numbers,
            cwd=tmp_path / "another", at=str(program),
        )  # fmt: skip
        box.cwd.mkdir(exist_ok=True)
        if configured:
            (box.cwd / "envkit.yaml").write_text(CONFIGURATION.format(*numbers))
        made.append(box)
        return box

    yield make
    left = [line for box in made for line in box.close()]
    assert not left, left


def lives(box: Installed, *command: str) -> None:
    """Run up, env, a command and down, and check each result."""
    box("up").ok()
    given = box.variables()
    assert int(given["REDIS_PORT"]) in box.ports and given["ENVKIT_ENVIRONMENT"] == box.name
    said = box("run", "--", *(command or ("sh", "-c", "echo at $REDIS_URL"))).ok()
    assert command or f"at {given['REDIS_URL']}" in said.out
    assert box("status").ok(), "what was up stays up"
    box("down").ok()
    assert box.left() == []


@pytest.fixture(scope="module")
def clean(packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the `bin` folder of a clean environment with the wheel, without extras."""
    folder = tmp_path_factory.mktemp("installed")
    there = environment(folder / "clean")
    call((there / "pip", "install", "--quiet", packages.wheel), folder, packages.environ(folder))
    return there


def module_file(there: Path, name: str) -> Path:
    """Return the path of a file in the installed package."""
    (site,) = (there.parent / "lib").glob("python*/site-packages")
    return site / "envkit" / name


def test_the_wheel_without_extras_brings_an_environment_up(clean: Path, installed: Make, tmp_path: Path) -> None:
    found = call((clean / "python", "-c", "import envkit; print(envkit.__file__)"), tmp_path).stdout
    assert found.strip() == str(module_file(clean, "__init__.py"))
    lives(installed(clean / "envkit"))


@pytest.mark.embedded
def test_the_sdist_with_extras_brings_the_default_profile_up(
    packages: Packages, installed: Make, tmp_path: Path
) -> None:
    needed()
    there = environment(tmp_path / "clean")
    wanted = (f"{packages.sdist}[suite,datastorage]", "pytest")
    call((there / "pip", "install", "--quiet", *wanted), tmp_path, packages.environ(tmp_path))
    number = ports.offset()
    box = installed(there / "envkit", "--port-offset", str(number), configured=False)
    box.ports = tuple(port + number for port in ports.GATEWAY)
    (box.cwd / "test_it.py").write_text(SUITE)
    lives(box, str(there / "pytest"), "-q", "-p", "envkit.suite", "-p", "no:cacheprovider", "test_it.py")


def test_the_hint_for_a_missing_extra_adds_it(packages: Packages, clean: Path, tmp_path: Path) -> None:
    install = packages.environ(tmp_path) | {"PATH": f"{clean}:{plain_environ()['PATH']}"}
    ask = (clean / "python", "-c", "from envkit.suite.libraries import needed; needed('redis', 'envkit_redis')")
    (hint,) = re.findall(r"pip install '.*?'", call(ask, tmp_path, code=1).stderr)
    before = module_file(clean, "version.py").stat().st_ino
    call(shlex.split(hint), tmp_path, install)
    call(ask, tmp_path)
    assert module_file(clean, "version.py").stat().st_ino == before, "the envkit that is there stays"


# The installation commands of README


def ways() -> list[list[str]]:
    """Return the commands of each block below README's heading about installing."""
    text = (ROOT / "README.md").read_text()
    first = text.count("\n", 0, text.index("## How to install it"))
    last = text.count("\n", 0, text.index("## How another repository adopts it"))
    return [[one.text for one in commands(block)] for block in blocks(ROOT / "README.md") if first < block.line < last]


@pytest.mark.parametrize("number", range(2), ids=["in a clone", "by URL and tag"])
def test_readme_tells_ways_that_work(packages: Packages, installed: Make, tmp_path: Path, number: int) -> None:
    lines = ways()[number]
    box = installed(tmp_path / "home/bin/envkit")
    there = environment(tmp_path / "clean")
    install = packages.environ(tmp_path / "home")
    if number:  # `pip` belongs to the Python suite's environment; old versions reject `git+file:` after an `@`
        call((there / "python", "-m", "pip", "install", "--quiet", "--upgrade", "pip"), tmp_path, install)
        install["PATH"] = f"{tmp_path}/home/bin:{there}:{install['PATH']}"
    mine = {key: value for key, value in box.environ().items() if key.startswith("ENVKIT_")}
    chosen = {"ENVKIT_FILE": str(box.cwd / "envkit.yaml"), "ENVKIT_NAME": box.name, "ENVKIT_LANE": "embedded"}
    assert any("pipx" in line for line in lines) and any("uvx" in line for line in lines)
    for line in lines:
        if "wheel --no-deps" not in line:  # that command built the installed wheel
            call(("bash", "-c", packages.documented(line)), packages.clone, install | mine | chosen)
    assert box("status").ok(), "uvx has brought it up"
    box("down").ok()
    if number:
        call((there / "python", "-c", "import envkit.suite, redis, psycopg"), tmp_path)


# The other `envkit`


THEIRS = {
    "envkit/__init__.py": "from envkit._env import Env\n\n__all__ = ['Env']\n",
    "envkit/_env.py": "class Env:\n    pass\n",
    "envkit-0.7.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: envkit\nVersion: 0.7.1\n",
    "envkit-0.7.1.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}
"""A stand-in with the file layout of the distribution `envkit` 0.7.1 of the public index, which needs Python 3.12."""


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    path = tmp_path / "envkit-0.7.1-py3-none-any.whl"
    record = "".join(f"{name},,\n" for name in (*THEIRS, "envkit-0.7.1.dist-info/RECORD"))
    with ZipFile(path, "w") as wheel:
        for name, text in {**THEIRS, "envkit-0.7.1.dist-info/RECORD": record}.items():
            wheel.writestr(name, text)
    return path


WARNING = "the distribution envkit 0.7.1 is installed beside envkit-orchestrator"


def test_the_other_envkit_in_the_same_python_is_named(
    packages: Packages, clean: Path, installed: Make, tmp_path: Path, theirs: Path
) -> None:
    pip = (clean / "python", "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps")
    install = packages.environ(tmp_path)
    imported = (clean / "python", "-c", "from envkit import Env")
    box = installed(clean / "envkit")

    call((*pip, theirs), tmp_path, install)
    call(imported, tmp_path)
    up = box("up").ok()
    assert up.err.count(WARNING) == 1 and "next: " in up.err, up
    for words in (("env", "-n", box.name), ("--help",), ("--version",), ("list",)):
        said = call((box.at, *words), box.cwd, box.environ(ENVKIT_LANE="embedded"))
        assert said.stderr.count(WARNING) == 1 and WARNING not in said.stdout, (words, said)
    (row,) = map(json.loads, box("plan", "--json").ok().err.splitlines())
    assert row["event"] == "warning" and "pip uninstall envkit" in row["hint"]
    tasks = "from envkit.cli.tasks import namespace"
    assert WARNING in call((clean / "python", "-c", tasks), tmp_path).stderr, "a repository's own tasks.py"

    call((*pip, packages.wheel), tmp_path, install)
    call(imported, tmp_path, code=1)
    assert WARNING in box("env").ok().err, "ours on top of theirs"

    (uninstall,) = re.findall(r"next: (.* -m pip uninstall envkit);", up.err)
    call((*shlex.split(uninstall), "--yes"), tmp_path, install)
    assert not module_file(clean, "__init__.py").exists(), "it belonged to both"
    assert WARNING not in box("status").ok().err, "and without it every command works"
    call((*pip, packages.wheel), tmp_path, install)
    call((clean / "python", "-c", "from envkit import __version__"), tmp_path)
    assert WARNING not in box("down").ok().err
