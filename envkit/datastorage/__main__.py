"""The program ``python -m envkit.datastorage``: it reads its settings and serves until SIGTERM or SIGINT.

It exits with code 2 if the configuration is wrong.
"""

import gc
import os
import resource
import sys

from envkit.datastorage import account, logs
from envkit.datastorage.errors import ConfigurationError
from envkit.datastorage.settings import load


def main() -> int:
    """Serve until a signal arrives. Return 0 after a signal, or 2 if the configuration is wrong."""
    try:
        settings = load(os.environ)
        logs.configure(settings.log_level)
        from envkit.datastorage.server import Runner  # slow: imported only after the settings are valid

        _allow_files()
        account.become(os.environ)
        runner = Runner(settings)
        gc.collect()
        gc.freeze()  # exempts loaded objects: a full garbage collection with them would block all requests for 35 ms
        runner.run()
    except ConfigurationError as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    return 0


def _allow_files() -> None:
    """Raise the limit of open files to 16,384: each connection is an open file, and the usual 1,024 are too few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 16_384 if hard == resource.RLIM_INFINITY else min(16_384, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    sys.exit(main())
