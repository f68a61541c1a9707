"""The program of the supervisor: `run` starts `python -m envkit.cli.supervising` before it brings anything up."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from envkit.base.registry import runs_processes

if TYPE_CHECKING:
    from envkit.watch.supervisor import Watched


def main() -> None:
    """Read the environment from the first line of standard input, then follow the wrapper's messages.

    Signals of a terminal have no effect, because they are for the wrapper.
    """

    def heard(_signum: int, _frame: FrameType | None) -> None:
        """Do nothing. Programs that the supervisor starts inherit ignored signals, but not this handler."""

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, heard)
    first = sys.stdin.readline()
    if not first.endswith("\n"):
        return  # the wrapper (`envkit run`) died before it did anything
    hello = json.loads(first)
    os.environ.clear()
    os.environ.update(hello["flags"]["environ"])
    _follow(hello)


def _follow(hello: dict[str, Any]) -> None:
    from envkit.cli.context import opened, run_down
    from envkit.cli.flags import Flags
    from envkit.watch.supervisor import Supervisor, folder_of, write_to_wrapper

    flags = Flags.heard(hello["flags"])
    _prepare(engines=not runs_processes(flags.lane or ""))

    def collect(watched: Watched, folder: Path, seconds: float) -> None:
        from envkit.evidence import collect

        collect(watched.environment, watched.paths, watched.drivers, folder, seconds=seconds)

    def renew() -> None:
        from envkit.inventory import state
        from envkit.operations.tokens import renew_tokens_from_host

        record = state.read(flags.paths())
        if record:
            renew_tokens_from_host(record, flags.paths(), flags.environ)

    Supervisor(
        folder_of(hello["folder"]),
        hello["name"],
        opened=lambda: opened(flags, alone=True),
        down=lambda: run_down(flags, alone=True)[1],
        renew=renew,
        write=write_to_wrapper,
        collect=collect,
        keep=bool(hello["keep"]),
    ).follow(sys.stdin)


def _prepare(*, engines: bool) -> None:
    """Import modules in advance, while the environment comes up. There is little time after the wrapper is killed."""
    import envkit.config.load
    import envkit.operations.remove
    import envkit.watch.watch  # noqa: F401  imported in advance

    if engines:
        import docker  # noqa: F401  imported in advance


if __name__ == "__main__":
    main()
