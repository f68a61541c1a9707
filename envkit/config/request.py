"""The user's request, from the command line and `ENVKIT_*` variables. envkit loads a configuration for a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envkit.base.ci_platform import in_job
from envkit.base.errors import UsageError

if TYPE_CHECKING:
    from envkit.base.ci_job import Identity

COMMAND_LINE = {
    "name": ("--name", "ENVKIT_NAME"),
    "engine": ("--engine", "ENVKIT_ENGINE"),
    "lane": ("--lane", "ENVKIT_LANE"),
    "port_offset": ("--port-offset", "ENVKIT_PORT_OFFSET"),
}
"""Keys of the environment that a flag or a variable can set, each with its flag and its variable."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The configuration to load, and the values that override it.

    `port_offset` can be the unchecked text of a variable; `load` validates it.
    """

    cwd: Path
    environ: Mapping[str, str] = field(repr=False)
    file: str | None = None
    profile: str | None = None
    overlays: tuple[str, ...] = ()
    name: str | None = None
    engine: str | None = None
    lane: str | None = None
    port_offset: int | str | None = None
    sets: tuple[str, ...] = ()
    job: Identity | None = None
    """The CI job that runs this process; it determines the name and the port offset unless the user sets them."""

    @classmethod
    def of(cls, environ: Mapping[str, str], cwd: Path, **flags: Any) -> Request:
        """Return the request from the flags; `ENVKIT_FILE`, `ENVKIT_PROFILE` ... replace flags that are not given.

        Raises `UsageError` if the user gives both a file and a profile, or a blank value.
        """
        _refuse_blank(flags, environ)
        given = {key: value for key, value in flags.items() if value not in (None, "", (), [])}
        for key in ("overlays", "sets"):
            given[key] = tuple(given.get(key, ()))
        _one_choice(given, environ)
        for key, (_, variable) in COMMAND_LINE.items():
            if key not in given and environ.get(variable):
                given[key] = environ[variable]
        given["overlays"] = given["overlays"] or _split(environ.get("ENVKIT_OVERLAY", ""))
        return cls(cwd=Path(cwd), environ=environ, job=_job(environ), **given)

    def asked(self) -> dict[str, str]:
        """Return the choices that change services, by key, as the user gave them: `--overlay a`, `ENVKIT_OVERLAY=a`.

        The name and the port offset are not included. The values of `--set` are hidden.
        """
        values = {
            "file": ("--file", "ENVKIT_FILE", self.file),
            "profile": ("--profile", "ENVKIT_PROFILE", self.profile),
            "overlay": ("--overlay", "ENVKIT_OVERLAY", ",".join(self.overlays)),
            "engine": (*COMMAND_LINE["engine"], self.engine),
            "lane": (*COMMAND_LINE["lane"], self.lane),
        }
        said = {}
        for key, (flag, variable, value) in values.items():
            if value:
                said[key] = f"{variable}={value}" if self.environ.get(variable) == value else f"{flag} {value}"
        sets = [f"--set {one.partition('=')[0]}=..." for one in self.sets]
        return said | ({"set": " ".join(sets)} if sets else {})

    def origin(self, key: str) -> str:
        """Return the flag or the variable that set `key`, for messages."""
        flag, variable = COMMAND_LINE[key]
        return variable if str(getattr(self, key)) == self.environ.get(variable) else flag


CHOOSING = {
    "name": ("--name", "ENVKIT_NAME"),
    "file": ("-f", "ENVKIT_FILE"),
    "profile": ("--profile", "ENVKIT_PROFILE"),
}
"""Flags and variables that select the environment."""


def _refuse_blank(flags: Mapping[str, Any], environ: Mapping[str, str]) -> None:
    """Raise `UsageError` for a blank choice, with which envkit would select the wrong environment."""
    for key, (flag, variable) in CHOOSING.items():
        said = (flag, flags.get(key)) if flags.get(key) is not None else (variable, environ.get(variable))
        reject_blank(*said)


def reject_blank(origin: str, value: str | None) -> None:
    """Raise `UsageError` if `value` is given but blank; `origin` is its flag or variable."""
    if value is not None and not str(value).strip():
        raise UsageError(f"{origin} is blank", hint=f"was a variable empty? give {origin} a value, or leave it out")


def _job(environ: Mapping[str, str]) -> Identity | None:
    if not in_job(environ):
        return None
    from envkit.base.ci_job import identity

    return identity(environ)


def _one_choice(given: dict[str, Any], environ: Mapping[str, str]) -> None:
    if "file" in given or "profile" in given:
        chosen = (given.get("file"), given.get("profile"))
        names = "-f and --profile"
    else:
        chosen = (environ.get("ENVKIT_FILE") or None, environ.get("ENVKIT_PROFILE") or None)
        names = "ENVKIT_FILE and ENVKIT_PROFILE"
    if all(chosen):
        raise UsageError(f"{names} each choose the configuration", hint="give one of them")
    given["file"], given["profile"] = chosen


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
