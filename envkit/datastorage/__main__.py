"""``python -m envkit.datastorage``: reads the environment, serves until SIGTERM. Exit code 2: the configuration."""

import gc
import os
import resource
import sys

from envkit.datastorage import account, logs
from envkit.datastorage.errors import ConfigurationError
from envkit.datastorage.settings import load


def main() -> int:
    """Exit code 0 after a signal, 2 when the configuration is at fault."""
    try:
        settings = load(os.environ)
        logs.configure(settings.log_level)
        from envkit.datastorage.server import Runner  # the rest of the service, once it is known that it can start

        _allow_files()
        account.become(os.environ)
        runner = Runner(settings)
        gc.collect()
        gc.freeze()  # what is loaded by now never goes: to look through it takes 35 ms, in which nobody was answered
        runner.run()
    except ConfigurationError as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    return 0


def _allow_files() -> None:
    """Each connection is an open file, and the usual 1,024 are too few for its limits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 16_384 if hard == resource.RLIM_INFINITY else min(16_384, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    sys.exit(main())
