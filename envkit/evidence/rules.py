"""The rules of the verdict, in order. Each yields hypotheses about the cause of the failure. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from envkit.base import errors
from envkit.evidence import log_patterns
from envkit.evidence.findings import NOT_IN_TIME, DiskFact, Findings
from envkit.evidence.hypothesis import Confidence, Hypothesis
from envkit.evidence.reading import about, clock, failed, number, of, unreached

if TYPE_CHECKING:
    from envkit.watch.timeline import Happening

Rule = Callable[[Findings], Iterator[Hypothesis]]

BY_ERROR: tuple[tuple[type[errors.EnvkitError], str], ...] = (
    (errors.PortTaken, "a port is taken"),
    (errors.ImageUnavailable, "an image is not available"),
    (errors.EngineError, "the container engine failed"),
    (errors.ToolMissing, "a program that envkit drives is missing"),
    (errors.ServiceDied, "a service died during its start"),
    (errors.NotReady, "a service was not ready in time"),
    (errors.ClusterError, "the cluster failed"),
    (errors.StepsFailed, "several steps failed"),
    (errors.ConfigError, "the configuration cannot be used"),
    (errors.HolderError, "another checkout holds the environment"),
    (errors.NotUp, "the environment is not up"),
    (errors.Bug, "envkit had an internal error"),
    (errors.EnvironmentFailed, "the environment failed"),
    (errors.EnvkitError, "envkit stopped with an error"),
)
"""The meaning of each class of envkit's errors; subclasses come before their base class."""


def own_error(found: Findings) -> Iterator[Hypothesis]:
    """Yield a hypothesis for the error with which envkit itself stopped."""
    if found.error is None or isinstance(found.error, errors.Cancelled):
        return
    meaning = next(words for kind, words in BY_ERROR if isinstance(found.error, kind))
    said = " ".join(line.strip() for line in found.error.message.splitlines())
    yield Hypothesis("environment", "certain", f"{meaning}: {said}", found.error.hint, proved=True)


def engine_gone(found: Findings) -> Iterator[Hypothesis]:
    """Yield a hypothesis if the engine does not answer now, or did not answer for a while during the run."""
    if found.engine:
        reason = f"the container engine does not answer: {found.engine}"
        sure: Confidence = "possible" if found.engine == NOT_IN_TIME else "certain"  # the machine can be busy
        yield Hypothesis("environment", sure, reason, "is the engine still running?", proved=True)
    for happened in of(found, "error"):
        if happened.detail.get("class") == "EngineError" and not found.engine:
            reason = f"the container engine did not answer at {clock(happened.at)}: {happened.message}"
            yield Hypothesis("environment", "likely", reason, "is this machine overloaded?", happened.at, over=True)
            return


def disk_full(found: Findings) -> Iterator[Hypothesis]:
    """Yield a hypothesis for each disk of the environment that is full now, or was nearly full during the run."""
    for disk in found.disks:
        if disk.full:
            yield _disk(f"the disk at {disk.path} is full: {_left(disk)}", "certain")
    for happened in of(found, "disk"):
        yield _disk(f"the disk was nearly full: {happened.message}", "likely", happened.at)


def _disk(reason: str, sure: Confidence, at: float | None = None) -> Hypothesis:
    kinds = frozenset({log_patterns.DISK})
    return Hypothesis("environment", sure, reason, "free space on that disk and run again", at=at, kinds=kinds)


def _left(disk: DiskFact) -> str:
    return "no file can be made" if disk.files == 0 else f"{disk.free >> 20} MiB are free"


def short_of_memory(found: Findings) -> Iterator[Hypothesis]:
    """Yield a hypothesis for each service that the kernel killed at its memory limit, or that came near it."""
    near = {one.service: one for one in of(found, "memory")}
    killed = {fact.name for fact in found.services or () if fact.oom}
    killed |= {one.service for one in of(found, "died", "oom", "restarted") if _by_kernel(one, near.get(one.service))}
    for service in sorted(killed):
        at = min((one.at for one in of(found, "died", "oom", "restarted") if one.service == service), default=None)
        reason = f"{service} was killed by the kernel at its memory limit"
        yield about(service, "certain", reason, f"raise services.{service}.memory, or keep less in it", at)
    for service, happened in near.items():
        if service not in killed:
            reason = f"{service} came near its memory limit: {happened.message}"
            yield about(service, "possible", reason, f"raise services.{service}.memory", happened.at, over=True)


def _by_kernel(happened: Happening, near: Happening | None) -> bool:
    """Return whether the kernel killed the service for its memory.

    Not every engine reports this. It is therefore also True if SIGKILL ended the service after it came near its limit.
    """
    told = "by the kernel because" in happened.message
    after = near is not None and near.at <= happened.at and bool(happened.detail.get("oom"))
    return told or (after and near is not None and near.detail.get("what") != "data in memory")


