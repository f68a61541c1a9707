"""How a function becomes a task: its own options, those every command has, one way to fail."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from invoke.tasks import Task

from envkit.cli.options import COMMON, REPEATED, SHORT, carried_out
from envkit.cli.reporting import reported

HELP = {
    "file": "configuration file (else envkit.yaml, found by walking up)",
    "profile": "profile by name (default: gateway)",
    "overlay": "profile or file laid over it; repeatable",
    "name": "name of the environment (default: the profile's)",
    "engine": "docker, podman or auto",
    "lane": "containers, mixed, embedded or auto",
    "port_offset": "added to every host port; auto chooses one under which all are free",
    "set": "KEY=VALUE, such as services.redis.options.maxmemory=1GiB; repeatable",
    "json": "machine output",
    "debug": "show tracebacks",
    "service": "a service; repeatable, or as plain words after the command",
    "keep": "leave things as they are afterwards, success or failure",
    "replace": "replace also services that hold data, which is lost, where their configuration differs",
    "build": "build images anew",
    "force": "also when another checkout holds the environment",
    "format": "dotenv, shell or json",
    "ttl": "how long it is wanted, such as 8h; `prune` takes it after that, and in CI the next job (else ENVKIT_TTL)",
    "environment": "an environment's name; repeatable, or as plain words after the command",
    "shell": "bash, zsh or fish, as a plain word after the command",
    "action": "pull, build, save or load, and what follows; as plain words after the command",
    "image": "an image; repeatable, or as plain words after the command",
    "yes": "do not ask",
    "fix": "mend what is your own, after asking",
    "artifacts": "folder in which evidence is put, else the state directory",
    "ci": "as in a CI job: groups, masks, summary; by itself on GitHub Actions and GitLab CI",
    "junit": "file for a JUnit report of the steps",
    "dotenv": "file for the variables as GitLab's dotenv report, without secrets",
    "archive": "one .tar.gz instead of a folder",
    "watch": "look again every two seconds, until Ctrl-C",
    "follow": "also what comes; `-f` too, where no file's name follows",
    "repeat": "run the command N times, reset in between; stop at the first run that is not clean",
    "timeline": "also show where the time went: who waited for whom, and the critical path",
    "tail": "only the last N lines of each log",
}


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
        return carried_out(function, given)

    body.__name__, body.__doc__, body.__module__ = function.__name__, function.__doc__, function.__module__
    run = reported(body)
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter("context", positional), *(p.replace(kind=positional) for p in own)]
    parameters += [inspect.Parameter(name, positional, default=default) for name, default in COMMON.items()]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # functions take attributes
    return EnvkitTask(
        run,
        name=function.__name__.rstrip("_"),
        auto_shortflags=False,
        positional=[],
        iterable=[name for name in REPEATED if name in names],
        help={name: HELP[name] for name in names if name in HELP},
    )
