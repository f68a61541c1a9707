"""Reads the version of a program: starts the program once, and caches the version while the file is unchanged."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from envkit.base.errors import EnvironmentFailed
from envkit.base.owned import own_folder
from envkit.base.paths import write_private
from envkit.drivers.supply.binaries.catalog import VERSION_ARGV
from envkit.drivers.supply.binaries.models import Rejected, Version

SECONDS = 15.0
"""Time limit for one `--version`: it takes 0.1 s, or some seconds on a busy host with a cold disk cache."""

_NUMBERS = re.compile(r"(?<![\w.])v?=?v?(\d+\.\d+(?:\.\d+)?)")
"""Finds versions such as `v=7.0.15`, `(PostgreSQL) 16.14`, `Version: 3.4.23`, `Kubernetes v1.20.2`."""


def version_in(output: str) -> Version:
    """Return the first version in a program's output. Raises `ValueError` if there is none."""
    found = _NUMBERS.search(output)
    if not found:
        raise ValueError(f"no version in {output[:80]!r}")
    return Version.parse(found[1])


@dataclass(frozen=True)
class Versions:
    """Reads the versions of programs; caches them in `folder` by path, size and modification time of the file."""

    folder: Path
    environ: Mapping[str, str]

    def of(self, program: Path, extra: Mapping[str, str]) -> Version:
        """Return the version that the program prints, from the cache if possible; `extra` adds variables.

        Raises `Rejected` if the program does not run or prints no version.
        """
        note = self.folder / _key(program)
        with contextlib.suppress(OSError, ValueError):
            return Version.parse(note.read_text())
        version = self.ask(program, extra)
        with contextlib.suppress(OSError, EnvironmentFailed):  # without the cache the next call only takes longer
            _remember(note, str(version))
        return version

    def ask(self, program: Path, extra: Mapping[str, str]) -> Version:
        """Start the program and return the version that it prints, without the cache.

        Raises `Rejected` if the program does not run or prints no version.
        """
        from envkit.base.commands import run

        argv = [str(program), *VERSION_ARGV.get(program.name, ("--version",))]
        try:
            done = run(argv, seconds=SECONDS, env={**self.environ, **extra}, check=False, cwd="/")
        except (EnvironmentFailed, OSError) as error:
            raise Rejected(f"{program} does not run here: {error}") from error
        if done.code != 0:
            raise Rejected(f"{program} does not run here (ended with {done.code}): {_last_line(done.output)}")
        try:
            return version_in(done.output)
        except ValueError as error:
            raise Rejected(f"{program} does not print its version: {error}") from error


def _last_line(output: str) -> str:
    return (output.strip().splitlines() or ["no output"])[-1][:200]


def _key(program: Path) -> str:
    try:
        real = program.resolve(strict=True)
        facts = real.stat()
    except OSError as error:
        raise Rejected(f"{program}: {error.strerror or error}") from error
    identity = f"{program}\0{real}\0{facts.st_mtime_ns}\0{facts.st_size}"
    return hashlib.sha256(identity.encode()).hexdigest()[:24]


def _remember(note: Path, text: str) -> None:
    own_folder(note.parent)
    write_private(note, text)
