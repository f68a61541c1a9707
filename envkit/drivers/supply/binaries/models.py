"""Plain values: the programs that are wanted, the programs that were found, and the reasons for each rejection."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Literal

from envkit.base.errors import EnvironmentFailed, EnvkitError

Name = Literal["redis", "postgres", "etcd", "kubernetes"]


@dataclass(frozen=True)
class Version:
    """A version of one to three numbers: `16`, `1.34`, `3.5.21`."""

    parts: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Version:
        """Return the version at the start of a text such as `v1.34.1` or `7.0-rc1`; ignore what follows the numbers.

        Raises `ValueError` if the text does not start with a number.
        """
        found = re.match(r"v?(\d+(?:\.\d+){0,2})", text.strip())
        if not found:
            raise ValueError(f"expected a version such as 7.0 or v1.34.1, not {text!r}")
        return cls(tuple(int(part) for part in found[1].split(".")))

    def at_least(self, other: Version) -> bool:
        """Return whether this version equals the other or is newer; a missing number counts as 0."""
        pairs = list(zip_longest(self.parts, other.parts, fillvalue=0))
        return [mine for mine, _ in pairs] >= [theirs for _, theirs in pairs]

    @property
    def minor(self) -> Version:
        """The version's first two numbers. All programs of one Kubernetes must have the same."""
        return Version(self.parts[:2])

    def __str__(self) -> str:
        return ".".join(str(part) for part in self.parts)


@dataclass(frozen=True)
class Wanted:
    """A request for programs.

    `path` comes from the configuration: the folder of the programs, or the main program itself. `version` is the
    version to download; envkit also accepts a program on this host if its first two numbers are the same. envkit
    rejects programs older than `minimum`. `user` is the uid of the user who will run the programs; envkit rejects
    programs that this user has no right to reach, except etcd and Kubernetes, which root opens for the user.
    """

    name: Name
    minimum: Version | None = None
    path: str | None = None
    version: Version | None = None
    user: int | None = None


@dataclass(frozen=True)
class Refusal:
    """A source that was rejected, with the reason."""

    source: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


@dataclass(frozen=True)
class Candidate:
    """Programs that a source has, before validation. `version` is set if it is known without starting a program."""

    source: str
    programs: Mapping[str, Path]
    environ: Mapping[str, str] = field(default_factory=dict)
    version: Version | None = None


@dataclass(frozen=True)
class Found:
    """Programs that passed validation.

    `source` names where the programs come from, for `status`. `missing` names the optional programs of the set that
    were not found. `environ` has the environment variables that the programs need. `refused` has the sources that
    envkit rejected before it found these programs, or while it completed the set.
    """

    name: Name
    version: Version
    programs: Mapping[str, Path]
    source: str
    missing: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    refused: tuple[Refusal, ...] = ()


@dataclass(frozen=True)
class Host:
    """A machine's system and architecture, named as in Go's releases: `linux`/`darwin`, `amd64`/`arm64`."""

    os: str
    arch: str

    @classmethod
    def this(cls) -> Host:
        """Return the machine on which envkit runs."""
        machine = os.uname().machine.lower()
        return cls(sys.platform, {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine))

    def __str__(self) -> str:
        return f"{self.os}-{self.arch}"


class Rejected(EnvkitError):
    """A source cannot supply the programs; the message has the reason. Callers then try the next source."""


class BinaryUnavailable(EnvironmentFailed):
    """No source can supply the programs; the message lists every source with the reason."""

    def __init__(self, wanted: Wanted, refused: tuple[Refusal, ...], hint: str) -> None:
        self.wanted, self.refused = wanted, refused
        lines = "\n".join(f"  - {refusal}" for refusal in refused)
        super().__init__(f"{describe(wanted)} cannot be had here; envkit tried:\n{lines}", hint=hint)


def describe(wanted: Wanted) -> str:
    """Return the request as text, such as `postgres >= 15` or `kubernetes 1.34`."""
    version = f" {wanted.version}" if wanted.version else ""
    minimum = f" >= {wanted.minimum}" if wanted.minimum else ""
    return f"{wanted.name}{version}{minimum}"
