"""The state record: a cache of what the last `up` brought up, so that `env` is fast.

If the file is lost, every other command still finds the environment by its labels.
"""

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
"""The `status` of a record while the environment is paused. If it is not paused, the status is `up`."""


@dataclass(frozen=True)
class Renewal:
    """What envkit needs to renew a token: its identity, lifetime in seconds, audiences, and exported variable."""

    identity: str
    namespace: str
    account: str
    seconds: int
    audiences: tuple[str, ...] = ()
    variable: str = ""


@dataclass(frozen=True)
class Carried:
    """A file in a service that contains tokens.

    `content` has a placeholder in place of each token (`planning.values.placeholder`).
    """

    service: str
    path: str
    content: str = field(repr=False)
    identities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """Facts about what the last successful `up` brought up.

    `env` prints `variables`, and checks that each of `ports` accepts connections.
    """

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
    """Names of the requested services (`up redis`) and of what they need; empty if the user requested everything."""
    parts: int = 0
    """Number of all services, including the cluster; 0 if the user requested everything."""
    owner: Owner = UNKNOWN
    job: str = ""
    """The CI job for which `up` made the environment, or an empty string."""
    offset_chosen: bool = False
    """Whether envkit chose the port offset (`--port-offset auto`)."""
    asked: Mapping[str, str] = field(default_factory=dict)
    """The options that selected this environment, as the user gave them: a flag with its value, or a variable."""
    made: Mapping[str, Inputs] = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def held_by(self) -> Owner:
        """The owner who brought the environment up. Records of earlier versions contain only the checkout."""
        return self.owner if self.owner.known else Owner(checkout=self.root)

    @property
    def standing(self) -> str:
        """`up`, or `up in part (1 of 5)`. Every command uses this text."""
        return standing(len(self.selected), self.parts) if self.selected else "up"

    def part(self) -> dict[str, Any] | None:
        """Return which part is up, as data for JSON output, or None when everything is up."""
        return part(self.selected, self.parts) if self.selected else None


def standing(count: int, parts: int) -> str:
    """Return the text for an environment of `parts` services, of which only `count` were requested and are up."""
    return f"up in part ({count} of {parts})"


def part(selected: Iterable[str], parts: int) -> dict[str, Any]:
    """Return which services are up and how many, and the number of all services, as data for JSON output."""
    names = sorted(selected)
    return {"up": len(names), "of": parts, "selected": names}


@dataclass(frozen=True)
class Begun:
    """The facts that an `up` writes before its first change: the owner, and the engine on which it makes changes."""

    owner: Owner = UNKNOWN
    engine: str = ""
    engine_url: str = ""


def begin(paths: Paths, begun: Begun) -> None:
    """Write `begun` into the environment's folder. This marks the folder as the owner's."""
    if read_begun(paths) != begun:
        paths.make()
        write_private(paths.begun, json.dumps(asdict(begun)))


def read_begun(paths: Paths) -> Begun | None:
    """Return what the last `up` that changed anything wrote before its first change, or None."""
    try:
        raw: dict[str, Any] = json.loads(paths.begun.read_text())
        return Begun(of_data(raw["owner"]), str(raw["engine"]), str(raw["engine_url"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def read(paths: Paths) -> Record | None:
    """Return the record, or None if there is no record that this version can read."""
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
    """Replace the record. It contains secrets, so only this user can read the file."""
    paths.make()
    write_private(paths.state, json.dumps(asdict(record), indent=1))


def names(home: Path) -> list[str]:
    """Return the names of the environments that have a record below `home`."""
    return sorted(path.parent.name for path in home.glob("*/state.json"))
