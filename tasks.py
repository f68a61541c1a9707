"""Tasks of this repository: envkit's commands, `test` and `pictures`."""

# ruff: noqa: E402  the signal handler is set before the imports, which take most of a command's first half second

import signal
import sys

signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports ends the program at once, without a traceback

if __name__ == "__main__":
    from envkit.cli.fast_path import try_fast_path

    try_fast_path(sys.argv, {"test": ("--fast",), "pictures": ()})

from pathlib import Path

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from envkit.cli.tasks import namespace as envkit_tasks

HERE = Path(__file__).parent


@task(help={"fast": "lint, types and unit tests only: no engine needed"})
def test(_context: Context, fast: bool = False) -> None:
    """Run the project's tests on every backend that answers; arguments for pytest follow `--`."""
    from tests.runner import main

    signal.signal(signal.SIGINT, signal.default_int_handler)  # lets pytest finish its clean-up
    argv = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    code = main(HERE, fast=fast, pytest_args=argv)
    if code:
        raise Exit(code=code)


@task
def pictures(_context: Context) -> None:
    """Create the pictures of the documents again, from real runs in a real terminal, in the embedded lane."""
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
