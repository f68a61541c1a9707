"""Provides the engine for one command of envkit. If necessary, it starts Podman's API service for this command."""

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
"""Seconds without a call after which the service ends by itself, in case envkit was killed and could not end it."""

START_SECONDS = 15.0


@contextmanager
def engine(wanted: str, environ: Mapping[str, str], paths: Paths, stream: Stream) -> Iterator[Endpoint]:
    """Yield an engine that answers; start Podman's API service if no other engine answers.

    Raises `EngineError` with every address that was tried if there is no engine.
    """
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
    """Yield the environment variables with which envkit finds all engines.

    If no Podman answers and its command line is installed, it first starts Podman's API service, unless `wanted` is
    docker.
    """
    endpoints, _ = find_all("podman", environ)
    podman = startable("podman", environ)
    if endpoints or podman is None or wanted == "docker":
        yield environ
        return
    with _service(podman, paths.home / "podman.sock", stream, EngineError("")) as url:
        yield {**environ, "CONTAINER_HOST": url}


def startable(wanted: str, environ: Mapping[str, str]) -> str | None:
    """Return the path of Podman's command line if it can serve the API on this host, or else None.

    It can serve the API only on Linux; on other systems Podman's command line is a client of a virtual machine. Returns
    None as well if the user wants Docker, or wants `auto` and has set an engine's address.
    """
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
        cwd=socket.parent,  # conmon writes an empty file `oom` there when a container runs out of memory
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
