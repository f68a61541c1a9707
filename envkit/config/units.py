"""Parse sizes into bytes and durations into seconds: `2GiB`, `512m`, `30s`, `1m30s`."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

_SIZE = re.compile(r"(?i)^\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*$")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_size(value: Any) -> Any:
    """Return the number of bytes for `2GiB`, `512m` or `1048576`; units are binary, as in Docker and Redis.

    A value that is not text stays as it is. Raises `ValueError` if the text is not a size.
    """
    if isinstance(value, bool) or not isinstance(value, str):
        return value
    found = _SIZE.match(value)
    if not found:
        raise ValueError(f"expected a size such as 512MiB or 2GiB, found {value!r}")
    size = float(found[1]) * 1024 ** " kmgt".index(found[2].lower() or " ")
    return int(size) if size < LARGEST else LARGEST + 1


def parse_duration(value: Any) -> Any:
    """Return the number of seconds for `30s`, `500ms`, `1m30s` or `45`.

    A value that is not text stays as it is. Raises `ValueError` if the text is not a duration.
    """
    if isinstance(value, bool) or not isinstance(value, str):
        return value
    text = value.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(a + b for a, b in parts) != text:
        raise ValueError(f"expected a duration such as 500ms, 30s or 2m, found {value!r}")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def show_size(size: int) -> str:
    """Return the size exactly, in the largest binary unit that divides it: `2147483648` as `2GiB`."""
    for unit, name in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit}{name}"
    return f"{size}B"


def about(size: float) -> str:
    """Return the size rounded, for display: `1983423123` as `1.8 GiB`."""
    for unit, name in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size:.0f} B"


LARGEST = 2**60
"""Maximum size in bytes: an exbibyte, more than any engine accepts."""

LONGEST = 30 * 86400.0
"""Maximum duration in seconds: thirty days, more than any wait needs."""

EXPECTED = {"512MiB": "a size such as 512MiB or 2GiB", "30s": "a duration such as 500ms, 30s or 2m"}
"""Descriptions of a size and a duration; the keys are the first examples in their schemas."""

Size = Annotated[
    int,
    BeforeValidator(parse_size, json_schema_input_type=int | str),
    Field(ge=0, le=LARGEST, description=EXPECTED["512MiB"], examples=["512MiB", "2GiB"]),
]
Duration = Annotated[
    float,
    BeforeValidator(parse_duration, json_schema_input_type=float | str),
    Field(gt=0, le=LONGEST, description=EXPECTED["30s"], examples=["30s", "2m"]),
]
