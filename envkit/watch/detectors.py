"""Turns repeated observations into events, and reports each event once. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from envkit.config.units import about
from envkit.planning.facts import Instance
from envkit.watch.timeline import Happening, Scalar

NEAR = 0.9
"""Share of a limit. If the use is at least this share, it is reported, and again only after it was below `CALM`."""

CALM = 0.8
"""Share of a limit. After the use was below this share, a use of at least `NEAR` is reported again."""

TWICE = 2
"""Number of probes in a row that must fail before a report. A busy machine can cause a single failure."""

SLOW = 1.0
"""Number of seconds. If the API server takes longer to answer `/readyz`, this is reported."""

SCARCE = 200 << 20
"""Number of bytes. Less free space on a disk is reported, because etcd and PostgreSQL then stop soon."""

Values = Mapping[str, float | str]


def change(at: float, before: Instance, now: Instance) -> Iterator[Happening]:
    """Yield what happened to a service between two observations of it."""
    name = now.service or before.service
    ended = {"exit_code": now.exit_code, "oom": now.oom_killed, "id": now.id[:12]}
    if before.running and now.state == "paused":
        yield Happening(at, "unhealthy", name, "is paused", {"state": "paused"})
    elif before.running and not now.running:
        yield Happening(at, "died", name, now.death(), ended)
        if now.oom_killed:
            yield Happening(at, "oom", name, f"ran out of memory: its limit is {about(now.memory)}", ended)
    elif now.running and before.state == "paused":
        yield Happening(at, "recovered", name, "runs again after a pause", {})
    elif now.running and (now.id, now.started_at) != (before.id, before.started_at):
        yield Happening(at, "restarted", name, "was restarted", {"id": now.id[:12], "was": before.id[:12]})


@dataclass
class Health:
    """The results of one service's probe over time."""

    service: str
    failures: int = 0
    said: bool = False

    def dead(self) -> None:
        """Record that the service does not run; `change` reports that. The next probe that passes is reported."""
        self.failures, self.said = TWICE, True

    def saw(self, at: float, seen: str | None) -> Iterator[Happening]:
        """Record the result of one attempt (None if the probe passed), and yield what must be reported."""
        if seen is None:
            if self.said:
                yield Happening(at, "recovered", self.service, "its probe passes again")
            self.failures, self.said = 0, False
            return
        self.failures += 1
        if self.failures >= TWICE and not self.said:
            self.said = True
            yield Happening(at, "unhealthy", self.service, seen, {"seen": seen})


@dataclass
class Level:
    """Compares memory use with a limit. It reports use from `NEAR` upwards, and again only after use below `CALM`."""

    service: str
    what: str
    said: bool = False

    def saw(self, at: float, used: float, limit: float) -> Iterator[Happening]:
        """Record the used and the allowed bytes, and yield a report near the limit. A limit of 0 means no limit."""
        share = used / limit if limit else 0.0
        if share >= NEAR and not self.said:
            self.said = True
            detail: dict[str, Scalar] = {
                "used": int(used),
                "limit": int(limit),
                "share": round(share, 3),
                "what": self.what,
            }
            text = f"{self.what}: {about(used)} of {about(limit)}"
            yield Happening(at, "memory", self.service, text, detail)
        elif share < CALM:
            self.said = False


@dataclass
class RedisSigns:
    """Reports from the numbers of a Redis: little memory left, keys evicted, writes refused, the server restarted."""

    service: str
    last: Values = field(default_factory=dict)
    level: Level = field(init=False)
    evicting: bool = False

    def __post_init__(self) -> None:
        self.level = Level(self.service, "data in memory")

    def saw(self, at: float, values: Values) -> Iterator[Happening]:
        """Record the numbers of one `INFO` command, and yield what must be reported."""
        last, self.last = self.last, values
        again = bool(last) and last.get("run_id") != values.get("run_id")
        if again:
            self.evicting = False
            yield Happening(at, "restarted", self.service, "is a new server process: its data is lost", {})
        yield from self.level.saw(at, _number(values, "used_memory"), _number(values, "maxmemory"))
        if last and not again:
            yield from self._grown(at, last, values)

    def _grown(self, at: float, last: Values, values: Values) -> Iterator[Happening]:
        evicted = _number(values, "evicted_keys") - _number(last, "evicted_keys")
        if evicted > 0 and not self.evicting:
            self.evicting = True
            full: dict[str, Scalar] = {
                "evicted_keys": int(_number(values, "evicted_keys")),
                "policy": str(values.get("maxmemory_policy")),
            }
            yield Happening(at, "evicting", self.service, "evicts keys: its memory is full", full)
        refused = _number(values, "refused_writes") - _number(last, "refused_writes")
        if refused > 0 and not _number(last, "refused_writes"):
            count = int(_number(values, "refused_writes"))
            full = {"refused_writes": count, "what": "maxmemory"}
            yield Happening(at, "oom", self.service, "refuses writes: its memory is full", full)


