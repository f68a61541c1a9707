"""Rules for names. Fast commands use this module without the typed model, so it imports nothing else of envkit."""

from __future__ import annotations

import re
from collections.abc import Iterable

NAME = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
"""Pattern of a name: a DNS label, because names become host, container, network and cluster names.

It has at most 40 characters, so that the node names of kind are short enough.
"""

VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"

HEADER = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
"""Pattern of an HTTP field name (RFC 9110, section 5.6.2)."""

HTTP_PATH = r"^[!-~]*$"
"""Pattern of the path in an HTTP request line: visible ASCII characters without spaces."""

RESERVED = frozenset({"self", "env", "cluster", "network", "host", "identity", "secret"})
"""First words of references with a special meaning; a service must not have such a name."""

NAME_IN_WORDS = "lower-case letters, digits and dashes, at most 40, a letter or digit first and last"


SHARED_FOLDERS = frozenset({"evidence", "logs", "runs", "timings"})
"""Folders of the state directory that several environments share; every other folder belongs to one environment."""


def is_name(text: str) -> bool:
    """Return whether `text` is a valid name for a service."""
    return re.fullmatch(NAME, text) is not None


def wrong_as_environment(text: str) -> str:
    """Return why `text` cannot be an environment's name, or an empty string if it can."""
    if not is_name(text):
        return f"expected {NAME_IN_WORDS}; found '{text}'"
    if text in SHARED_FOLDERS:
        return f"'{text}' is the name of a folder that envkit keeps after environments are removed; choose another"
    return ""


def made_name(text: str) -> str:
    """Return `text` as a valid name: `my-project-v2` for `My_Project.v2`, `env` if no letter or digit remains."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-") or "env"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` with the nearest known word, or an empty string if no word is near."""
    import difflib  # imported here because only error messages need it

    nearest = difflib.get_close_matches(word, list(known), 1, 0.6)
    return f"; did you mean '{nearest[0]}'?" if nearest else ""


ETCD, APISERVER, CONTROLLERS = "etcd", "apiserver", "controllers"

PARTS = (ETCD, APISERVER, CONTROLLERS)
"""Names of the services of which an envtest cluster consists; a user's own service must not have such a name."""
