"""A toy runtime: processes of this host, under another name."""

from __future__ import annotations

from envkit.drivers.runtimes.base import RuntimeKind
from envkit.drivers.runtimes.on_this_host import HostBackend, entered

RUNTIME = RuntimeKind(entered, lambda opening: HostBackend(opening, where="toys"))
