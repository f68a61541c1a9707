"""Finds PostgreSQL and Redis servers as plain programs. Installed packages would start daemons.

They come from the same places as for envkit itself: the host's own programs, else those in envkit's cache.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from envkit.base.paths import cache_home
from envkit.base.waiting import Cancel
from envkit.drivers.supply.binaries import BinaryUnavailable, Found, Version, Wanted, ensure

NOBODY = 65534  # PostgreSQL refuses to run as root


@dataclass(frozen=True)
class Binaries:
    """The paths of the servers, and the variables that they need."""

    servers: Mapping[str, Found]

    @property
    def postgres(self) -> Path:
        """Return the folder with initdb and postgres."""
        return self.servers["postgres"].programs["postgres"].parent

    @property
    def redis(self) -> Path:
        return self.servers["redis"].programs["redis-server"]

    def environment(self, name: str) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "LC_ALL": "C", **self.servers[name].environ}


def find() -> Binaries:
    """Return the servers; end the test if they cannot be found: see `unavailable`."""
    user = NOBODY if os.geteuid() == 0 else None
    wanted = [
        Wanted("postgres", minimum=Version((15,)), user=user),
        Wanted("redis", minimum=Version((7,)), user=user),
    ]
    cache = cache_home(os.environ)
    try:
        return Binaries({it.name: ensure(it, os.environ, cache, report=print, cancel=Cancel()) for it in wanted})
    except BinaryUnavailable as error:
        unavailable(error.message)


def unavailable(reason: str) -> NoReturn:
    """End the test: skip it on a laptop, fail it in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
