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
    """What every command takes; None and empty mean: not said on the command line."""

    file: str | None = None
    profile: str | None = None
    overlay: tuple[str, ...] = ()
    name: str | None = None
    engine: str | None = None
    lane: str | None = None
    port_offset: int | str | None = None
    """A number, or `auto`."""
    sets: tuple[str, ...] = ()
    json: bool = False
    debug: bool = False
    ci: bool = False
    """Plain lines, also on a terminal."""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def request(self) -> Request:
        """What the configuration is loaded from."""
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
        """The options that choose this environment, as they would be typed again."""
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
        """The command line of a verb for the same environment, to suggest it to the user."""
        return shlex.join([program(), verb, *self.words()])

    def told(self) -> dict[str, Any]:
        """As another process can be told of them; see `heard`."""
        return {**asdict(replace(self, environ={})), "environ": dict(self.environ)}

    @classmethod
    def heard(cls, told: Mapping[str, Any]) -> Flags:
        """The flags that another process told of."""
        return cls(**{**told, "overlay": tuple(told["overlay"]), "sets": tuple(told["sets"])})

    def paths(self) -> Paths:
        """The environment's files, found without loading the whole configuration."""
        from envkit.config.load import identify

        return Paths(state_home(dict(self.environ)), identify(self.request()).name)


def program() -> str:
    """How the user called us, for the commands that messages suggest."""
    name = Path(sys.argv[0]).name.removesuffix(".py")
    return os.environ.get("ENVKIT_PROGRAM") or ("envkit" if name == "__main__" else name)
