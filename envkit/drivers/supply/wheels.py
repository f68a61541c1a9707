"""Fetches the dependencies of the DataStorage service on this host; the build of its image then needs no network.

envkit unpacks wheels for the image's Python and machine into a folder of the cache. The folder's name has a digest of
the locked requirements. The build copies the folder into the image.
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
    """Return the Python version in an image's tag, such as `3.12` for `python:3.12-slim`.

    Raises `ImageUnavailable` if the tag has no Python version.
    """
    found = re.search(r":(?:.*?)(3\.\d+)", image)
    if not found:
        raise ImageUnavailable(
            f"the Python version of base image {image} is not known",
            hint="use a tag that has the version, such as python:3.12-slim",
        )
    return found[1]


def site_folder(
    requirements: Path, base: str, arch: str, cache: Path, report: Callable[[str], None], cancel: Cancel
) -> Path:
    """Return the folder with the dependencies for a base image; make the folder if it is missing or damaged.

    The folder gets its name only when it is complete.
    """
    python, machine = python_of(base), _MACHINES.get(arch, arch)
    key = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    folder = cache / "sites" / f"{key}-py{python}-{machine}"
    _fetch(folder, Installation(python, machine), requirements, report, cancel)
    return folder


def _fetch(
    folder: Path, wanted: Installation, requirements: Path, report: Callable[[str], None], cancel: Cancel
) -> None:
    """Install into the folder unless the folder is intact; parallel calls install only once."""
    from filelock import FileLock

    own_folder(folder.parent)
    with FileLock(f"{folder}.lock", timeout=SECONDS, mode=0o600):
        if not is_intact(folder):
            report(f"fetching wheels for {folder.name.partition('-')[2]}")
            beside = folder.with_name(f".{folder.name}.new")
            shutil.rmtree(beside, ignore_errors=True)
            own_folder(beside, 0o700)  # other users cannot enter until it is complete
            _install(wanted, requirements, beside, cancel)
            open_to_all(beside)
            shutil.rmtree(folder, ignore_errors=True)
            beside.rename(folder)
            record(folder)


def site_here(cache: Path) -> Path:
    """Return the path of the folder for this Python's dependencies; the folder does not have to exist."""
    key = hashlib.sha256(OWN_REQUIREMENTS.read_bytes()).hexdigest()[:12]
    return cache / "sites" / f"{key}-here-{sys.implementation.cache_tag}"


def fetch_site_here(cache: Path, report: Callable[[str], None], cancel: Cancel) -> None:
    """Make the folder of `site_here` with wheels for this host, unless it is intact.

    The folder gets its name only when it is complete.
    """
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
            hint="check that the package index can be reached; envkit uses pip's settings (PIP_INDEX_URL, pip.conf)",
            detail=error.output[-3000:],
        ) from error
