"""The running environment as a suite sees it: its variables, and never a default in the place of one."""

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
    """Variables that `envkit` exported, by name: `environment["REDIS_URL"]`."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ

    def __getitem__(self, name: str) -> str:
        """The variable. Raises `SuiteError` when it is not set or empty: a guessed address tests something else."""
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
        """The variable, or None when it is not set or empty: for what an environment may lack."""
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
        """DataStorage's API, without a slash at the end."""
        return self["TEST_DATA_STORAGE_URL"].rstrip("/")

    @property
    def data_storage_health_url(self) -> str:
        """DataStorage's health port, without a slash at the end."""
        return self["TEST_DATA_STORAGE_HEALTH_URL"].rstrip("/")

    @property
    def redis_url(self) -> str:
        """Redis."""
        return self["REDIS_URL"]

    @property
    def database_url(self) -> str:
        """The database that the migrations were applied to; tests write to one of their own, see `envkit_database`."""
        return self["DATABASE_URL"]

    @property
    def host_address(self) -> str:
        """What services and the API server call this host by."""
        return self["ENVKIT_HOST_ADDRESS"]

    @property
    def host_listen(self) -> str:
        """What a listener binds to be reached by that."""
        return self["ENVKIT_HOST_LISTEN"]

    @property
    def host_certificates(self) -> Path:
        """The folder with tls.crt and tls.key for such a listener, and ca.crt for who calls it."""
        return Path(self["ENVKIT_HOST_CERTIFICATES"])

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return Path(self["KUBECONFIG"])

    def kubernetes(self, token: str = "") -> Api:
        """The API server, as the administrator, or as whoever the token belongs to. Each call makes a new client."""
        from envkit.drivers.clusters.api import Api

        api = Api.of(self.kubeconfig)
        if token:
            api.access = replace(api.access, token=token, certificate="", key="")
        return api
