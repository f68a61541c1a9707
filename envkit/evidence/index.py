"""Writes the evidence's first page: the likely cause, the timeline, the state at collection, and the list of files."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import datetime

from envkit.evidence.bundle import Bundle
from envkit.evidence.collectors.context import CollectionContext
from envkit.evidence.findings import Findings
from envkit.evidence.redaction import HIDDEN
from envkit.evidence.verdict import Verdict

LONGEST = 200
"""Maximum number of lines of the timeline on the page. The whole of a longer timeline is in `run/timeline.jsonl`."""

WHERE = {
    "index.md": "this page",
    "run": "the files of the run: timeline, samples, results of probes, events, followed logs",
    "logs": "each service's log",
    "inspect": "facts from the engine or the kernel about each service",
    "probes-now.yaml": "the result of each probe while this was collected",
    "stores": "Redis: INFO, clients; PostgreSQL: activity, locks, sizes",
    "tests": "the reports (JUnit) that the command wrote",
    "cluster": "the API server: objects, events, throttling",
    "pods": "logs of pods",
    "nodes": "`kind export logs`, and the output of the cluster's creation",
    "environment": "the configuration, what `up` would do now, the record of the last `up`",
    "host": "this machine: memory, disks, load, ports and the processes that listen there",
    "engine-events.jsonl": "events that the engine reported",
    "versions.yaml": "versions of programs, libraries and images",
}
"""Maps the first part of a file's path to a description of what the file or folder contains."""


def write(bundle: Bundle, scene: CollectionContext, verdict: Verdict) -> None:
    """Write `index.md` into the closed bundle."""
    bundle.last("index.md", "\n".join(_page(bundle, scene, verdict)) + "\n")


def _page(bundle: Bundle, scene: CollectionContext, verdict: Verdict) -> Iterator[str]:
    found, drivers = scene.findings, scene.drivers
    yield f"# {verdict.headline}"
    yield ""
    yield from (f"- {line}" for line in verdict.because)
    if verdict.next:
        yield f"\nNext: {verdict.next}"
    yield ""
    yield f"Environment `{scene.environment.name}`, {drivers.lane} on {drivers.where}, {_stamp(None)}."
    if found.argv:
        ended = "never ended" if found.code is None else f"ended with {found.code}"
        yield f"Command: `{shlex.join(found.argv)}`, {ended}."
    if found.error:
        yield f"\nenvkit's error:\n\n{_quoted(found.error.message)}"
    yield from _timeline(found)
    yield from _tests(found)
    yield from _now(found)
    yield from _files(bundle)


def _timeline(found: Findings) -> Iterator[str]:
    rows = [(it.at, f"{it.service or '-'}: {it.kind}: {' '.join(it.message.split())[:300]}") for it in found.happenings]
    rows += [(it.at, f"-: test failed: {it.test}") for it in (found.tests.failed if found.tests else ()) if it.at]
    rows.sort()
    yield "\n## Timeline\n"
    if not rows:
        yield "No events are recorded: there was no run, or it ended before anything happened."
    half = LONGEST // 2
    shown = rows if len(rows) <= LONGEST else [*rows[:half], (rows[half][0], f"... {len(rows)} lines"), *rows[-half:]]
    yield from (f"- {_stamp(at)} {text}" for at, text in shown)


def _tests(found: Findings) -> Iterator[str]:
    if found.tests is None:
        return
    yield f"\n## Tests\n\n{found.tests.summary()}, by {', '.join(found.tests.files) or 'no report'}\n"
    for failure in found.tests.failed[:20]:
        first = next((line.strip() for line in failure.message.splitlines() if line.strip()), "")
        yield f"- {failure.test}: {first[:300]}"
    if len(found.tests.failed) > 20:
        yield f"- ... and {found.tests.failures - 20} more, in `tests/`"
    yield from (f"- {note}" for note in found.tests.notes)


def _now(found: Findings) -> Iterator[str]:
    yield "\n## State at collection\n"
    if found.engine:
        yield f"- the engine: {found.engine}"
    if found.services is None:
        yield "- nothing of the environment existed, or none of it could be observed"
    yield from (f"- {fact.name}: {fact.wrong or 'works'}" for fact in found.services or ())
    if found.cluster:
        yield f"- the API server: {found.cluster}"
    for name, values in found.redis.items():
        yield f"- {name}: " + ", ".join(f"{key} {value}" for key, value in sorted(values.items()))
    for disk in found.disks:
        yield f"- disk at {disk.path}: {disk.free >> 20} MiB free{', FULL' if disk.full else ''}"
    yield from (f"- port {port}: {name}" for port, name in sorted(found.ports.items()))


def _files(bundle: Bundle) -> Iterator[str]:
    yield "\n## Files\n"
    there = {"index.md": (1, 0)}
    for name, size in sorted(bundle.files.items()):
        top = name.partition("/")[0]
        count, total = there.get(top, (0, 0))
        there[top] = (count + 1, total + size)
    for top, (count, total) in there.items():
        many = f" ({count} files, {-(-total // 1024)} KiB)" if top != "index.md" else ""
        yield f"- `{top}`{many}: {WHERE.get(top, '')}"
    yield f"\nSecrets are shown as `{HIDDEN}`."
    if bundle.notes:
        yield "\n## What is missing\n"
        yield from (f"- {note}" for note in bundle.notes)


def _stamp(at: float | None) -> str:
    moment = datetime.now() if at is None else datetime.fromtimestamp(at)
    return f"{moment:%Y-%m-%d %H:%M:%S}" if at is None else f"{moment:%H:%M:%S.%f}"[:-3]


def _quoted(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
