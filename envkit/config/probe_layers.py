"""Remove the keys of a probe that do not fit its new type, if a layer changes the type."""

from __future__ import annotations

from typing import Any

from envkit.base import registry

PROBES = ("probe", "first_probe")


def drop_former_keys(below: dict[str, Any], layer: dict[str, Any]) -> None:
    """Where `layer` changes the type of a probe in `below`, remove from `below` the keys that the new type lacks."""
    services = layer.get("services")
    for name, service in services.items() if isinstance(services, dict) else ():
        for key in PROBES:
            above, former = _probe(service, key), _probe(_mapping(below.get("services")).get(name), key)
            if above and former:
                for field in _keys(former.get("type")) - _keys(above.get("type", former.get("type"))):
                    former.pop(field, None)


def _probe(service: Any, key: str) -> dict[str, Any]:
    return _mapping(_mapping(service).get(key))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _keys(kind: Any) -> set[str]:
    """Return the keys of a type of probe; an empty set for an unknown type."""
    known = isinstance(kind, str) and kind in registry.PROBES
    return set(registry.module(registry.PROBES, kind).PROBE.model_fields) if known else set()
