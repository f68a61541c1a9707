"""An environment opened on the fake engine: what `envkit.cli.context.opened` gives on a real one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envkit.base.events import Sink, Stream
from envkit.base.paths import Paths
from envkit.base.waiting import Cancel
from envkit.config.models import Environment
from envkit.drivers.runtimes.fake import FakeEngine
from envkit.inventory.session import Session


def opened(
    environment: Environment,
    home: Path,
    engine: FakeEngine,
    *,
    sink: Sink | None = None,
    cancel: Cancel | None = None,
    kind: Any = None,
    environ: Mapping[str, str] | None = None,
) -> Session:
    """A session on the fake: what `envkit.cli.context.opened` gives on a real engine.

    The parts that a `Session` makes from its endpoint when first asked for are put there beforehand, which is what
    `functools.cached_property` documents its storage for.
    """
    made = Session(
        environment, Paths(home, environment.name), engine.endpoint, Stream([sink] if sink else []),
        cancel or Cancel(), environ or {}, home / "cache",
    )  # fmt: skip
    parts = {"runtime": engine, "networks": engine.networks, "images": engine.images, "arch": "amd64", "cluster": kind}
    engine.claim = made.claim
    vars(made).update({name: part for name, part in parts.items() if part is not None})
    return made
