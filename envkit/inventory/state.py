"""The state record: a cache of what was brought up, so that `env` answers at once. Losing it loses nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from envkit.base.owner import UNKNOWN, Owner, of_data
from envkit.base.paths import Paths, write_private
from envkit.planning.origin import Inputs

SCHEMA = 1

PAUSED = "paused"
"""A record's `status` while everything of the environment is held; `up` otherwise."""


@dataclass(frozen=True)
class Renewal:
    """A token that ends: the identity it belongs to, and the variable that carries it."""

    identity: str
    namespace: str
    account: str
    seconds: int
    audiences: tuple[str, ...] = ()
    variable: str = ""


@dataclass(frozen=True)
class Carried:
    """A file inside a service that holds tokens: its text, a mark in place of each (`planning.values.placeholder`)."""

    service: str
    path: str
    content: str = field(repr=False)
    identities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """What the last successful `up` left: `variables` are what `env` prints, `ports` what must accept connections."""

    name: str
    root: str
    files: tuple[str, ...] = ()
    engine: str = ""
    engine_url: str = ""
    lane: str = ""
    port_offset: int = 0
    status: str = "up"
    variables: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    done: Mapping[str, str] = field(default_factory=dict)
    tokens: tuple[Renewal, ...] = ()
    expires: float = 0.0
    carried: tuple[Carried, ...] = ()
    selected: tuple[str, ...] = ()
    """What was asked for and what that needs (`up redis`), by name; empty when it was everything."""
    parts: int = 0
    """How many services, the cluster among them, there would be of everything; 0 when it was everything."""
    owner: Owner = UNKNOWN
    job: str = ""
    """The CI job that it was made for; empty for none."""
    offset_chosen: bool = False
    """Whether envkit chose the port offset (`--port-offset auto`)."""
    asked: Mapping[str, str] = field(default_factory=dict)
    """The options that chose this environment, each as it was given: a flag with its value, or a variable."""
    made: Mapping[str, Inputs] = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def held_by(self) -> Owner:
        """Who brought it up; records of earlier versions name the folder alone."""
        return self.owner if self.owner.known else Owner(checkout=self.root)

    @property
    def standing(self) -> str:
        """`up`, or `up in part (1 of 5)`: the same words in every command."""
        return standing(len(self.selected), self.parts) if self.selected else "up"

    def part(self) -> dict[str, Any] | None:
        """The same for a program; None when everything is up."""
        return part(self.selected, self.parts) if self.selected else None


def standing(count: int, parts: int) -> str:
    """How an environment is called of which some services are up, and nothing else was asked for."""
    return f"up in part ({count} of {parts})"


def part(selected: Iterable[str], parts: int) -> dict[str, Any]:
    """What is up, by name and number, and of how many."""
    names = sorted(selected)
    return {"up": len(names), "of": parts, "selected": names}


@dataclass(frozen=True)
class Begun:
    """What an `up` wrote down before its first effect: who it is, and the engine that may have something of it."""

    owner: Owner = UNKNOWN
    engine: str = ""
    engine_url: str = ""


def begin(paths: Paths, begun: Begun) -> None:
    """Write it into the environment's folder, which it marks as the owner's."""
    if read_begun(paths) != begun:
        paths.make()
        write_private(paths.begun, json.dumps(asdict(begun)))


def read_begun(paths: Paths) -> Begun | None:
    """What the last `up` that changed anything wrote down, or None."""
    try:
        raw: dict[str, Any] = json.loads(paths.begun.read_text())
        return Begun(of_data(raw["owner"]), str(raw["engine"]), str(raw["engine_url"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def read(paths: Paths) -> Record | None:
    """The record, or None when there is none that this version understands."""
    try:
        raw: dict[str, Any] = json.loads(paths.state.read_text())
        if raw.get("schema") != SCHEMA:
            return None
        tokens = tuple(Renewal(**{**row, "audiences": tuple(row["audiences"])}) for row in raw.pop("tokens", ()))
        carried = tuple(Carried(**{**row, "identities": tuple(row["identities"])}) for row in raw.pop("carried", ()))
        owner = of_data(raw.pop("owner", {}))
        lists = {name: tuple(raw.get(name, ())) for name in ("files", "selected")}
        made = {name: Inputs(**row) for name, row in raw.pop("made", {}).items()}
        return Record(**{**raw, **lists, "tokens": tokens, "carried": carried, "owner": owner, "made": made})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def write(paths: Paths, record: Record) -> None:
    """Replace the record; it holds secrets, so it is the user's alone."""
    paths.make()
    write_private(paths.state, json.dumps(asdict(record), indent=1))


def names(home: Path) -> list[str]:
    """Environments that have a folder here."""
    return sorted(path.parent.name for path in home.glob("*/state.json"))
