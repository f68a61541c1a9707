"""A user at a shell, with a uid, a state directory, a checkout and namespaces; all users share one configuration."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from tests.support.box import ROOT, Said

OTHER_USER = 65534
"""A uid that every host has, and that does not run the tests."""

CONFIGURATION = """
name: {name}
cluster: none
services:
  web:
    image: {image}
    command: [python3, -m, http.server, "{port}", --bind, 0.0.0.0]
    process: {{command: [{python}, -m, http.server, "{port}", --bind, 127.0.0.1]}}
    ports: {{http: "{port}:{port}"}}
    probe: {{type: tcp}}
"""


@dataclass(frozen=True)
class Actor:
    """The user who runs the commands. `lane` and `variables` choose where the environment runs."""

    name: str
    folder: Path
    lane: str
    variables: dict[str, str] = field(default_factory=dict)
    user: int = 0
    state: str = "state"
    checkout: str = "checkout"
    before: tuple[str, ...] = ()

    @property
    def home(self) -> Path:
        """The path of the state directory."""
        return self.folder / self.state

    def write(self, port: int, image: str) -> Actor:
        """Create the checkout and the state directory, and return this user."""
        for path in (self.folder / self.checkout, self.home):
            path.mkdir(exist_ok=True)
            os.chown(path, self.user, self.user)
        text = CONFIGURATION.format(name=self.name, port=port, image=image, python=python_of(self.user))
        (self.folder / self.checkout / "envkit.yaml").write_text(text)
        return self

    def other(self, **changes: object) -> Actor:
        """Return a copy of this user with `changes`."""
        return replace(self, **changes)

    def __call__(self, verb: str, *words: str) -> Said:
        """Run a command and return its result; it has one minute."""
        with self.start(verb, *words) as running:
            try:
                out, err = running.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                running.kill()
                raise
        return Said(tuple(map(str, running.args)), running.returncode, out, err, 0.0)

    def start(self, verb: str, *words: str) -> subprocess.Popen[str]:
        """Start a command."""
        lane = ("--lane", self.lane) if self.lane and verb not in ("prune", "list") else ()
        argv = (*self.before, *_as_user(self.user), python_of(self.user), "-m", "envkit", verb, *lane, *words)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("ENVKIT_", "PYTEST", "CI"))}
        own = {"ENVKIT_STATE_DIR": str(self.home), "ENVKIT_CACHE_DIR": str(self.home / "cache"), "HOME": str(self.home)}
        modules = os.pathsep.join((str(ROOT), sysconfig.get_path("purelib")))
        return subprocess.Popen(
            argv, cwd=self.folder / self.checkout, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env={**kept, **own, "PYTHONPATH": modules, **self.variables},
        )  # fmt: skip


def _as_user(user: int) -> tuple[str, ...]:
    return ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups") if user else ()


@cache
def python_of(user: int) -> str:
    """Return the path of a Python of this version that the user can run, also as a child of itself.

    The Python of the tests may be in root's home, which other users cannot read.
    """
    again = "import subprocess, sys; subprocess.run([sys.executable, '-c', '']); print(sys.version_info[:2])"
    for python in (sys.executable, "/usr/bin/python3"):
        asked = subprocess.run([*_as_user(user), python, "-c", again], capture_output=True, text=True, check=False)
        if (asked.returncode, asked.stdout.strip()) == (0, str(sys.version_info[:2])):
            return python
    raise AssertionError(f"user {user} may run neither {sys.executable} nor a Python of this version in /usr/bin")
