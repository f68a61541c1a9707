"""Validates programs: rejects a set that is incomplete, not executable, not reachable, or of an unsuitable version."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from envkit.drivers.supply.binaries.catalog import Supply
from envkit.drivers.supply.binaries.files import is_file
from envkit.drivers.supply.binaries.models import Candidate, Found, Refusal, Rejected, Version, Wanted
from envkit.drivers.supply.binaries.versions import Versions


def validate(wanted: Wanted, supply: Supply, candidate: Candidate, versions: Versions) -> Found:
    """Return the candidate's programs if they suit the request, or else raise `Rejected` with the reason."""
    absent = [name for name in supply.required if name not in candidate.programs]
    if absent:
        folder = next((path.parent for path in candidate.programs.values()), "it")
        raise Rejected(f"{folder} has {_words(candidate.programs)} but no {_words(absent)}")
    for name in supply.required:
        _must_run(candidate.programs[name], _reader(wanted, candidate))
    version = candidate.version or versions.of(candidate.programs[supply.main], candidate.environ)
    must_suit(wanted, version, str(candidate.programs[supply.main]))
    found = Found(
        wanted.name,
        version,
        {name: candidate.programs[name] for name in supply.required},
        candidate.source,
        missing=supply.optional,
        environ=candidate.environ,
    )
    return complete(wanted, supply, found, candidate, versions)


def complete(wanted: Wanted, supply: Supply, found: Found, candidate: Candidate, versions: Versions) -> Found:
    """Return the found set with missing programs added from the candidate.

    The result's `refused` has the reason for each program of the candidate that does not suit the set.
    """
    programs, refused, source = dict(found.programs), list(found.refused), found.source
    for name in found.missing:
        if name not in candidate.programs:
            continue
        try:
            _must_go_with(wanted, supply, found, candidate, name, versions)
        except Rejected as error:
            refused.append(Refusal(candidate.source, error.message))
        else:
            programs[name] = candidate.programs[name]
            source += "" if candidate.source == found.source else f"; {name} from {candidate.source}"
    missing = tuple(name for name in found.missing if name not in programs)
    return replace(found, programs=programs, source=source, missing=missing, refused=tuple(refused))


def _must_go_with(
    wanted: Wanted, supply: Supply, found: Found, candidate: Candidate, name: str, versions: Versions
) -> None:
    program = candidate.programs[name]
    _must_run(program, _reader(wanted, candidate))
    if supply.one_minor:
        version = candidate.version or versions.of(program, candidate.environ)
        if version.minor != found.version.minor:
            raise Rejected(
                f"{name} {version} does not match {supply.main} {found.version}: both need the same minor version"
            )


def must_suit(wanted: Wanted, version: Version, subject: str) -> None:
    """Raise `Rejected` if the version is older than the minimum, or its first two numbers are not as requested."""
    if wanted.minimum and not version.at_least(wanted.minimum):
        raise Rejected(
            f"{subject} is {version}, older than {wanted.minimum}, the minimum that the configuration states"
        )
    if wanted.version and version.parts[: len(wanted.version.parts[:2])] != wanted.version.parts[:2]:
        raise Rejected(f"{subject} is {version}, but {wanted.version} was requested")


def _reader(wanted: Wanted, candidate: Candidate) -> int | None:
    """Return the user who must be able to reach the program, or None if that is not necessary.

    It is not necessary for etcd and Kubernetes without extra libraries, because root can open them for the user.
    """
    alone = wanted.name in ("etcd", "kubernetes") and not candidate.environ
    return None if alone else wanted.user


def _must_run(program: Path, user: int | None) -> None:
    if not is_file(program):
        raise Rejected(f"{program} does not exist")
    if not os.access(program, os.X_OK):
        raise Rejected(f"{program} is not executable")
    if user:
        _must_reach(program.resolve(), user)


def _must_reach(program: Path, user: int) -> None:
    """Raise `Rejected` if the rights of owners and of all users do not let the user reach the program.

    It ignores the rights of groups. So it can reject a program that the user can reach, but it never accepts one that
    the user cannot reach.
    """
    for path in (program, *program.parents):
        try:
            facts = path.stat()
        except OSError as error:
            raise Rejected(f"{path}: {error.strerror}") from error
        needed = stat.S_IXUSR if facts.st_uid == user else stat.S_IXOTH
        if not facts.st_mode & needed:
            raise Rejected(f"user {user}, who is to run {program}, has no right to execute or enter {path}")


def _words(names: Mapping[str, Path] | list[str]) -> str:
    return ", ".join(names) or "none of the programs"
