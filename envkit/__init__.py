"""envkit brings up what an integration suite needs, proves that it works, and takes all of it away again.

Its folders are layers. Each imports only from itself and from those after it in this list: cli; ci and doctor;
operations; evidence; watch and report; inventory and suite; drivers; planning; config; base. datastorage is a program
of its own. docs/architecture.md has a line about each.
"""

from envkit.version import __version__ as __version__
