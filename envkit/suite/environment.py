"""The variables of the running environment, for test suites. There are no defaults: a missing variable is an error."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.base.errors import SuiteError

if TYPE_CHECKING:
    from envkit.drivers.clusters.api import Api


class Environment:
    """The variables that envkit exports, by name: `environment["REDIS_URL"]`."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ

    def __getitem__(self, name: str) -> str:
        """Return the value. Raises `SuiteError` if it is unset or empty: a default could name another service."""
        value = self._environ.get(name)
        if not value:
            state = "is not set" if value is None else "is empty"
            raise SuiteError(
                f"the variable {name} {state}",
                hint='start the suite with `envkit run -- COMMAND`, or set it with `eval "$(envkit env)"` after `up`; '
                "`envkit env --format dotenv` shows what the environment exports",
            )
        return value

    def get(self, name: str) -> str | None:
        """Return the variable's value, or None if it is unset or empty. Use this for variables that are optional."""
        return self._environ.get(name) or None

    def ending(self, suffix: str) -> list[str]:
        """Return the names of all variables that end with the suffix and are not empty."""
        return sorted(name for name, value in self._environ.items() if name.endswith(suffix) and value)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    @property
    def name(self) -> str:
        """The environment's name."""
        return self["ENVKIT_ENVIRONMENT"]

    @property
    def data_storage_url(self) -> str:
        """The URL of DataStorage's API, without a slash at the end."""
        return self["TEST_DATA_STORAGE_URL"].rstrip("/")

    @property
    def data_storage_health_url(self) -> str:
        """The URL of DataStorage's health port, without a slash at the end."""
        return self["TEST_DATA_STORAGE_HEALTH_URL"].rstrip("/")

    @property
    def redis_url(self) -> str:
        """The URL of Redis."""
        return self["REDIS_URL"]

    @property
    def database_url(self) -> str:
        """The URL of the migrated database. Tests write to a clone of it, not to it: see `envkit_database`."""
        return self["DATABASE_URL"]

    @property
    def host_address(self) -> str:
        """The address at which services and the API server reach this host."""
        return self["ENVKIT_HOST_ADDRESS"]

    @property
    def host_listen(self) -> str:
        """The address to which a server on this host must bind, so that clients at `host_address` reach it."""
        return self["ENVKIT_HOST_LISTEN"]

    @property
    def host_certificates(self) -> Path:
        """The folder with tls.crt and tls.key for a server at `host_address`, and ca.crt for the server's clients."""
        return Path(self["ENVKIT_HOST_CERTIFICATES"])

    @property
    def kubeconfig(self) -> Path:
        """The path of the administrator's kubeconfig."""
        return Path(self["KUBECONFIG"])

    def kubernetes(self, token: str = "") -> Api:
        """Return a new client of the API server, with the rights of the administrator or of the `token`'s owner."""
        from envkit.drivers.clusters.api import Api

        api = Api.of(self.kubeconfig)
        if token:
            api.access = replace(api.access, token=token, certificate="", key="")
        return api
