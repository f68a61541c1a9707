"""Builds envkit as users install it: a clone with a tag, its wheel and sdist, and real pip, pipx and uv.

The first worker that needs these creates them, once per session. pip downloads wheels from the package index into one
folder. All installations take their dependencies from there (`PIP_NO_INDEX`, `PIP_FIND_LINKS`), so the index is used
only once.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from tests.support.box import ROOT

TAG = "v0.0.0-test"

PLACEHOLDER = r"git\+(?:REPOSITORY|[\w:/.$-]*YOUR-[A-Z]+/envkit(?:\.git)?)@TAG"
"""The placeholder in the documents for the address of the reader's copy of this repository."""

TOOLS = ("pipx", "uv")
"""The tools that README and docs/ci.md install with, besides pip."""

TESTED_WITH = ("pytest", "hatchling", "pip", "setuptools")
"""Further packages: the test runner of suites, the builder of wheels, and the packages that pipx installs itself."""

INSTALL_SECONDS = 400
"""Time limit of pip on a busy machine; usually it needs a tenth of this."""


@dataclass(frozen=True)
class Packages:
    """The packages that can be installed, and the tools that install them."""

    folder: Path

    @property
    def clone(self) -> Path:
        """The path of a clone of this repository, at `TAG`."""
        return self.folder / "clone"

    @property
    def tools(self) -> Path:
        """The folder with `python3`, `pip`, `pipx`, `uv` and `uvx`."""
        return self.folder / "tools/bin"

    @property
    def wheel(self) -> Path:
        """The path of the wheel, built by README's command."""
        (found,) = (self.clone / "dist").glob("*.whl")
        return found

    @property
    def sdist(self) -> Path:
        """The path of the sdist, built by uv."""
        (found,) = (self.folder / "sdist").glob("*.tar.gz")
        return found

    @property
    def url(self) -> str:
        """The URL to clone from; it replaces REPOSITORY in the documents."""
        return self.clone.as_uri()

    def environ(self, home: Path) -> dict[str, str]:
        """Return variables for installations: wheels come from one folder, and pipx and uv write below `home`."""
        house = str(self.folder / "wheels")
        return {
            **plain_environ(), "PATH": f"{home / 'bin'}:{self.tools}:{os.environ['PATH']}",
            "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": house, "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_COMPILE": "0",  # means `no compile`: compiling the kubernetes client alone takes 15 s
            "UV_NO_INDEX": "1", "UV_FIND_LINKS": house, "UV_CACHE_DIR": str(home / "uv"),
            "UV_PYTHON_DOWNLOADS": "never",
            "PIPX_HOME": str(home / "pipx"), "PIPX_BIN_DIR": str(home / "bin"), "PIPX_DEFAULT_PYTHON": sys.executable,
        }  # fmt: skip

    def documented(self, command: str) -> str:
        """Return a command of the documents with its placeholders for address and tag replaced."""
        return re.sub(PLACEHOLDER, f"git+{self.url}@{TAG}", command)


def plain_environ() -> dict[str, str]:
    """Return this shell's variables without those of envkit, Python and pytest, but with those of pip."""
    dropped = ("ENVKIT_", "PYTHON", "PYTEST", "VIRTUAL_ENV", "GITHUB_", "GITLAB_", "KUBECONFIG")
    plain = {key: value for key, value in os.environ.items() if not key.startswith(dropped) and key != "CI"}
    here = os.path.dirname(sys.executable)  # noqa: PTH120  not resolved: the virtual environment's folder
    return {**plain, "PATH": ":".join(part for part in plain["PATH"].split(":") if part != here)}


def call(
    argv: Sequence[str | Path], cwd: Path, environ: Mapping[str, str] | None = None, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a command and return its result; fail the test if its exit code is not `code`."""
    done = subprocess.run(
        argv, cwd=cwd, env=plain_environ() if environ is None else environ, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=INSTALL_SECONDS,
    )  # fmt: skip
    assert done.returncode == code, f"{argv} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def environment(folder: Path) -> Path:
    """Create a clean virtual environment with pip and return its `bin` folder."""
    call((sys.executable, "-m", "venv", folder), folder.parent)
    return folder / "bin"


def packages(factory: pytest.TempPathFactory) -> Packages:
    """Return the session's packages; the first caller creates them."""
    base = factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    made = Packages(shared / "packages")
    with FileLock(shared / "packages.lock", timeout=3 * INSTALL_SECONDS):
        if not (made.folder / "ready").exists():
            shutil.rmtree(made.folder, ignore_errors=True)
            made.folder.mkdir()
            _make(made)
            (made.folder / "ready").touch()
    return made


def first_line_of_readme() -> list[str]:
    """Return README's only command that builds the wheel, as a list of arguments."""
    (found,) = re.findall(r"^python3 -m pip wheel .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    return str(found).split()


def _make(made: Packages) -> None:
    _clone(made.clone)
    pip = environment(made.tools.parent) / "pip"
    call((pip, "install", "--quiet", *TOOLS), made.folder)
    python, *words = first_line_of_readme()
    call((made.tools / python, *words), made.clone)
    call((made.tools / "uv", "build", "--quiet", "--sdist", "--out-dir", made.folder / "sdist"), made.clone)
    wanted = (f"{made.wheel}[suite,datastorage]", *TESTED_WITH)
    call((pip, "wheel", "--quiet", "--wheel-dir", made.folder / "wheels", *wanted), made.folder)


def _clone(clone: Path) -> None:
    """Create a git repository with the current files of this checkout, committed or not, and with a tag."""
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in call(listed, ROOT).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)
    call(("git", "init", "-q"), clone)
    call(("git", "add", "."), clone)
    call(("git", "-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-qm", "everything"), clone)
    call(("git", "tag", TAG), clone)
