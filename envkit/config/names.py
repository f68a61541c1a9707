"""What things may be called. Imports nothing: the fast commands read names without the typed model."""

from __future__ import annotations

import re
from collections.abc import Iterable

NAME = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
"""Names become container, network, cluster and host names: DNS labels, short enough for kind's node names."""

VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"

HEADER = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
"""A field name of HTTP (RFC 9110, section 5.6.2)."""

HTTP_PATH = r"^[!-~]*$"
"""What stands in a request line: visible ASCII letters, no blank."""

RESERVED = frozenset({"self", "env", "cluster", "network", "host", "identity", "secret"})
"""The first words of references that are no service's name."""

NAME_IN_WORDS = "lower-case letters, digits and dashes, at most 40, a letter or digit first and last"


SHARED_FOLDERS = frozenset({"evidence", "logs", "runs", "timings"})
"""Of the state directory, where every other folder is one environment's."""


def is_name(text: str) -> bool:
    """Whether `text` may name a service."""
    return re.fullmatch(NAME, text) is not None


def wrong_as_environment(text: str) -> str:
    """Why `text` cannot name an environment, else nothing."""
    if not is_name(text):
        return f"expected {NAME_IN_WORDS}; found '{text}'"
    if text in SHARED_FOLDERS:
        return f"'{text}' is the name of a folder in which envkit keeps what outlives environments; choose another"
    return ""


def made_name(text: str) -> str:
    """`text` bent into a valid name: `My_Project.v2` becomes `my-project-v2`, nothing usable becomes `env`."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-") or "env"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the nearest known word, else nothing."""
    import difflib  # here, because only a mistake needs it

    nearest = difflib.get_close_matches(word, list(known), 1, 0.6)
    return f"; did you mean '{nearest[0]}'?" if nearest else ""


ETCD, APISERVER, CONTROLLERS = "etcd", "apiserver", "controllers"

PARTS = (ETCD, APISERVER, CONTROLLERS)
"""Names of the services that make an envtest cluster; a user's own service may not have them."""
