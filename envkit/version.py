"""The version, in a file that no other distribution has: another one named envkit replaces `envkit/__init__.py`."""

__version__ = "0.1.0"
