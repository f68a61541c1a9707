"""A toy check of doctor."""

from __future__ import annotations

from collections.abc import Iterator

from envkit.doctor.finding import Finding
from envkit.doctor.host import Host


def toys(_host: Host) -> Iterator[Finding]:
    yield Finding("toys", ("embedded",), "ok", "there are toys")


CHECKS = (("toys", toys),)