@dataclass
class PostgresSigns:
    """Reports from the numbers of a PostgreSQL: few connections left, the server restarted."""

    service: str
    last: Values = field(default_factory=dict)
    said: bool = False

    def saw(self, at: float, values: Values) -> Iterator[Happening]:
        """Record the numbers of one query, and yield what must be reported."""
        last, self.last = self.last, values
        if last and last.get("started") != values.get("started"):
            yield Happening(at, "restarted", self.service, "is a new server process", {})
        used, most = _number(values, "connections"), _number(values, "max_connections")
        if most and used / most >= NEAR and not self.said:
            self.said = True
            detail = {"connections": int(used), "max_connections": int(most)}
            yield Happening(at, "unhealthy", self.service, f"{used:.0f} of {most:.0f} connections are taken", detail)
        elif most and used / most < CALM:
            self.said = False


class NoSigns:
    """A detector for stores without rules: it reports nothing."""

    def saw(self, _at: float, _values: Values) -> Iterator[Happening]:
        """Return no happenings."""
        return iter(())


def of_store(kind: str, service: str) -> RedisSigns | PostgresSigns | NoSigns:
    """Return the detector for the numbers of a store of that kind."""
    judges: dict[str, type[RedisSigns | PostgresSigns]] = {"redis": RedisSigns, "postgres": PostgresSigns}
    return judges[kind](service) if kind in judges else NoSigns()


@dataclass
class ApiSigns:
    """Reports that the API server is unreachable, is slow, or refuses requests because there are too many."""

    failures: int = 0
    said: bool = False
    rejected: float = 0.0
    known: bool = False

    def silent(self, at: float, seen: str) -> Iterator[Happening]:
        """Record that the API server was not ready; yield a report after several failures in a row."""
        self.failures += 1
        if self.failures >= TWICE and not self.said:
            self.said = True
            yield Happening(at, "apiserver", "cluster", f"the API server is not ready: {seen}", {"seen": seen})

    def saw(self, at: float, values: Values) -> Iterator[Happening]:
        """Record that the API server is ready, or the number of refused requests; yield what must be reported."""
        if "ready" in values:
            if self.said:
                yield Happening(at, "recovered", "cluster", "the API server is ready again", {})
            self.failures, self.said = 0, False
            if (took := _number(values, "latency")) > SLOW:
                text = f"the API server took {took:.1f} s to report that it is ready"
                yield Happening(at, "apiserver", "cluster", text, {"latency": took, "slow": True})
        if "rejected" in values:
            before, self.rejected = self.rejected, _number(values, "rejected")
            more, known, self.known = int(self.rejected - before), self.known, True
            if known and more > 0:
                text = f"the API server refused {more} requests because there were too many (429)"
                yield Happening(at, "apiserver", "cluster", text, {"rejected": more, "status": 429})


@dataclass
class DiskSigns:
    """Reports disks with little free space, among the disks that the environment writes to."""

    said: set[str] = field(default_factory=set)

    def saw(self, at: float, path: str, free: int) -> Iterator[Happening]:
        """Yield a report if less than `SCARCE` bytes are free; the next only after `2 * SCARCE` bytes were free."""
        if free < SCARCE and path not in self.said:
            self.said.add(path)
            text = f"{about(free)} free on the disk of {path}"
            yield Happening(at, "disk", "", text, {"path": path, "free": free})
        elif free > 2 * SCARCE:
            self.said.discard(path)


def _number(values: Values, name: str) -> float:
    try:
        return float(values.get(name, 0.0))
    except ValueError:
        return 0.0
