"""Creates and removes an environment's own network, in which services and cluster nodes find each other by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from envkit.base import labels
from envkit.base.errors import EngineError
from envkit.base.owner import Claim, Owner
from envkit.drivers.engine.sdk import translated

if TYPE_CHECKING:
    from docker import APIClient


class Networks:
    """The environments' networks on one engine. The claim decides which of them envkit is allowed to remove."""

    def __init__(self, api: APIClient, claim: Claim) -> None:
        self._api = api
        self._claim = claim
        self._gateways: dict[str, str] = {}
        self._owners: dict[str, Owner] = {}

    def exists(self, environment: str) -> bool:
        """Return whether the environment's network exists.

        Raises `EngineError` if a network of that name lacks the environment's label.
        """
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
        self._owners[environment] = labels.owner_of(rows[0]["Labels"])
        return True

    def owner(self, environment: str) -> Owner | None:
        """Return the owner of the environment's network and of the nodes in it; None if there is no network."""
        if environment not in self._owners:
            self.exists(environment)
        return self._owners.get(environment)

    def gateway(self, environment: str) -> str:
        """Return this host's address in the environment's network, or an empty string if there is no network."""
        if environment not in self._gateways:
            self.exists(environment)
        return self._gateways.get(environment, "")

    def create(self, environment: str, owner: Owner, /, **marks: str) -> None:
        """Create the network with `marks` among its labels; do nothing if it exists and is ours.

        Raises `HolderError` if it exists and has another owner.
        """
        if self.exists(environment):
            self._claim.check(self._owners[environment], f"the network {labels.resource_name(environment)}")
            return
        name = labels.resource_name(environment)
        with translated(f"creating network {name}"):
            self._api.create_network(name, driver="bridge", labels=labels.owned(environment, "network", owner, **marks))

    def remove_all(self, environment: str) -> list[str]:
        """Remove every network with the environment's label; return their names.

        Raises `HolderError`, and removes nothing, if one of them has another owner.
        """
        from docker.errors import NotFound

        with translated("listing networks"):
            rows = self._api.networks(filters={"label": f"{labels.ENV}={environment}"})
        for row in rows:
            self._claim.check(labels.owner_of(row.get("Labels") or {}), f"the network {row['Name']}")
        for row in rows:
            try:
                with translated(f"removing network {row['Name']}"):
                    self._api.remove_network(row["Id"])
            except EngineError as error:
                if not isinstance(error.__cause__, NotFound):
                    raise
        self._gateways.pop(environment, None)
        self._owners.pop(environment, None)
        return [str(row["Name"]) for row in rows]


def _gateway(row: Mapping[str, Any]) -> str:
    """Return the gateway of the network's IPv4 range, or an empty string. Both engines answer in the same form."""
    ranges = (row.get("IPAM") or {}).get("Config") or []
    gateways = (str(each.get("Gateway") or "").partition("/")[0] for each in ranges)
    return next((gateway for gateway in gateways if "." in gateway), "")


class NoNetworks:
    """The networks for the runtime `processes`: processes use the host's network, so envkit makes no network."""

    def exists(self, _environment: str) -> bool:
        """Return False: envkit makes no network for processes."""
        return False

    def gateway(self, _environment: str) -> str:
        """Return an empty string: there is no network."""
        return ""

    def owner(self, _environment: str) -> Owner | None:
        """Return None: there is no network."""
        return None

    def create(self, _environment: str, _owner: Owner, /, **_marks: str) -> None:
        """Do nothing: processes use the host's network."""

    def remove_all(self, _environment: str) -> list[str]:
        """Return an empty list: there is no network to remove."""
        return []
