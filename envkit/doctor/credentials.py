"""Check whether other users of this machine know the passwords of the environment configured in this folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from envkit.config.models import Environment
from envkit.doctor.finding import LANES, Finding
from envkit.doctor.host import Host


@dataclass(frozen=True)
class Credentials:
    """The check of one environment. `environment` is None if the configuration has faults."""

    environment: Environment | None

    def __call__(self, _host: Host) -> Iterator[Finding]:
        """Report which services have generated passwords, and which have published passwords."""
        if self.environment is None:
            return
        services = self.environment.services.items()
        stores = {name: service for name, service in services if service.preset in ("redis", "postgres")}
        own = [name for name, service in stores.items() if any("${secret." in text for text in service.env.values())]
        published = [name for name in stores if name not in own]
        if own:
            yield Finding("credentials", LANES, "ok", f"generated for {', '.join(own)}: other users cannot log in")
        if published:
            seen = f"published for {', '.join(published)}: other users of this machine can read the test data"
            yield Finding("credentials", LANES, "ok", f"{seen} (`credentials: generated` changes that)")
