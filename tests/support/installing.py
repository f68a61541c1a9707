"""envkit as others get it: a clone with a tag, the wheel and the sdist built from it, and real pip, pipx and uv.

Made once in a test session, by the worker that needs it first. pip fills one folder of wheels from the package index,
and every installation takes what it depends on from there (`PIP_NO_INDEX`, `PIP_FIND_LINKS`): the index is asked once.
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
"""How the documents write the reader's own address of this repository."""

TOOLS = ("pipx", "uv")
"""What README and docs/ci.md install with, besides pip."""

TESTED_WITH = ("pytest", "hatchling", "pip", "setuptools")
"""A suite's runner, what builds a wheel from sources, and what pipx puts into its environments."""

INSTALL_SECONDS = 400
"""For pip on a machine with much else to do; usually it takes a tenth of this."""


@dataclass(frozen=True)
class Packages:
    """What can be installed, and what installs it."""

    folder: Path

    @property
    def clone(self) -> Path:
        """A clone of this repository, at `TAG`."""
        return self.folder / "clone"

    @property
    def tools(self) -> Path:
        """The folder that holds `python3`, `pip`, `pipx`, `uv` and `uvx`."""
        return self.folder / "tools/bin"

    @property
    def wheel(self) -> Path:
        """Built by README's command."""
        (found,) = (self.clone / "dist").glob("*.whl")
        return found

    @property
    def sdist(self) -> Path:
        """Built by uv."""
        (found,) = (self.folder / "sdist").glob("*.tar.gz")
        return found

    @property
    def url(self) -> str:
        """The address to clone from, for what stands as REPOSITORY in the documents."""
        return self.clone.as_uri()

    def environ(self, home: Path) -> dict[str, str]:
        """Variables for a shell that installs: wheels come from one folder, what pipx and uv keep is below `home`."""
        house = str(self.folder / "wheels")
        return {
            **plain_environ(), "PATH": f"{home / 'bin'}:{self.tools}:{os.environ['PATH']}",
            "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": house, "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_COMPILE": "0",  # pip reads it as `compile`: byte code of the kubernetes client alone takes 15 s
            "UV_NO_INDEX": "1", "UV_FIND_LINKS": house, "UV_CACHE_DIR": str(home / "uv"),
            "UV_PYTHON_DOWNLOADS": "never",
            "PIPX_HOME": str(home / "pipx"), "PIPX_BIN_DIR": str(home / "bin"), "PIPX_DEFAULT_PYTHON": sys.executable,
        }  # fmt: skip

    def documented(self, command: str) -> str:
        """A command of the documents, with what stands for the reader's own address and tag filled in."""
        return re.sub(PLACEHOLDER, f"git+{self.url}@{TAG}", command)


def plain_environ() -> dict[str, str]:
    """Variables of a shell that has nothing of envkit's, Python's or pytest's; what is pip's own stays."""
    dropped = ("ENVKIT_", "PYTHON", "PYTEST", "VIRTUAL_ENV", "GITHUB_", "GITLAB_", "KUBECONFIG")
    plain = {key: value for key, value in os.environ.items() if not key.startswith(dropped) and key != "CI"}
    here = os.path.dirname(sys.executable)  # noqa: PTH120  not resolved: the environment's, not the interpreter's
    return {**plain, "PATH": ":".join(part for part in plain["PATH"].split(":") if part != here)}


def call(
    argv: Sequence[str | Path], cwd: Path, environ: Mapping[str, str] | None = None, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """A command that ends with `code`."""
    done = subprocess.run(
        argv, cwd=cwd, env=plain_environ() if environ is None else environ, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=INSTALL_SECONDS,
    )  # fmt: skip
    assert done.returncode == code, f"{argv} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def environment(folder: Path) -> Path:
    """The `bin` of a clean virtual environment, with pip."""
    call((sys.executable, "-m", "venv", folder), folder.parent)
    return folder / "bin"


def packages(factory: pytest.TempPathFactory) -> Packages:
    """The session's packages, made by the first who asks."""
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
    """README's one command that builds the wheel."""
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
    """A repository of its own with the files of this checkout as they are now, committed or not, and a tag."""
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in call(listed, ROOT).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)
    call(("git", "init", "-q"), clone)
    call(("git", "add", "."), clone)
    call(("git", "-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-qm", "everything"), clone)
    call(("git", "tag", TAG), clone)
