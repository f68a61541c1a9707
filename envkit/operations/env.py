"""`env`: read the variables of an environment that is up.

`env` is fast because it only reads the record and connects to the ports; it imports no SDK and no models.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from envkit.base.errors import NotUp
from envkit.base.paths import Paths
from envkit.base.ports import accepts
from envkit.inventory import state
from envkit.operations.state_checks import is_paused, not_up
from envkit.operations.tokens import renew_tokens_from_host


def read(paths: Paths, up: str, environ: Mapping[str, str] = MappingProxyType({})) -> state.Record:
    """Return the record of an environment that is up. Tokens that expire soon are renewed.

    Raises `NotUp`, with `up` as the command to run, if the environment is not up, is paused, or a port does not answer.
    """
    record = state.read(paths)
    if record is None:
        raise not_up(paths.name, up)
    if record.status == state.PAUSED:
        raise is_paused(paths.name, up)
    gone = [f"{name} (port {port})" for name, port in record.ports.items() if not accepts(port)]
    if gone:
        raise NotUp(
            f"environment {paths.name} was up, but does not answer any more: {', '.join(gone)}",
            hint=f"`{up}` repairs it",
        )
    return renew_tokens_from_host(record, paths, environ)
