"""Dependencies of the DataStorage image, fetched by this host: the build itself needs no network.

Wheels for the image's Python and machine are unpacked into a folder of the cache, keyed by the locked
requirements, and copied into the image as they are.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from envkit.base.commands import CommandFailed
from envkit.base.errors import ImageUnavailable, ToolMissing
from envkit.base.owned import own_folder
from envkit.base.paths import PACKAGE
from envkit.base.waiting import Cancel
from envkit.drivers.supply.sealed import is_intact, open_to_all, record
from envkit.drivers.supply.wheel_installer import SECONDS, Installation

OWN_REQUIREMENTS = PACKAGE / "datastorage" / "requirements.txt"

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
    python, machine = python_of(base), _MACHINES.get(arch, arch)
    key = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    folder = cache / "sites" / f"{key}-py{python}-{machine}"
    _fetch(folder, Installation(python, machine), requirements, report, cancel)
    return folder


def _fetch(
    folder: Path, wanted: Installation, requirements: Path, report: Callable[[str], None], cancel: Cancel
) -> None:
    """Install into the folder, once, whoever asks at the same time."""
    from filelock import FileLock

    own_folder(folder.parent)
    with FileLock(f"{folder}.lock", timeout=SECONDS, mode=0o600):
        if not is_intact(folder):
            report(f"fetching wheels for {folder.name.partition('-')[2]}")
            beside = folder.with_name(f".{folder.name}.new")
            shutil.rmtree(beside, ignore_errors=True)
            own_folder(beside, 0o700)  # closed to others until it is whole
            _install(wanted, requirements, beside, cancel)
            open_to_all(beside)
            shutil.rmtree(folder, ignore_errors=True)
            beside.rename(folder)
            record(folder)


def site_here(cache: Path) -> Path:
    """The folder with everything installed for this very Python; `is_intact` tells whether it is there."""
    key = hashlib.sha256(OWN_REQUIREMENTS.read_bytes()).hexdigest()[:12]
    return cache / "sites" / f"{key}-here-{sys.implementation.cache_tag}"


def fetch_site_here(cache: Path, report: Callable[[str], None], cancel: Cancel) -> None:
    """Make that folder, whole or not at all; this host's own wheels, whatever system it is."""
    _fetch(site_here(cache), Installation(bytecode=True), OWN_REQUIREMENTS, report, cancel)


def _install(installation: Installation, requirements: Path, target: Path, cancel: Cancel) -> None:
    try:
        installation.run(requirements, target, cancel)
    except ToolMissing as error:
        raise ImageUnavailable(
            "neither pip nor uv is there to fetch the DataStorage service's dependencies",
            hint="install uv, or pip into the environment that runs envkit",
        ) from error
    except CommandFailed as error:
        raise ImageUnavailable(
            "the DataStorage service's dependencies could not be fetched",
            hint="is the package index reachable? pip's own settings (PIP_INDEX_URL, pip.conf) are used as they are",
            detail=error.output[-3000:],
        ) from error
