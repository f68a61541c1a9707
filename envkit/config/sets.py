"""Parse `--set services.redis.options.maxmemory=1GiB`, which sets one value of the configuration."""

from __future__ import annotations

import re
from typing import Any

from envkit.config.yamlfile import parse_value

DEEPEST = 20
"""Maximum number of parts in a path: the model has eight levels; `cluster.config` and `files.*.set` can have more."""

_SET = re.compile(r'((?:[^."=]+|"[^"]+")(?:\.(?:[^."=]+|"[^"]+"))*)=(.*)', re.DOTALL)
_KEY = re.compile(r'"([^"]+)"|([^."]+)')


def parsed_set(text: str) -> tuple[dict[str, Any], str]:
    """Return the nested mapping for `PATH=VALUE`, and a message about its fault, which is empty if there is no fault.

    The value is YAML (`null` deletes, `[a, b]` is a list). A key that contains dots needs double quotes.
    """
    found = _SET.fullmatch(text)
    if not found:
        return {}, f"expected PATH=VALUE, for example services.redis.options.maxmemory=1GiB; found '{text}'"
    try:
        value: Any = parse_value(found[2])
    except ValueError as error:
        return {}, f"{found[1]}: {error}"
    keys = keys_of(found[1])
    if len(keys) > DEEPEST:
        return {}, f"{found[1][:60]}...: the path has {len(keys)} parts; at most {DEEPEST} are allowed"
    for key in reversed(keys):
        value = {key: value}
    return value, ""


def keys_of(path: str) -> list[str]:
    """Return the keys of a dotted path; a key that contains dots is in double quotes."""
    return [quoted or plain for quoted, plain in _KEY.findall(path)]
