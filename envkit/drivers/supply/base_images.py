"""Finds the base images of a Dockerfile. envkit pulls them first, because an engine does not retry during a build."""

from __future__ import annotations

import re
from collections.abc import Mapping

_LINE = re.compile(r"^\s*(ARG|FROM|COPY|RUN)\s+(.*)$", re.IGNORECASE)


def base_images(dockerfile: str, args: Mapping[str, str]) -> tuple[str, ...]:
    """Return the images that FROM and `COPY --from=` name, with the values of build arguments substituted.

    The result omits the names of build stages, and images that depend on an argument without a known value.
    """
    known: dict[str, str] = {}
    stages: set[str] = {"scratch"}
    found: list[str] = []
    for line in re.sub(r"\\\n", " ", dockerfile).splitlines():
        match = _LINE.match(line)
        if not match:
            continue
        word, rest = match[1].upper(), match[2].split()
        if word == "ARG" and len(stages) == 1 and not found:
            for one in rest:
                name, _, default = one.partition("=")
                known[name] = args.get(name, default.strip("\"'"))
        elif word == "FROM":
            words = [_filled(one, known) for one in rest if not one.startswith("--")]
            found += [words[0]] if words and words[0].lower() not in stages else []
            stages.add(words[2].lower() if len(words) == 3 else f"stage {len(stages)}")
        elif word == "COPY":
            froms = [one.removeprefix("--from=") for one in rest if one.startswith("--from=")]
            found += [one for one in froms if one.lower() not in stages and not one.isdigit()]
    return tuple(dict.fromkeys(one for one in found if one and "$" not in one))


def _filled(word: str, known: Mapping[str, str]) -> str:
    """Return the word with the values of `$NAME`, `${NAME}` and `${NAME:-default}` substituted."""

    def value(match: re.Match[str]) -> str:
        return known.get(match[1] or match[2]) or match[3] or ""

    return re.sub(r"\$(?:(\w+)|\{(\w+)(?::-([^}]*))?\})", value, word)
