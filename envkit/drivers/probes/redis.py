"""Redis: PING, and the settings of the running server."""

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
    """Satisfied when PING is answered and the running server has the size, policy and allocator it should have."""

    type: Literal["redis"] = Field(description="which kind")
    port: str = Field(default="", description="name of the port; the first one when empty")
    password: Text = Field(default="", description="for AUTH")
    maxmemory: Size | None = Field(default=None, description="the size it should have")
    policy: str | None = Field(default=None, description="the eviction policy it should have")
    decay: bool = Field(default=False, description="expect jemalloc to return freed memory at once")
    limited: bool = Field(default=False, description="expect CONFIG SET of the folder to be refused")

    def attempt(self, target: Target) -> str | None:
        """PING, then ask what the running server says of itself: flags that were passed are no proof."""
        from envkit.drivers.databases.resp import RedisError, connect

        try:
            with connect(target.host, target.port(self.port), self.password, target.deadline()) as client:
                client.call("PING")
                return _redis_settings(self, client)
        except RedisError as error:
            return f"no PONG: {error}"

    def describe(self, target: Target) -> str:
        """See `ProbeModel`."""
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
    """Setting the folder to the one that it is would change nothing; it must be refused all the same."""
    from envkit.drivers.databases.resp import RedisError

    try:
        client.call("CONFIG", "SET", "dir", ".")
    except RedisError as error:
        return None if str(error).startswith(("ERR", "NOPERM")) else f"no answer to CONFIG SET: {error}"
    return f"clients may set its folder: {LIMITED}"


PROBE = RedisProbe
