"""envkit starts the environment of an integration suite, proves that it works, and removes all of it again.

Its folders are layers. Each layer imports only from itself and from the layers after it in this list: cli; ci and
doctor; operations; evidence; watch and report; inventory and suite; drivers; planning; config; base. datastorage is a
separate program. docs/architecture.md describes each folder in one line.
"""

from envkit.version import __version__ as __version__
