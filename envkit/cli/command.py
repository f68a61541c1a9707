"""Turns a function into an invoke task with its own options, the common options and envkit's exit codes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from invoke.tasks import Task

from envkit.cli.options import COMMON, REPEATED, SHORT, carried_out
from envkit.cli.reporting import reported
from envkit.cli.verb import Function
from envkit.config.shipped import default_profile

HELP = {
    "file": "configuration file (default: envkit.yaml in this folder or in one above it)",
    "profile": f"profile by name (default: {default_profile()})",
    "overlay": "profile or file that is merged over the configuration; repeatable",
    "name": "name of the environment (default: the profile's)",
    "engine": "docker, podman or auto",
    "lane": "containers, mixed, embedded or auto",
    "port_offset": "number that is added to every host port; auto chooses one with which all ports are free",
    "set": "KEY=VALUE, such as services.redis.options.maxmemory=1GiB; repeatable",
    "json": "print JSON for programs",
    "debug": "show tracebacks",
    "service": "name of a service; repeatable, or as plain words after the command",
    "keep": "remove nothing afterwards, on success or failure",
    "build": "build images again",
    "ttl": "lifetime, such as 8h; then `prune`, or in CI the next job, removes the environment (default: ENVKIT_TTL)",
    "yes": "do not ask",
    "artifacts": "folder for evidence (default: the state directory)",
    "ci": "report as in a CI job: groups, masks, summary; automatic on GitHub Actions and GitLab CI",
    "junit": "file for a JUnit report of the steps",
}
"""Help texts of the options that every command or several commands have."""


class EnvkitTask(Task[Any]):
    """An invoke task. Its short options are the same in every command."""

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> dict[str, Any]:
        """Return invoke's options for an argument, with the letter in `SHORT` in place of the first free letter."""
        options = super().arg_opts(name, default, taken_names)
        if name in SHORT:
            options["names"].append(SHORT[name])
        return options


def command(function: Function, own_help: Mapping[str, str] = MappingProxyType({})) -> EnvkitTask:
    """Return `function(flags, **own options)` as a task that also takes the common options."""
    texts = {**HELP, **own_help}
    own = list(inspect.signature(function).parameters.values())[1:]
    names = [*(parameter.name for parameter in own), *COMMON]

    def body(_context: Any, /, **given: Any) -> int | None:
        return carried_out(function, given)

    body.__name__, body.__doc__, body.__module__ = function.__name__, function.__doc__, function.__module__
    run = reported(body)
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter("context", positional), *(p.replace(kind=positional) for p in own)]
    parameters += [inspect.Parameter(name, positional, default=default) for name, default in COMMON.items()]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # functions accept attributes
    return EnvkitTask(
        run,
        name=function.__name__.rstrip("_"),
        auto_shortflags=False,
        positional=[],
        iterable=[name for name in REPEATED if name in names],
        help={name: texts[name] for name in names if name in texts},
    )
