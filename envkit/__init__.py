"""envkit brings up what an integration suite needs, proves that it works, and takes all of it away again.

Its folders are layers; each imports from those below it: cli, ci and doctor, operations, evidence, watch and report,
inventory and suite, drivers, planning, config, base. docs/architecture.md has a line about each.
"""

from envkit.version import __version__ as __version__
