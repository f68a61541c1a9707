"""The preset `redis`: a cache without persistence."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from envkit.config import rights
from envkit.config.models import Model, Text
from envkit.config.presets import Preset
from envkit.config.units import Size

GIB = 1024**3


class RedisOptions(Model):
    """How much data Redis holds, what it does when full, whether it asks for a password, and what clients may do."""

    maxmemory: Size = Field(default=2 * GIB, description="data it holds; the container's limit is twice that")
    policy: Literal[
        "noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random",
        "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
    ] = Field(default="allkeys-lru", description='what goes when it is full')  # fmt: skip
    password: Text | None = Field(default=None, description="asked for when set, and exported as `REDIS_PASSWORD`")
    superuser: bool = Field(
        default=False, description="clients may load modules, set paths and use DEBUG; with Redis 6 also CONFIG SET"
    )


MEMORY_FOR_DATA = 2
"""Times `maxmemory`: 2 GiB of mixed 1 KB and 100 KB values peaked at 2.85 GiB even with jemalloc's decay at 0."""

MARKER = "envkit:${env.name}"
"""Whose Redis it is, in a setting that nothing else uses: told by CONFIG GET, out of FLUSHALL's reach, there after a
restart. A suite flushes only a server that carries its environment's.
"""

DECAY = "dirty_decay_ms:0,muzzy_decay_ms:0"
"""jemalloc gives freed memory back at once."""


def redis(options: RedisOptions) -> dict[str, Any]:
    """A cache without persistence that evicts at `maxmemory` and has room beyond it."""
    login = ":${self.env.REDISCLI_AUTH|url}@" if options.password else ""
    secret = {"REDISCLI_AUTH": options.password} if options.password else {}
    login_of_probe = {"password": "${self.env.REDISCLI_AUTH}"} if options.password else {}
    # Not on the command line, which every user of the machine may read.
    secrets = ["${self.root}/envkit/redis.conf"] if options.password else []
    # The image begins as root and goes on as a user of its own, who must be able to read it: mode 0644.
    text = "requirepass ${self.env.REDISCLI_AUTH|quoted}\n"
    files = {"/envkit/redis.conf": {"content": text, "mode": "0644"}} if secrets else {}
    command = [
        "redis-server", *secrets, "--maxmemory", str(options.maxmemory), "--maxmemory-policy", options.policy,
        "--save", "", "--appendonly", "no", "--syslog-ident", MARKER, "--bind", "${self.listen}",
    ]  # fmt: skip
    return {
        "image": "docker.io/library/redis:7-alpine",
        "command": command,
        "process": {"supply": "redis", "command": [*command, "--port", "${self.port}", "--dir", "${self.data}"]},
        "files": {**rights.before("redis-server"), **files},
        # The jemalloc inside redis' own images is built with the prefix je_; Debian's is not.
        "env": {"MALLOC_CONF": DECAY, "JE_MALLOC_CONF": DECAY, **secret, **rights.everything(options.superuser)},
        "memory": MEMORY_FOR_DATA * options.maxmemory,
        "data": True,
        "ports": {"redis": {"container": 6379}},
        "probe": {
            "type": "redis",
            "port": "redis",
            "maxmemory": options.maxmemory,
            "policy": options.policy,
            "decay": True,
            **login_of_probe,
        },
        **({} if options.superuser else {"first_probe": {"type": "redis", "limited": True, **login_of_probe}}),
        "exports": {
            "REDIS_URL": f"redis://{login}${{self.address}}/0",
            "REDIS_HOST": "${self.host}",
            "REDIS_PORT": "${self.port}",
            "REDIS_ADDR": "${self.address}",
            **({"REDIS_PASSWORD": "${self.env.REDISCLI_AUTH}"} if options.password else {}),
        },
    }


PRESET = Preset(RedisOptions, redis)
