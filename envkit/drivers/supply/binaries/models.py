"""What is asked for, what was found, and why something was not used: values without behaviour of their own."""

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
    """Numbers between dots, as many as are known: `16`, `1.34`, `3.5.21`."""

    parts: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Version:
        """`v1.34.1`, `16` or `7.0`; what follows the numbers is ignored. Raises `ValueError` where there are none."""
        found = re.match(r"v?(\d+(?:\.\d+){0,2})", text.strip())
        if not found:
            raise ValueError(f"expected a version such as 7.0 or v1.34.1, not {text!r}")
        return cls(tuple(int(part) for part in found[1].split(".")))

    def at_least(self, other: Version) -> bool:
        """Numbers that are not given count as 0."""
        pairs = list(zip_longest(self.parts, other.parts, fillvalue=0))
        return [mine for mine, _ in pairs] >= [theirs for _, theirs in pairs]

    @property
    def minor(self) -> Version:
        """The first two numbers: what must be equal within one set of Kubernetes binaries."""
        return Version(self.parts[:2])

    def __str__(self) -> str:
        return ".".join(str(part) for part in self.parts)


@dataclass(frozen=True)
class Wanted:
    """A request for programs.

    `path` is what the configuration names: the folder that holds the programs, or the program itself. `version` is
    what would be downloaded; what is here already serves when its minor version is the same. `minimum` refuses older
    ones. `user` is the uid that will run the programs: those that need files which it cannot reach are refused.
    """

    name: Name
    minimum: Version | None = None
    path: str | None = None
    version: Version | None = None
    user: int | None = None


@dataclass(frozen=True)
class Refusal:
    """A source that did not serve, and why."""

    source: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


@dataclass(frozen=True)
class Candidate:
    """Programs seen somewhere, not yet judged; `version` where it is known without asking."""

    source: str
    programs: Mapping[str, Path]
    environ: Mapping[str, str] = field(default_factory=dict)
    version: Version | None = None


@dataclass(frozen=True)
class Found:
    """Programs that will do.

    `source` says from where, for `status`; `missing` names the programs that the set would have and has not, `environ`
    the variables they must be started with, `refused` what was looked at before and did not serve.
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
    """The machine, in the words of Go's releases: `linux`/`darwin`, `amd64`/`arm64`."""

    os: str
    arch: str

    @classmethod
    def this(cls) -> Host:
        """The machine that envkit runs on."""
        machine = os.uname().machine.lower()
        return cls(sys.platform, {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine))

    def __str__(self) -> str:
        return f"{self.os}-{self.arch}"


class Rejected(EnvkitError):
    """This source does not serve; the message says why. Another one may: never the error to show."""


class BinaryUnavailable(EnvironmentFailed):
    """No source can serve; the message lists all that were tried, with their reasons."""

    def __init__(self, wanted: Wanted, refused: tuple[Refusal, ...], hint: str) -> None:
        self.wanted, self.refused = wanted, refused
        lines = "\n".join(f"  - {refusal}" for refusal in refused)
        super().__init__(f"{describe(wanted)} cannot be had here; tried were:\n{lines}", hint=hint)


def describe(wanted: Wanted) -> str:
    """`postgres >= 15`, `kubernetes 1.34`."""
    version = f" {wanted.version}" if wanted.version else ""
    minimum = f" >= {wanted.minimum}" if wanted.minimum else ""
    return f"{wanted.name}{version}{minimum}"
