"""Collects facts about the services: logs, what the engine or the kernel reports, and current results of probes."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from envkit.base.labels import ENV, resource_name
from envkit.evidence.collectors.context import CollectionContext, Collector, each

if TYPE_CHECKING:
    from docker import APIClient

    from envkit.planning.facts import Instance

LINES = 20_000
"""Number of lines that are read from the end of a container's log. The beginning of a longer log is also read."""

MEMORY = " ".join(f"/sys/fs/cgroup/{name}" for name in (
    "memory.current", "memory.peak", "memory.max", "memory.events",
    *(f"memory/memory.{name}" for name in ("usage_in_bytes", "max_usage_in_bytes", "limit_in_bytes", "failcnt")),
))  # fmt: skip
"""Files with a container's memory use: control groups v2, then v1. The engine would take 2 s to answer."""

BEGINNING = 256 << 10
"""Number of bytes that are read from the beginning of a long log."""


def logs(scene: CollectionContext) -> None:
    """Collect the log of each service into its own file. Lines from an engine begin with the engine's timestamp."""
    each(scene, scene.instances, lambda one: f"the log of {one.name}", lambda one: _log(scene, one))


def _log(scene: CollectionContext, instance: Instance) -> None:
    name = f"logs/{instance.service or instance.name}.log"
    path = scene.paths.services / instance.service / "log"
    if scene.api is None and path.is_file():
        scene.bundle.copy(name, path)
        return
    tail = scene.drivers.runtime.logs(instance, LINES)
    if tail.count("\n") < LINES or scene.api is None:
        scene.bundle.text(name, tail or "(the service wrote nothing)\n")
        return
    scene.bundle.text(name, f"{_beginning(scene.api, instance)}\n... only the last {LINES} lines follow ...\n{tail}")


def _beginning(api: APIClient, instance: Instance) -> str:
    """Return the first lines of the log, about `BEGINNING` bytes. The rest of the stream is not read."""
    from envkit.drivers.engine.sdk import text, translated

    read, size = [], 0
    with translated(f"reading the log of {instance.name}"):
        for chunk in api.logs(instance.id, stream=True, follow=False, timestamps=True):
            read.append(text(chunk))
            size += len(chunk)
            if size > BEGINNING:
                break
    return "".join(read)


def inspect(scene: CollectionContext) -> None:
    """Collect all facts that the engine or the kernel has about each service, and about the network."""
    each(scene, scene.instances, lambda one: f"inspecting {one.name}", lambda one: _inspect(scene, one))
    if scene.api:
        with scene.noted("inspecting the network"):
            network = resource_name(scene.environment.name)
            scene.bundle.json("inspect/network.json", scene.api.inspect_network(network))


def _inspect(scene: CollectionContext, instance: Instance) -> None:
    name = f"inspect/{instance.service or instance.name}.json"
    api = scene.api
    if api is None:
        scene.bundle.json(name, {**_record(scene, instance), "processes": _processes(instance)})
        return
    found: dict[str, Any] = {"inspect": api.inspect_container(instance.id)}
    if instance.running:
        with scene.noted(f"memory of {instance.name}"):
            found["memory"] = scene.drivers.runtime.execute(instance, ["sh", "-c", f"head -n 20 {MEMORY} 2>/dev/null"])[
                1
            ]
        with scene.noted(f"processes of {instance.name}"):
            found["top"] = api.top(instance.id)
    scene.bundle.json(name, found)


def _record(scene: CollectionContext, instance: Instance) -> dict[str, Any]:
    from dataclasses import asdict

    folder = scene.paths.services / instance.service
    found: dict[str, Any] = {"instance": asdict(instance)}
    for name in ("launch.json", "exit"):
        if (folder / name).is_file():
            text = (folder / name).read_text(errors="replace")
            found[name] = json.loads(text) if name.endswith(".json") else text.strip()
    return found


def _processes(instance: Instance) -> list[dict[str, Any]]:
    import psutil

    names = ["pid", "ppid", "name", "cmdline", "status", "username", "num_threads", "num_fds", "create_time"]
    try:
        leader = psutil.Process(int(instance.id))
        every = [leader, *leader.children(recursive=True)]
        return [{**one.as_dict([*names, "cpu_times", "memory_info"])} for one in every]
    except (psutil.Error, ValueError):
        return []


def engine_events(scene: CollectionContext) -> None:
    """Collect the engine's events about the environment's containers since the run began."""
    if scene.api is None:
        return
    wanted = {"label": f"{ENV}={scene.environment.name}"}
    rows = scene.api.events(since=int(scene.since), until=int(time.time()), filters=wanted, decode=True)
    with scene.noted("the engine's events"):
        scene.bundle.text("engine-events.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def probes(scene: CollectionContext) -> None:
    """Probe each service for at most 2 s, and write the results."""
    said: dict[str, str] = {}

    def ask(one: Instance) -> None:
        service = scene.environment.services.get(one.service)
        if service is None or service.once:
            return
        if not one.running:
            said[one.service] = one.death()
            return
        has_one = "passes" if service.probe else "runs, and has no probe"
        said[one.service] = scene.prober.health(one.service, one, patience=2.0) or has_one

    each(scene, scene.instances, lambda one: f"the probe of {one.name}", ask)
    scene.bundle.yaml("probes-now.yaml", dict(sorted(said.items())))


COLLECTORS = (
    Collector("service logs", logs, 30),
    Collector("inspect", inspect, 20),
    Collector("engine events", engine_events, 10),
    Collector("probes", probes, 15, repeats=True),
)
