"""The environment's own network: labelled, and one for services and cluster, so that all find each other by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from envkit import labels
from envkit.errors import EngineError
from envkit.runtimes.sdk import translated

if TYPE_CHECKING:
    from docker import APIClient


class Networks:
    """Networks of one engine, by label."""

    def __init__(self, api: APIClient) -> None:
        self._api = api
        self._gateways: dict[str, str] = {}

    def exists(self, environment: str) -> bool:
        """Whether the environment's network is there and ours. Raises `EngineError` when a stranger has its name."""
        name = labels.resource_name(environment)
        with translated("listing networks"):
            rows = [row for row in self._api.networks(names=[name]) if row["Name"] == name]
        if not rows:
            return False
        if (rows[0].get("Labels") or {}).get(labels.ENV) != environment:
            raise EngineError(
                f"a network named {name} exists and is not envkit's (it lacks the label {labels.ENV}={environment})",
                hint="rename or remove it, or use another --name",
            )
        self._gateways[environment] = _gateway(rows[0])
        return True

    def gateway(self, environment: str) -> str:
        """This host's own address on the environment's network, empty while there is no network."""
        if environment not in self._gateways:
            self.exists(environment)
        return self._gateways.get(environment, "")

    def create(self, environment: str, root: str, **marks: str) -> None:
        """Make it, `marks` among its labels; there already is fine."""
        if self.exists(environment):
            return
        name = labels.resource_name(environment)
        with translated(f"creating network {name}"):
            self._api.create_network(name, driver="bridge", labels=labels.owned(environment, "network", root, **marks))

    def remove_all(self, environment: str) -> list[str]:
        """Remove every network with the environment's label; their names."""
        from docker.errors import NotFound

        with translated("listing networks"):
            rows = self._api.networks(filters={"label": f"{labels.ENV}={environment}"})
        for row in rows:
            try:
                with translated(f"removing network {row['Name']}"):
                    self._api.remove_network(row["Id"])
            except EngineError as error:
                if not isinstance(error.__cause__, NotFound):
                    raise
        self._gateways.pop(environment, None)
        return [str(row["Name"]) for row in rows]


def _gateway(row: Mapping[str, Any]) -> str:
    """Of the network's IPv4 range; both engines tell it in the same shape."""
    ranges = (row.get("IPAM") or {}).get("Config") or []
    gateways = (str(each.get("Gateway") or "").partition("/")[0] for each in ranges)
    return next((gateway for gateway in gateways if "." in gateway), "")


class NoNetworks:
    """What processes have: the host's own network, of which nothing is made or removed."""

    def exists(self, _environment: str) -> bool:
        """There is none of the environment's own."""
        return False

    def gateway(self, _environment: str) -> str:
        """There is none."""
        return ""

    def create(self, _environment: str, _root: str, **_marks: str) -> None:
        """Nothing to do."""

    def remove_all(self, _environment: str) -> list[str]:
        """Nothing to remove."""
        return []
