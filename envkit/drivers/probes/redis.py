"""The probe `redis`: the server must answer PING and have the expected settings."""

import re
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from envkit.config.fields import Text
from envkit.config.probes import ProbeModel, Target
from envkit.config.units import Size, show_size
from envkit.drivers.probes import LIMITED

if TYPE_CHECKING:
    from envkit.drivers.databases.resp import Redis


class RedisProbe(ProbeModel):
    """Passes if the server answers PING and has the expected memory limit, policy and allocator settings."""

    type: Literal["redis"] = Field(description="the kind of probe")
    port: str = Field(default="", description="name of the port; if empty, the service's first port")
    password: Text = Field(default="", description="password for AUTH")
    maxmemory: Size | None = Field(default=None, description="expected limit of memory")
    policy: str | None = Field(default=None, description="expected eviction policy")
    decay: bool = Field(default=False, description="expect jemalloc to return freed memory at once")
    limited: bool = Field(default=False, description="expect CONFIG SET of the folder to be refused")

    def attempt(self, target: Target) -> str | None:
        """Send PING and check the settings that the server reports; return None if all is as expected, else the reason.

        The server's command line does not prove which settings it uses.
        """
        from envkit.drivers.databases.resp import RedisError, connect

        try:
            with connect(target.host, target.port(self.port), self.password, target.deadline()) as client:
                client.call("PING")
                return _redis_settings(self, client)
        except RedisError as error:
            return f"no PONG: {error}"

    def describe(self, target: Target) -> str:
        """Return what the probe expects, for the message of a failed wait."""
        return f"a correctly configured Redis on {target.host}:{target.port(self.port)}"


def _redis_settings(probe: RedisProbe, client: "Redis") -> str | None:
    memory = client.info("memory")
    seen = int(memory.get("maxmemory", 0))
    if probe.maxmemory is not None and seen != probe.maxmemory:
        return f"maxmemory is {show_size(seen)}, expected {show_size(probe.maxmemory)}"
    if probe.policy is not None and memory.get("maxmemory_policy") != probe.policy:
        return f"the eviction policy is {memory.get('maxmemory_policy')}, expected {probe.policy}"
    if probe.decay and memory.get("mem_allocator", "").startswith("jemalloc"):
        decay = re.search(r"opt\.dirty_decay_ms: (-?\d+)", client.call("MEMORY", "MALLOC-STATS"))
        if decay and decay[1] != "0":
            return f"jemalloc keeps freed memory for {decay[1]} ms, expected 0: MALLOC_CONF did not reach the server"
    return _redis_rights(client) if probe.limited else None


def _redis_rights(client: "Redis") -> str | None:
    """Return a message if the server accepts CONFIG SET of its folder or does not answer, or None if it refuses.

    The command sets the folder that the server already has, so it changes nothing even if the server accepts it.
    """
    from envkit.drivers.databases.resp import RedisError

    try:
        client.call("CONFIG", "SET", "dir", ".")
    except RedisError as error:
        return None if str(error).startswith(("ERR", "NOPERM")) else f"no answer to CONFIG SET: {error}"
    return f"clients may set its folder: {LIMITED}"


PROBE = RedisProbe
