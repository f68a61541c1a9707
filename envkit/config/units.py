"""Sizes in bytes and durations in seconds, as people write them: `2GiB`, `512m`, `30s`, `1m30s`."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

_SIZE = re.compile(r"(?i)^\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*$")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_size(value: Any) -> Any:
    """Bytes of `2GiB`, `512m`, `1048576`; binary units, as Docker and Redis take them."""
    if isinstance(value, bool) or not isinstance(value, str):
        return value
    found = _SIZE.match(value)
    if not found:
        raise ValueError(f"expected a size such as 512MiB or 2GiB, found {value!r}")
    size = float(found[1]) * 1024 ** " kmgt".index(found[2].lower() or " ")
    return int(size) if size < LARGEST else LARGEST + 1


def parse_duration(value: Any) -> Any:
    """Seconds of `30s`, `500ms`, `1m30s`, `45`."""
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
    """`2147483648` as `2GiB`; the largest binary unit that divides it."""
    for unit, name in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit}{name}"
    return f"{size}B"


def about(size: float) -> str:
    """`1983423123` as `1.8 GiB`, for reading."""
    for unit, name in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size:.0f} B"


LARGEST = 2**60
"""Bytes, an exbibyte: more than any engine takes."""

LONGEST = 30 * 86400.0
"""Seconds, thirty days: more than any wait."""

EXPECTED = {"512MiB": "a size such as 512MiB or 2GiB", "30s": "a duration such as 500ms, 30s or 2m"}
"""What is expected of a size and of a duration, by the first example in their schema."""

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
