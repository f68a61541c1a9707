"""`--set services.redis.options.maxmemory=1GiB`: one value of the configuration, from the command line."""

from __future__ import annotations

import re
from typing import Any

from envkit.config.yamlfile import parse_value

DEEPEST = 20
"""Parts of a path; the model has eight levels, and what `cluster.config` and `files.*.set` hold some more."""

_SET = re.compile(r'((?:[^."=]+|"[^"]+")(?:\.(?:[^."=]+|"[^"]+"))*)=(.*)', re.DOTALL)
_KEY = re.compile(r'"([^"]+)"|([^."]+)')


def parsed_set(text: str) -> tuple[dict[str, Any], str]:
    """The nested mapping that the text means, and what is wrong with it.

    The value is YAML (`null` deletes, `[a, b]` is a list); a key that holds dots is written in double quotes.
    """
    found = _SET.fullmatch(text)
    if not found:
        return {}, f"expected PATH=VALUE, services.redis.options.maxmemory=1GiB for example; found '{text}'"
    try:
        value: Any = parse_value(found[2])
    except ValueError as error:
        return {}, f"{found[1]}: {error}"
    keys = keys_of(found[1])
    if len(keys) > DEEPEST:
        return {}, f"{found[1][:60]}...: the path has {len(keys)} parts, and at most {DEEPEST} mean anything"
    for key in reversed(keys):
        value = {key: value}
    return value, ""


def keys_of(path: str) -> list[str]:
    """The keys of a dotted path; one that holds dots stands in double quotes."""
    return [quoted or plain for quoted, plain in _KEY.findall(path)]
