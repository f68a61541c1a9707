"""The settings of one server. It reads nothing from the environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Audit = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Settings:
    """Addresses, identity and limits of a Gateway. Times are in seconds, sizes in bytes."""

    redis_url: str
    kubernetes_url: str
    kubernetes_ca: str
    token: Callable[[], str] = field(repr=False)
    audit: Audit
    port: int = 0
    dedup_ttl: float = 300.0
    dedup_prefix: str = "gateway"
    fallback_namespace: str = "kubernaut-system"
    redis_timeout: float = 2.0
    kubernetes_timeout: float = 5.0
    create_attempts: int = 4
    create_backoff: float = 0.1
    max_body: int = 256 * 1024
