"""The preset `datastorage`: the reference audit service, which envkit builds."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from envkit.config.models import Model
from envkit.config.presets import Preset


class DataStorageOptions(Model):
    """Options of `datastorage`: the base image, the services that store its data, and whether callers need a token."""

    base_image: str = Field(
        default="docker.io/library/python:3.12-slim",
        description="base image of the service; needs Python 3.11 or newer",
    )
    postgres: str = Field(default="postgres", description="service that stores its data")
    redis: str = Field(default="redis", description="service that stores its dead-letter queue")
    migrations: str = Field(default="migrate", description="service that must run first, or `none`")
    auth: bool = Field(
        default=False, description="callers need a bearer token; see [authentication](datastorage.md#authentication)"
    )
    identity: str = Field(default="data-storage-sa", description="identity for its own requests to the API server")
    client: str = Field(default="data-storage-client", description="identity of the probe, which sends its token")


def datastorage(options: DataStorageOptions) -> dict[str, Any]:
    """Return the reference audit service; it connects to its stores by the URLs that they export."""
    needs = [options.postgres, options.redis, *([options.migrations] if options.migrations != "none" else [])]
    api, metrics, health = (f"http://${{self.host}}:${{self.ports.{port}}}" for port in ("api", "metrics", "health"))
    names = ("TEST_DATA_STORAGE", "DATA_STORAGE")
    urls = {"URL": api, "HEALTH_URL": health, "METRICS_URL": f"{metrics}/metrics"}
    auth = _auth(options) if options.auth else {}
    return {
        "build": {"context": "datastorage", "args": {"BASE_IMAGE": options.base_image}},
        "process": {
            "supply": "datastorage",
            "command": ["python3", "-m", "envkit.datastorage"],
            "env": {
                "HOST": "${self.listen}",
                "PORT": "${self.ports.api}",
                "HEALTH_PORT": "${self.ports.health}",
                "METRICS_PORT": "${self.ports.metrics}",
            },
        },
        "env": {
            "DATABASE_URL": f"${{{options.postgres}.exports.DATABASE_URL}}",
            "REDIS_URL": f"${{{options.redis}.exports.REDIS_URL}}",
            **auth.get("env", {}),
        },
        "ports": {"api": {"container": 8080}, "metrics": {"container": 9090}, "health": {"container": 8081}},
        "needs": [*needs, *auth.get("needs", [])],
        **auth.get("more", {}),
        "probe": {"type": "http", "port": "health", "path": "/readyz"},
        "first_probe": {"type": "audit", "port": "api", **auth.get("first_probe", {})},
        "exports": {f"{name}_{suffix}": url for name in names for suffix, url in urls.items()},
    }


def _auth(options: DataStorageOptions) -> dict[str, Any]:
    """Return the keys for authentication: a kubeconfig to check tokens and rights, and the token of the probe."""
    path = "/etc/datastorage/kubeconfig"
    env = {"AUTH_ENABLED": "true", "POD_NAMESPACE": "default", "KUBECONFIG": f"${{self.root}}{path}"}
    return {
        "env": env,
        "needs": ["cluster"],
        "more": {"kubeconfig": {"identity": options.identity, "path": path}},
        "first_probe": {"token": f"${{identity.{options.client}.token}}"},
    }


PRESET = Preset(DataStorageOptions, datastorage)
