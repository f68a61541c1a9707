"""Reads facts about containers from an engine's answers. Docker and Podman answer in the same form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from envkit.base import labels
from envkit.base.ports import Holder
from envkit.planning.facts import Instance, State

STATES: dict[str, State] = {
    "created": "created", "configured": "created", "initialized": "created", "running": "running",
    "paused": "paused", "exited": "exited", "stopped": "exited", "dead": "dead",
}  # fmt: skip


def instance_of(raw: Mapping[str, Any]) -> Instance:
    """Return the instance that an engine's answer to an inspection describes."""
    state, marks = raw["State"], raw["Config"].get("Labels") or {}
    limits = raw.get("HostConfig") or {}
    bindings = (raw.get("NetworkSettings") or {}).get("Ports") or {}
    status = str(state.get("Status", "")).lower()
    return Instance(
        id=str(raw["Id"]),
        name=str(raw["Name"]).lstrip("/"),
        service=marks.get(labels.SERVICE, ""),
        state=STATES.get(status, "other"),
        fingerprint=marks.get(labels.FINGERPRINT, ""),
        image=marks.get(labels.IMAGE, ""),
        image_id=str(raw.get("Image", "")),
        owner=labels.owner_of(marks),
        published={int(k.split("/")[0]): int(v[0]["HostPort"]) for k, v in bindings.items() if v},
        exit_code=state.get("ExitCode"),
        oom_killed=bool(state.get("OOMKilled")),
        started_at=str(state.get("StartedAt", "")),
        memory=int(limits.get("Memory") or 0),
        swap=int(limits.get("MemorySwap") or 0),
        volumes=any(mount.get("Type") == "volume" for mount in raw.get("Mounts") or []),
    )


def held_ports(rows: Iterable[Mapping[str, Any]]) -> dict[int, Holder]:
    """Return the host ports that the containers in `rows` publish, each with its container and environment."""
    taken: dict[int, Holder] = {}
    for row in rows:
        name = str(row["Names"][0]).lstrip("/")
        environment = labels.environment_of(row.get("Labels") or {})
        for port in row.get("Ports") or []:
            if number := int(port.get("PublicPort") or 0):
                taken[number] = Holder(number, container=name, environment=environment)
    return taken
