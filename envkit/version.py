"""The version of envkit, in its own file, because another distribution `envkit` can overwrite `envkit/__init__.py`."""

__version__ = "0.1.0"
