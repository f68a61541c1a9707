"""Patterns that show a cause in failure messages of tests and in logs of services. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

CONNECTION, TIMEOUT, DISK, FULL, CLIENTS, FILES, MEMORY, THROTTLED, PORT, NAME, OWN, RIGHT = (
    "connection", "timeout", "disk", "redis-full", "clients", "open-files", "memory", "throttled", "port", "name",
    "registration", "right",
)  # fmt: skip

SIGNS: Mapping[str, re.Pattern[str]] = {
    kind: re.compile(pattern, re.IGNORECASE)
    for kind, pattern in {
        DISK: r"no space left on device|\bENOSPC\b|disk quota exceeded|\[Errno 28\]",
        FULL: r"command not allowed when used memory|\bOOM command not allowed",
        CLIENTS: r"too many clients already|remaining connection slots are reserved|max number of clients reached",
        FILES: r"too many open files|\bEMFILE\b|no file descriptors available",
        MEMORY: r"cannot allocate memory|\bENOMEM\b|oom-?kill",
        THROTTLED: r"too ?many ?requests|\b429\b.{0,40}(status|request)|status.{0,10}\b429\b",
        OWN: r"duplicate metrics collector registration|Duplicated timeseries in CollectorRegistry",
        RIGHT: r"permission denied to (create|alter|set|grant|copy|execute)|must be (a )?superuser|only superuser"
        r"|permission denied for function (pg_|lo_)|can't set protected config|(MODULE|DEBUG) command not allowed"
        r"|\bNOPERM\b",
        PORT: r"address already in use|\bEADDRINUSE\b|\[Errno 98\]",
        CONNECTION: r"connection (was )?(refused|reset|closed|aborted)|\bECONN(REFUSED|RESET)\b|\[Errno 1(11|04)\]"
        r"|broken pipe|server closed the connection|unexpected EOF|terminating connection due to"
        r"|the database system is (starting up|shutting down|in recovery mode|not yet accepting)|no route to host"
        r"|ConnectionRefusedError|ConnectionResetError|Max retries exceeded|failed to connect|could not connect",
        NAME: r"no such host|name or service not known|temporary failure in name resolution|nodename nor servname",
        TIMEOUT: r"i/o timeout|(context )?deadline exceeded|timed? ?out\b|\bETIMEDOUT\b|TimeoutError|ReadTimeout",
    }.items()
}
"""Maps each kind of cause to the wording of libraries in the usual languages. Kinds are reported in this order."""

REACH = frozenset({CONNECTION, TIMEOUT, NAME})
"""Kinds that show that a test could not reach a target. The target shows whose fault it is: test or environment."""

DECISIVE = frozenset({DISK, CLIENTS, FILES, MEMORY})
"""Kinds that a service logs only if the machine or its limits are at fault."""

_PORTS = (
    re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\]|0\.0\.0\.0)['\"]?(?::|\s*,\s*|,? port[ =:]+)(\d{2,5})\b"),
    re.compile(r"\bport[\"']?\s*[=:]?\s*[\"']?(\d{2,5})\b", re.IGNORECASE),
)


@dataclass(frozen=True)
class Complaint:
    """The kinds of causes that a text shows, and the ports of this machine that it names."""

    kinds: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()


def complaint(text: str) -> Complaint:
    """Return the causes that a failure message shows. A plain assertion of the suite shows no cause."""
    kinds = tuple(kind for kind, pattern in SIGNS.items() if pattern.search(text))
    ports = tuple(dict.fromkeys(int(port) for pattern in _PORTS for port in pattern.findall(text) if int(port) < 65536))
    return Complaint(kinds, ports if kinds else ())


_WHEN = re.compile(r"^\S{0,30}?(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)\S*( UTC| GMT)?")


def before(line: str, moment: float) -> bool:
    """Return whether the line's timestamp is before `moment`. Without a timestamp the result is False."""
    found = _WHEN.match(line)
    if not found:
        return False
    at = datetime.fromisoformat(f"{found[1]}T{found[2]}")
    universal = found[3] or found[0].endswith("Z")
    return (at.replace(tzinfo=UTC) if universal else at.astimezone()).timestamp() < moment - 1


def decisive(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield, for each decisive kind, the kind and the first log line that shows it."""
    seen: set[str] = set()
    for line in lines:
        for kind in DECISIVE - seen:
            if SIGNS[kind].search(line):
                seen.add(kind)
                yield kind, line.strip()[:300]
