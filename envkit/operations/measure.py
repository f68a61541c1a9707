"""What Redis and PostgreSQL hold before and after a command, and how that is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from envkit.config.units import about
from envkit.drivers.probes.postgres import PostgresProbe
from envkit.drivers.probes.redis import RedisProbe
from envkit.inventory import observe
from envkit.inventory.session import Session
from envkit.planning.facts import Instance
from envkit.watch import asking
from envkit.watch.asking import Values


def measure(session: Session, instances: Mapping[str, Instance]) -> dict[str, Values]:
    """The numbers of each, by service; one that does not answer is left out."""
    questions: dict[str, Callable[[], Values]] = {}
    for name, instance in instances.items():
        if name in session.environment.services:
            service = observe.probed(session, name, {name: instance})
            target = observe.target_of(session, service, instance)
            match service.probe:
                case RedisProbe() as login:
                    questions[name] = lambda lo=login, t=target: asking.redis(lo, t.host, t.port(lo.port))  # type: ignore[misc]  # a lambda with defaults
                case PostgresProbe() as login:
                    questions[name] = lambda lo=login, t=target: asking.postgres(lo, t.host, t.port(lo.port))  # type: ignore[misc]  # a lambda with defaults
    if not questions:
        return {}
    with ThreadPoolExecutor(len(questions), thread_name_prefix="measure") as pool:
        answers = dict(zip(questions, pool.map(_or_nothing, questions.values()), strict=True))
    return {name: values for name, values in answers.items() if values}


def _or_nothing(ask: Callable[[], Values]) -> Values:
    try:
        return ask()
    except (asking.Silent, KeyError):
        return {}


def told(before: Mapping[str, Values], after: Mapping[str, Values]) -> list[tuple[str, str]]:
    """A line for each service: from what to what."""
    return [(name, _line(values, after.get(name, {}))) for name, values in before.items()]


def _line(before: Values, after: Values) -> str:
    if not after:
        return "does not answer any more"
    return _redis(before, after) if "used_memory" in before else _postgres(before, after)


def _redis(before: Values, after: Values) -> str:
    first, last = (about(_number(values, "used_memory")) for values in (before, after))
    if before.get("run_id") != after.get("run_id"):
        return f"memory {first} -> {last}; it is another server than before: it was started again"
    most = _number(after, "maxmemory")
    limit = f" of {about(most)}" if most else ""
    evicted, refused = (int(_number(after, key) - _number(before, key)) for key in ("evicted_keys", "refused_writes"))
    text = f"memory {first} -> {last}{limit} (peak {about(_number(after, 'used_memory_peak'))})"
    return f"{text}, {evicted} keys evicted, {refused} writes refused for want of memory"


def _postgres(before: Values, after: Values) -> str:
    if before.get("started") != after.get("started"):
        return "it is another server than before: it was started again"
    first, last = (int(_number(values, "connections")) for values in (before, after))
    sizes = (about(_number(values, "database_bytes")) for values in (before, after))
    limit = int(_number(after, "max_connections"))
    text = f"connections {first} -> {last} of {limit}, database {' -> '.join(sizes)}"
    locks = int(_number(after, "deadlocks") - _number(before, "deadlocks"))
    return f"{text}, {locks} deadlocks" if locks else text


def _number(values: Values, name: str) -> float:
    return float(values.get(name, 0.0))
