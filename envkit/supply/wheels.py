"""Dependencies of the DataStorage image, fetched by this host: the build itself needs no network.

Wheels for the image's Python and machine are unpacked into a folder of the cache, keyed by the locked
requirements, and copied into the image as they are.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from envkit.commands import CommandFailed, run
from envkit.errors import ImageUnavailable
from envkit.waiting import Cancel

SECONDS = 240.0
"""For fetching about 15 MB of wheels."""

_MACHINES = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}


def python_of(image: str) -> str:
    """The Python version that an image's tag names, `3.12` of `python:3.12-slim`."""
    found = re.search(r":(?:.*?)(3\.\d+)", image)
    if not found:
        raise ImageUnavailable(
            f"the Python version of base image {image} is not known",
            hint="use a tag that begins with it, such as python:3.12-slim",
        )
    return found[1]


def site_folder(
    requirements: Path, base: str, arch: str, cache: Path, report: Callable[[str], None], cancel: Cancel
) -> Path:
    """The folder with everything installed for that image; made once, whole or not at all."""
    from filelock import FileLock

    python, machine = python_of(base), _MACHINES.get(arch, arch)
    key = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    folder = cache / "sites" / f"{key}-py{python}-{machine}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            report(f"fetching wheels for Python {python} on {machine}")
            beside = folder.with_name(f".{folder.name}.new")
            shutil.rmtree(beside, ignore_errors=True)
            _install(requirements, python, machine, beside, cancel)
            beside.rename(folder)
    return folder


def _install(requirements: Path, python: str, machine: str, target: Path, cancel: Cancel) -> None:
    argv = installer(python, machine)
    try:
        run([*argv, "--target", str(target), "-r", str(requirements)], seconds=SECONDS, cancel=cancel)
    except CommandFailed as error:
        raise ImageUnavailable(
            "the DataStorage service's dependencies could not be fetched",
            hint="is the package index reachable? pip's own settings (PIP_INDEX_URL, pip.conf) are used as they are",
            detail=error.output[-3000:],
        ) from error


def installer(python: str, machine: str) -> list[str]:
    """Pip where this Python has it, else uv; both only unpack wheels, nothing of the image's is run."""
    if importlib.util.find_spec("pip"):
        platforms = [f"{tag}_{machine}" for tag in ("manylinux2014", "manylinux_2_17", "manylinux_2_28")]
        flags = [word for platform in platforms for word in ("--platform", platform)]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        return [*pip, "--python-version", python, "--implementation", "cp", *flags, "--only-binary=:all:"]
    uv = os.environ.get("UV") or shutil.which("uv")
    if not uv:
        raise ImageUnavailable(
            "neither pip nor uv is there to fetch the DataStorage service's dependencies",
            hint="install uv, or pip into the environment that runs envkit",
        )
    platform = f"{machine}-manylinux_2_28"
    return [
        uv,
        "pip",
        "install",
        "--quiet",
        "--python-version",
        python,
        "--python-platform",
        platform,
        "--only-binary",
        ":all:",
    ]
