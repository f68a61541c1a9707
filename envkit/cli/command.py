"""How a function becomes a task: its own options, those every command has, one way to fail."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from invoke.tasks import Task

from envkit.cli.context import Flags
from envkit.cli.reporting import reported
from envkit.errors import UsageError

HELP = {
    "file": "configuration file (else envkit.yaml, found by walking up)",
    "profile": "profile by name (default: gateway)",
    "overlay": "profile or file laid over it; repeatable",
    "name": "name of the environment (default: the profile's)",
    "engine": "docker, podman or auto",
    "lane": "containers, mixed, embedded or auto",
    "port_offset": "added to every host port",
    "set": "KEY=VALUE, such as services.redis.options.maxmemory=1GiB; repeatable",
    "json": "machine output",
    "debug": "show tracebacks",
    "service": "a service; repeatable, or as plain words after the command",
    "keep": "leave things as they are afterwards, success or failure",
    "build": "build images anew",
    "force": "also when another checkout holds the environment",
    "format": "dotenv, shell or json",
    "tail": "only the last N lines of each log",
}

COMMON: dict[str, Any] = {
    "file": None,
    "profile": None,
    "overlay": None,
    "name": None,
    "engine": None,
    "lane": None,
    "port_offset": None,
    "set": None,
    "json": False,
    "debug": False,
}
"""Options of every command, with their defaults."""

REPEATED = ("overlay", "set", "service")

SHORT = {"file": "f", "profile": "p", "overlay": "o", "name": "n", "engine": "e", "set": "s"}


class EnvkitTask(Task[Any]):
    """A task whose short options are the same in every command."""

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> dict[str, Any]:
        """Invoke's own, with our letters instead of the first free one."""
        options = super().arg_opts(name, default, taken_names)
        if name in SHORT:
            options["names"].append(SHORT[name])
        return options


def command(function: Callable[..., int | None]) -> EnvkitTask:
    """Make `function(flags, **own options)` a task that also takes the common options."""
    own = list(inspect.signature(function).parameters.values())[1:]
    names = [*(parameter.name for parameter in own), *COMMON]

    def body(_context: Any, /, **given: Any) -> int | None:
        common = {name: given.pop(name, default) for name, default in COMMON.items()}
        return function(flags_of(**common), **given)

    body.__name__, body.__doc__, body.__module__ = function.__name__, function.__doc__, function.__module__
    run = reported(body)
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter("context", positional), *(p.replace(kind=positional) for p in own)]
    parameters += [inspect.Parameter(name, positional, default=default) for name, default in COMMON.items()]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return EnvkitTask(
        run,
        name=function.__name__.rstrip("_"),
        auto_shortflags=False,
        positional=[],
        iterable=[name for name in REPEATED if name in names],
        help={name: HELP[name] for name in names if name in HELP},
    )


def flags_of(
    *, set: Iterable[str] | None, overlay: Iterable[str] | None, port_offset: str | None, **rest: Any
) -> Flags:
    """The common options as a value. Raises `UsageError` for a port offset that is no number."""
    offset: int | None = None
    if port_offset is not None:
        if not str(port_offset).isdigit():
            raise UsageError(
                f"--port-offset takes a whole number, got {port_offset!r}", hint="for example --port-offset 100"
            )
        offset = int(port_offset)
    return Flags(sets=tuple(set or ()), overlay=tuple(overlay or ()), port_offset=offset, **rest)
