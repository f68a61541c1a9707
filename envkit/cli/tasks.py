"""The tasks. Another repository's `tasks.py` has them all with `from envkit.cli.tasks import namespace`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from invoke.collection import Collection

    namespace: Collection
    """Everything, for `ns = namespace`, or `ns.add_collection(namespace, "env")` beside tasks of one's own."""


def __getattr__(name: str) -> Any:
    """`namespace`, made when asked for: importing invoke takes longer than `env` as a whole may."""
    if name != "namespace":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from invoke.collection import Collection

    from envkit.base.installed import warn_of_other
    from envkit.cli.command import command as task
    from envkit.cli.verb import every

    warn_of_other()
    made = globals()["namespace"] = Collection(*(task(it.function, it.help) for it in every().values()))
    return made
