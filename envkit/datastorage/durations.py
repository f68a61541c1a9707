"""Parses durations (``7d``, ``24h``, ``1m30s``, ``500ms``) of the settings and of the parameters since and until."""

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
PATTERN = r"^([0-9]{1,9}(\.[0-9]{1,9})?(ms|s|m|h|d))+$"
_PART = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
EXPECTED = "a duration such as 500ms, 30s, 1m30s, 24h or 7d"


def seconds(text: str) -> float:
    """Return the duration ``text`` in seconds. Raises ValueError if it is not a duration."""
    if "\n" in text or not re.match(PATTERN, text):
        raise ValueError(f"expected {EXPECTED}")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
