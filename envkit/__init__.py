"""envkit starts the environment of an integration suite, proves that it works, and removes all of it again.

The folders are layers, and each layer imports only from those below it: cli, ci and doctor, operations, evidence, watch
and report, inventory and suite, drivers, planning, config, base. docs/architecture.md describes each of them.
"""

from envkit.version import __version__ as __version__
