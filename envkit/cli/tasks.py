"""The commands as invoke tasks. Another repository's `tasks.py` imports all of them with
`from envkit.cli.tasks import namespace`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from invoke.collection import Collection

    namespace: Collection
    """All tasks: for `ns = namespace`, or for `ns.add_collection(namespace, "env")` beside a repository's own tasks."""


def __getattr__(name: str) -> Any:
    """Return `namespace`. It is made at the first access, because the import of invoke takes too long for `env`."""
    if name != "namespace":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from invoke.collection import Collection

    from envkit.base.installed import warn_of_other
    from envkit.cli.command import command as task
    from envkit.cli.verb import every

    warn_of_other()
    made = globals()["namespace"] = Collection(*(task(it.function, it.help) for it in every().values()))
    return made
