"""Parses alerts of Alertmanager, and computes their fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class Malformed(Exception):
    """The webhook's body is not an alert; the text says what is missing."""


@dataclass(frozen=True)
class Signal:
    """One alert about one resource in one namespace."""

    name: str
    namespace: str
    severity: str
    kind: str
    target: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    firing: str

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits, which are equal for alerts about the same problem."""
        text = "\0".join((self.name, self.namespace, self.kind, self.target))
        return hashlib.sha256(text.encode()).hexdigest()


def read(body: Any) -> Signal:
    """Return the first alert in a webhook's body. Raises `Malformed`."""
    try:
        alert = body["alerts"][0]
        labels = {str(key): str(value) for key, value in alert["labels"].items()}
        kind = next((kind for kind in ("pod", "deployment", "node") if kind in labels), "")
        if not kind:
            raise Malformed("an alert needs a label pod, deployment or node")
        return Signal(
            labels["alertname"], labels["namespace"], labels.get("severity", "unknown"), kind.capitalize(),
            labels[kind], labels, dict(alert.get("annotations") or {}), str(alert["startsAt"]),
        )  # fmt: skip
    except KeyError as error:
        raise Malformed(f"an alert needs {error}") from error
    except (TypeError, IndexError, AttributeError) as error:
        raise Malformed(f"not an alert: {error}") from error
