"""Labels are the truth: what carries `envkit.env=NAME` is that environment's, and nothing else is touched."""

from __future__ import annotations

ENV = "envkit.env"
SCHEMA = "envkit.schema"
ROLE = "envkit.role"
SERVICE = "envkit.service"
FINGERPRINT = "envkit.fingerprint"
ROOT = "envkit.root"
IMAGE = "envkit.image"
SCHEMA_VERSION = "1"

MARKER = "ENVKIT_ENV"
"""Every process that envkit starts for an environment carries this variable; it is never exported to a user's shell."""


def owned(environment: str, role: str, root: str, **more: str) -> dict[str, str]:
    """The labels of something that belongs to the environment; `root` is the checkout that holds it."""
    return {ENV: environment, SCHEMA: SCHEMA_VERSION, ROLE: role, ROOT: root, **more}


def resource_name(environment: str, service: str = "") -> str:
    """`envkit-NAME` for the network and the cluster, `envkit-NAME-SERVICE` for a container."""
    return f"envkit-{environment}-{service}" if service else f"envkit-{environment}"