def died(found: Findings) -> Iterator[Hypothesis]:
    """Yield a hypothesis for each service that died or restarted while the command ran, or that does not run now."""
    seen: set[str] = set()
    for happened in of(found, "died", "restarted"):
        if happened.service in seen:
            continue
        seen.add(happened.service)
        over = happened.kind == "restarted" or found.well(happened.service)
        reason = f"{happened.service} {_ended(happened)} at {clock(happened.at)}"
        hint = f"its log in the evidence says why; `up` repairs it: logs/{happened.service}.log"
        yield about(happened.service, "likely" if over else "certain", reason, hint, happened.at, over)
    for fact in found.services or ():
        if fact.wrong and fact.name not in seen and (fact.exit_code is not None or fact.absent):
            reason = f"{fact.name} does not run: it {fact.wrong}"
            yield about(fact.name, "certain", reason, f"its log says why; `up` repairs it: logs/{fact.name}.log")


def _ended(happened: Happening) -> str:
    code = happened.detail.get("exit_code")
    how = "was restarted" if happened.kind == "restarted" else "died"
    return f"{how} (exit {code})" if code is not None else how


def silent(found: Findings) -> Iterator[Hypothesis]:
    """Yield a hypothesis for each running service that does not answer its probe now, or did not during the run."""
    for fact in found.services or ():
        if fact.wrong and fact.exit_code is None and not fact.absent:
            at = min((one.at for one in of(found, "unhealthy") if one.service == fact.name), default=None)
            watched = bool(found.happenings) and at is None  # no failure before: the machine may be busy now
            sure: Confidence = "likely" if watched and not fact.paused else "certain"
            hint = "resume it" if fact.paused else f"its log may say why: logs/{fact.name}.log"
            reason = f"{fact.name} is paused" if fact.paused else f"{fact.name} does not answer: {fact.wrong}"
            yield about(fact.name, sure, reason, hint, at)
    for happened in of(found, "unhealthy"):
        if "max_connections" in happened.detail:
            kinds = frozenset({log_patterns.CLIENTS})
            reason = f"{happened.service} was short of connections: {happened.message}"
            hint = LOGGED[log_patterns.CLIENTS][1]
            yield Hypothesis(
                "environment", "possible", reason, hint, happened.at, service=happened.service, kinds=kinds
            )
        elif found.well(happened.service) and happened.service:
            back = next((one.at for one in of(found, "recovered") if one.at > happened.at), None)
            long = f" for {back - happened.at:.0f} s" if back else ""
            reason = f"{happened.service} did not answer{long} from {clock(happened.at)}: {happened.message}"
            hint = f"its log of that time: logs/{happened.service}.log"
            yield about(happened.service, "likely", reason, hint, happened.at, over=True)


def api_server(found: Findings) -> Iterator[Hypothesis]:
    """Yield a hypothesis if the API server is or was unreachable, was slow, or refused requests (429)."""
    if found.cluster:
        first = min((one.at for one in of(found, "apiserver")), default=None)
        reason = f"the API server does not answer: {found.cluster}"
        sure: Confidence = "likely" if found.happenings and first is None else "certain"
        yield about("cluster", sure, reason, "its log is in the evidence; `up` repairs it", first)
    throttled = [one for one in of(found, "apiserver") if _throttles(one)]
    if throttled:
        reason = f"the API server throttled requests: {throttled[0].message}"
        hint = "raise cluster.limits, or let the suite's clients retry 429"
        kinds = frozenset({log_patterns.THROTTLED})
        yield Hypothesis(
            "environment", "likely", reason, hint, throttled[0].at, over=True, service="cluster", kinds=kinds
        )
    slow = [one for one in of(found, "apiserver") if one.detail.get("slow")]
    if slow:
        yield about(
            "cluster", "possible", slow[0].message, "is this machine overloaded? see host/", slow[0].at, over=True
        )
    gone = [one for one in of(found, "apiserver") if not _throttles(one) and one not in slow]
    if gone and not found.cluster:
        reason = f"the API server did not answer for a while from {clock(gone[0].at)}: {gone[0].message}"
        yield about("cluster", "likely", reason, "its log of that time is in the evidence", gone[0].at, over=True)


def _throttles(happened: Happening) -> bool:
    text = f"{happened.message} {happened.detail.get('seen', '')}"
    return str(happened.detail.get("status")) == "429" or "429" in text or "throttl" in text.lower()


