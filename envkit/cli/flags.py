"""The options that every command takes."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envkit.base.paths import Paths, state_home

if TYPE_CHECKING:
    from envkit.config.load import Request


@dataclass(frozen=True)
class Flags:
    """The options that every command takes. None or empty means that the command line does not have the option."""

    file: str | None = None
    profile: str | None = None
    overlay: tuple[str, ...] = ()
    name: str | None = None
    engine: str | None = None
    lane: str | None = None
    port_offset: int | str | None = None
    """A whole number, or `auto`."""
    sets: tuple[str, ...] = ()
    json: bool = False
    debug: bool = False
    ci: bool = False
    """Whether to print plain lines even on a terminal."""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def request(self) -> Request:
        """Return the request from which the configuration is loaded."""
        from envkit.config.load import Request

        given: dict[str, Any] = {
            "file": self.file,
            "profile": self.profile,
            "overlays": self.overlay,
            "name": self.name,
            "engine": self.engine,
            "lane": self.lane,
            "port_offset": self.port_offset,
            "sets": self.sets,
        }
        return Request.of(self.environ, Path.cwd(), **given)

    def words(self) -> list[str]:
        """Return the options that choose this environment, as the user would type them."""
        single = {
            "--file": self.file,
            "--profile": self.profile,
            "--name": self.name,
            "--engine": self.engine,
            "--lane": self.lane,
            "--port-offset": self.port_offset,
        }
        words = [word for option, value in single.items() if value is not None for word in (option, str(value))]
        words += [word for overlay in self.overlay for word in ("--overlay", overlay)]
        return words + [word for one in self.sets for word in ("--set", one)]

    def command(self, verb: str) -> str:
        """Return the command line of a verb for the same environment, to suggest it to the user."""
        return shlex.join([program(), verb, *self.words()])

    def told(self) -> dict[str, Any]:
        """Return the flags as JSON data for another process; `heard` reads them."""
        return {**asdict(replace(self, environ={})), "environ": dict(self.environ)}

    @classmethod
    def heard(cls, told: Mapping[str, Any]) -> Flags:
        """Return the flags from the data of another process; `told` writes them."""
        return cls(**{**told, "overlay": tuple(told["overlay"]), "sets": tuple(told["sets"])})

    def paths(self) -> Paths:
        """Return the paths of the environment's files, without loading the whole configuration."""
        from envkit.config.load import identify

        return Paths(state_home(dict(self.environ)), identify(self.request()).name)


def program() -> str:
    """Return the name by which the user called the program, for commands in messages."""
    name = Path(sys.argv[0]).name.removesuffix(".py")
    return os.environ.get("ENVKIT_PROGRAM") or ("envkit" if name == "__main__" else name)
