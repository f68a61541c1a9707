"""envkit brings up what an integration suite needs, proves that it works, and takes all of it away again."""

from envkit.version import __version__ as __version__