def redis_full(found: Findings) -> Iterator[Hypothesis]:
    """Yield a hypothesis for each Redis that refuses writes at `maxmemory` (noeviction), or that evicted keys."""
    refusing = {one.service for one in of(found, "oom") if _refuses(one)}
    for service in sorted({*found.redis, *refusing}):
        sample = found.redis.get(service, {})
        most, used = number(sample.get("maxmemory")), number(sample.get("used_memory"))
        policy = str(sample.get("maxmemory_policy", ""))
        hint = f"raise services.{service}.options.maxmemory, flush it between tests, or keep less in it"
        if most and policy == "noeviction" and used >= 0.98 * most:
            reason = f"{service} is full ({used / most:.0%} of maxmemory) and refuses writes (noeviction)"
            yield Hypothesis(
                "environment",
                "certain",
                reason,
                hint,
                service=service,
                kinds=frozenset({log_patterns.FULL, log_patterns.MEMORY}),
            )
        refused = number(sample.get("refused")) or service in refusing
        if refused and not (most and policy == "noeviction" and used >= 0.98 * most):
            reason = f"{service} refused writes because it was full"
            yield Hypothesis(
                "environment", "likely", reason, hint, service=service, kinds=frozenset({log_patterns.FULL})
            )
        evicted = number(sample.get("evicted"))
        if evicted:
            reason = f"{service} evicted {evicted:.0f} keys at maxmemory ({policy or 'eviction'})"
            yield Hypothesis(
                "environment", "possible", reason, hint, service=service, kinds=frozenset({log_patterns.FULL})
            )
    for happened in of(found, "evicting"):
        if not number(found.redis.get(happened.service, {}).get("evicted")):
            reason = f"{happened.service} evicted keys: {happened.message}"
            hint = f"raise services.{happened.service}.options.maxmemory"
            yield Hypothesis("environment", "possible", reason, hint, happened.at, service=happened.service)


def _refuses(happened: Happening) -> bool:
    return happened.detail.get("what") == "maxmemory"


LOGGED = {
    log_patterns.DISK: ("reported a full disk", "free space, or raise the size of its tmpfs or volume"),
    log_patterns.CLIENTS: ("ran out of connections", "close connections in the suite, or raise max_connections"),
    log_patterns.FILES: (
        "ran out of open files",
        "raise the limit of open files (ulimit -n), or close what is not used",
    ),
    log_patterns.MEMORY: ("could not get memory", "raise its memory limit, or free memory on this machine"),
}


def logged(found: Findings) -> Iterator[Hypothesis]:
    """Yield a hypothesis for each log line that a service writes only if the machine or its limits are at fault."""
    for sign in found.logs:
        what, hint = LOGGED[sign.kind]
        kinds = frozenset({sign.kind})
        yield Hypothesis(
            "environment", "likely", f"{sign.service} {what}: {sign.line}", hint, service=sign.service, kinds=kinds
        )


def tests_name_the_machine(found: Findings) -> Iterator[Hypothesis]:
    """Yield a hypothesis if failed tests report a full disk, a full Redis, too few connections or throttling."""
    meanings = {
        log_patterns.DISK: ("a full disk", LOGGED[log_patterns.DISK][1], "likely"),
        log_patterns.FULL: ("a Redis that is full", "raise its options.maxmemory, or flush it between tests", "likely"),
        log_patterns.CLIENTS: ("PostgreSQL out of connections", LOGGED[log_patterns.CLIENTS][1], "possible"),
        log_patterns.THROTTLED: (
            "throttling (429)", "raise cluster.limits, or let the suite's clients retry 429", "possible",
        ),
    }  # fmt: skip
    for kind, (what, hint, sure) in meanings.items():
        hit = [one for one in failed(found) if kind in log_patterns.complaint(one.message).kinds]
        if hit:
            reason = f"{len(hit)} failed tests report {what}, first {hit[0].test}"
            confidence: Confidence = "likely" if sure == "likely" else "possible"
            yield Hypothesis("environment", confidence, reason, hint, proved=True)


def out_of_reach(found: Findings) -> Iterator[Hypothesis]:
    """Yield a hypothesis for each service that failed tests could not reach, although it works now."""
    for port, name in found.ports.items():
        hit = [one for one in failed(found) if port in unreached(one)]
        if hit and found.well(name.partition(".")[0]):
            reason = f"{len(hit)} failed tests could not reach {name} on port {port}, which answers now"
            yield Hypothesis(
                "environment", "possible", reason, "compare the times with the timeline and the probes", proved=True,
                service=name.partition(".")[0],
            )  # fmt: skip


ENVIRONMENT: tuple[Rule, ...] = (
    own_error, engine_gone, disk_full, short_of_memory, died, silent, api_server, redis_full, logged,
    tests_name_the_machine, out_of_reach,
)  # fmt: skip
"""Rules for faults of the environment. A likely root cause comes first: a full disk, for example, kills services."""


def trouble_before(found: Findings) -> bool:
    """Return whether the findings show a fault of the environment, apart from the messages of failed tests."""
    return any(rule for rule in ENVIRONMENT[:-2] for _ in rule(found))
