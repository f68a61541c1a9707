"""A user at a shell with one environment. It has its own home, state folder, name and ports."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.support.engines import Engine

ROOT = Path(__file__).resolve().parents[2]
SENTINEL = "# the user's own, not to be touched\n"
OWN = (".kube/config", ".docker/config.json")
"""Files of the user that envkit and its tools could overwrite by mistake."""


@dataclass(frozen=True)
class Said:
    """The result of a command. Its code is that of a shell: 128+N after signal N."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str
    seconds: float

    @property
    def json(self) -> Any:
        """Return standard output, parsed as JSON."""
        return json.loads(self.out)

    def ok(self) -> Said:
        """Return this result if the code is 0; else fail the test and show all output."""
        assert self.code == 0, str(self)
        return self

    def __str__(self) -> str:
        return f"{' '.join(self.argv)} ended with {self.code} after {self.seconds:.1f} s\n{self.out}\n--\n{self.err}"


class Running:
    """A command that runs in the background."""

    def __init__(self, argv: tuple[str, ...], folder: Path, cwd: Path, environ: Mapping[str, str]) -> None:
        self.argv, self.began = argv, time.monotonic()
        stem = folder / f"said-{uuid.uuid4().hex}"
        self._paths = (stem.with_suffix(".out"), stem.with_suffix(".err"))
        with self._paths[0].open("wb") as out, self._paths[1].open("wb") as err:
            self.process = subprocess.Popen(
                argv, cwd=cwd, env=dict(environ), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                start_new_session=True,
            )  # fmt: skip

    def send(self, signum: int) -> None:
        """Send a signal only to the process of envkit, as a CI runner or `kill` does."""
        if self.process.poll() is None:
            self.process.send_signal(signum)

    def err(self) -> str:
        """Return standard error so far."""
        return self._paths[1].read_text(errors="replace")

    def out(self) -> str:
        """Return standard output so far."""
        return self._paths[0].read_text(errors="replace")

    def wait(self, seconds: float = 240.0) -> Said:
        """Wait for the end and return the result. A command that exceeds `seconds` is killed, and the test fails."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(
                f"{self.argv} did not end in {seconds} s; it said:\n{self.out()}\n{self.err()}"
            ) from None
        took = time.monotonic() - self.began
        return Said(self.argv, code if code >= 0 else 128 - code, self.out(), self.err(), took)


@dataclass
class Box:
    """One environment, and functions that run envkit's commands on it."""

    engine: Engine
    name: str
    folder: Path
    flags: tuple[str, ...] = ()
    cwd: Path = ROOT
    ports: tuple[int, ...] = ()
    started: list[Running] = field(default_factory=list)
    wanted_engine: str = ""

    def __post_init__(self) -> None:
        for name in OWN:
            path = self.home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_text("{}\n" if name.endswith(".json") else SENTINEL)

    @property
    def home(self) -> Path:
        """The path of the user's home."""
        return self.folder / "home"

    @property
    def state(self) -> Path:
        """The path of the state folder, `$ENVKIT_STATE_DIR`."""
        return self.folder / "state"

    def environ(self, **more: str) -> dict[str, str]:
        """Return the shell's variables and `more`, without other variables of envkit and kind. Tests share caches."""
        plain = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("ENVKIT_", "KIND_", "KUBE", "DOCKER_C", "PYTEST", "XDG_STATE", "GITHUB_", "GITLAB_"))
        }
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        mine = {
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(cache),
            "ENVKIT_STATE_DIR": str(self.state),
            "ENVKIT_OVERLAY": self.engine.overlay,
        }
        return {**plain, **mine, **more}

    def argv(self, verb: str, *words: str) -> tuple[str, ...]:
        """Return the command line of a command."""
        return (
            str(ROOT / "dev"),
            verb,
            "-e",
            self.wanted_engine or self.engine.name,
            "-n",
            self.name,
            *self.flags,
            *words,
        )

    def start(self, verb: str, *words: str, **environ: str) -> Running:
        """Start a command in the background."""
        running = Running(self.argv(verb, *words), self.folder, self.cwd, self.environ(**environ))
        self.started.append(running)
        return running

    def __call__(self, verb: str, *words: str, seconds: float = 240.0, **environ: str) -> Said:
        """Run a command and return its result."""
        return self.start(verb, *words, **environ).wait(seconds)

    def variables(self) -> dict[str, str]:
        """Return the variables that `env` prints."""
        found: dict[str, str] = self("env", "--format", "json").ok().json
        return found

    def plan(self, *words: str) -> dict[str, tuple[str, str]]:
        """Return what `up` would do: action and reason for each step."""
        return {row["step"]: (row["action"], row["reason"]) for row in self("plan", "--json", *words).ok().json}

    def ids(self) -> dict[str, str]:
        """Return the container ids by service."""
        return self.engine.ids(self.name)

    # Cleanup

    def left(self, volumes: Iterable[str] = ()) -> list[str]:
        """Return all that is left of the environment on this machine. `volumes` are those that its containers had."""
        found = [f"container {row['Name']}" for row in self.engine.rows(self.name)]
        found += [f"network {name}" for name in self.engine.networks_of(self.name)]
        found += [f"volume {name}" for name in self.engine.existing(set(volumes))]
        return found + self.left_on_the_host()

    def left_on_the_host(self) -> list[str]:
        """Return the processes, open ports and files that are left of the environment."""
        found = [f"process {line}" for line in self._processes()]
        found += [f"port {port}" for port in self.ports if not bindable(port)]
        folder = self.state / self.name
        return found + ([f"file {path}" for path in (folder, *folder.rglob("*"))] if folder.exists() else [])

    def _processes(self) -> list[str]:
        """Return processes with the environment's marker, or with its state folder as an argument (kind, Podman)."""
        found = []
        for process in psutil.process_iter():
            try:
                words = process.cmdline()
                if process.name() == "aardvark-dns":
                    continue  # a Podman process for all containers; it has the variables of the command that started it
                if process.environ().get("ENVKIT_ENV") == self.name or any(str(self.state) in word for word in words):
                    found.append(f"{process.pid} {' '.join(words)}")
            except psutil.Error:
                continue
        return found

    def untouched(self) -> None:
        """Check that the user's own files are unchanged."""
        for name in OWN:
            assert (self.home / name).read_text() == ("{}\n" if name.endswith(".json") else SENTINEL), name
        others = {str(path.relative_to(self.home)) for path in self.home.rglob("*") if path.is_file()} - set(OWN)
        assert not {name for name in others if name.startswith((".kube", ".docker"))}, others

    def close(self) -> list[str]:
        """Remove everything, even after errors, and return what `down` left."""
        for running in self.started:
            if running.process.poll() is None:
                os.killpg(running.process.pid, signal.SIGKILL)
                running.process.wait()
        if not self.left():
            return []
        volumes = self.engine.volumes_of(self.name)
        said = self("down")
        left = self.left(volumes)
        if said.code or left:
            self.engine.sweep(self.name)
            left.append(str(said))
        return left


Small = Callable[..., Box]
"""A function that creates an environment from the text of a configuration; see the fixture `small`."""


def bindable(port: int) -> bool:
    """Return whether no process listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def eventually(check: Any, seconds: float = 10.0) -> Any:
    """Call `check` until it returns a true value or `seconds` have passed; return its last value."""
    deadline = time.monotonic() + seconds
    while not (answer := check()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return answer
