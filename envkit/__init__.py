"""envkit brings up what an integration suite needs, proves that it works, and takes all of it away again."""

__version__ = "0.1.0"
