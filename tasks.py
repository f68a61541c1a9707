"""This repository's tasks: envkit's own, and `test`."""

# ruff: noqa: E402  the signal comes first: the imports are most of a command's first half second

import signal
import sys

signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports ends at once, without a traceback

if __name__ == "__main__":
    from envkit.cli.quick import served

    served(sys.argv, {"test": ("--fast",), "pictures": ()})

from pathlib import Path

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from envkit.cli.tasks import namespace as envkit_tasks

HERE = Path(__file__).parent


@task(help={"fast": "lint, types and unit tests only: seconds, no engine"})
def test(_context: Context, fast: bool = False) -> None:
    """The project's own tests on every backend that answers; PYTEST ARGS after `--`."""
    from tests.runner import main

    signal.signal(signal.SIGINT, signal.default_int_handler)  # pytest's own clean-up is waited for
    argv = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    code = main(HERE, fast=fast, pytest_args=argv)
    if code:
        raise Exit(code=code)


@task
def pictures(_context: Context) -> None:
    """Take the pictures of the documents anew: real runs at a real terminal, in the embedded lane."""
    from tests.pictures.__main__ import main

    code = main()
    if code:
        raise Exit(code=code)


namespace = Collection.from_module(sys.modules[__name__])
for name, shared in envkit_tasks.tasks.items():
    namespace.add_task(shared, name)

if __name__ == "__main__":
    from envkit.cli.main import run

    run(namespace)
