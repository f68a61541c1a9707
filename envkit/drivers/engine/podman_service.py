"""The engine for one command: found, or, where only Podman's command line is installed, its API started for the run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from envkit.base.errors import EngineError
from envkit.base.events import Stream
from envkit.base.paths import Paths, make_folder
from envkit.base.waiting import until
from envkit.drivers.engine.discovery import ask, find, find_all
from envkit.drivers.engine.endpoint import Endpoint

IDLE_SECONDS = 600
"""The service ends by itself after this long without a call, should envkit be killed before it can end it."""

START_SECONDS = 15.0


@contextmanager
def engine(wanted: str, environ: Mapping[str, str], paths: Paths, stream: Stream) -> Iterator[Endpoint]:
    """An engine that answers. Raises `EngineError` with everything that was asked when there is none."""
    try:
        endpoint = find(wanted, environ)
    except EngineError as error:
        podman = startable(wanted, environ)
        if podman is None:
            raise
        with _service(podman, paths.home / "podman.sock", stream, error) as url:
            said = ask(url)
            version, arch = str(said.get("Version", "?")), str(said.get("Arch") or "amd64")
            rootless = bool(os.getuid())
            yield Endpoint("podman", url, version, "started for this run", rootless, default=True, arch=arch)
        return
    yield endpoint


@contextmanager
def serving(wanted: str, environ: Mapping[str, str], paths: Paths, stream: Stream) -> Iterator[Mapping[str, str]]:
    """An environment in which every engine that can answer does: Podman's API is served where only its CLI is there."""
    endpoints, _ = find_all("podman", environ)
    podman = startable("podman", environ)
    if endpoints or podman is None or wanted == "docker":
        yield environ
        return
    with _service(podman, paths.home / "podman.sock", stream, EngineError("")) as url:
        yield {**environ, "CONTAINER_HOST": url}


def startable(wanted: str, environ: Mapping[str, str]) -> str | None:
    """Podman's command line, where it can serve its API on this very machine (elsewhere it is a client of a VM)."""
    import sys

    explicit = environ.get("DOCKER_HOST") or environ.get("CONTAINER_HOST")
    if wanted not in ("auto", "podman") or sys.platform != "linux" or (wanted == "auto" and explicit):
        return None
    return shutil.which("podman", path=environ.get("PATH"))


@contextmanager
def _service(podman: str, socket: Path, stream: Stream, error: EngineError) -> Iterator[str]:
    make_folder(socket.parent)
    url = f"unix://{socket}"
    stream.note(f"Podman's API service is not running; serving it at {url} for this run")
    argv = [podman, "system", "service", f"--time={IDLE_SECONDS}", url]
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        cwd=socket.parent,  # conmon drops an empty file `oom` there when a container runs out of memory
    )  # fmt: skip

    def attempt() -> str | None:
        if process.poll() is not None:
            said = process.stderr.read().decode(errors="replace") if process.stderr else ""
            raise EngineError(f"`podman system service` ended with {process.returncode}", detail=said, hint=error.hint)
        try:
            ask(url)
        except (OSError, ValueError) as not_yet:
            return str(not_yet)
        return None

    try:
        until(attempt, what="Podman's API service to answer", seconds=START_SECONDS)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stderr:
            process.stderr.close()
        socket.unlink(missing_ok=True)
