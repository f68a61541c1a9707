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
    """Options of `redis`: its memory, its eviction policy, its password, and the rights of its clients."""

    maxmemory: Size = Field(default=2 * GIB, description="maximum of data; the container's limit is twice that")
    policy: Literal[
        "noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random",
        "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
    ] = Field(default="allkeys-lru", description='eviction policy when the memory is full')  # fmt: skip
    password: Text | None = Field(default=None, description="password; by default none; exported as `REDIS_PASSWORD`")
    superuser: bool = Field(
        default=False,
        description="`true` lets clients load modules, set paths and use DEBUG, with Redis 6 also CONFIG SET",
    )


MEMORY_FOR_DATA = 2
"""Memory limit as a multiple of `maxmemory`.

2 GiB of mixed 1 KB and 100 KB values used up to 2.85 GiB, even with jemalloc's decay at 0.
"""

MARKER = "envkit:${env.name}"
"""The name of the server's environment, stored in a Redis setting that has no other use in envkit.

CONFIG GET returns it, FLUSHALL does not remove it, and it survives a restart. A suite flushes only a server with the
name of its own environment.
"""

DECAY = "dirty_decay_ms:0,muzzy_decay_ms:0"
"""Settings with which jemalloc returns freed memory at once."""


def redis(options: RedisOptions) -> dict[str, Any]:
    """Return a Redis service without persistence that evicts at `maxmemory`; its memory limit is higher."""
    login = ":${self.env.REDISCLI_AUTH|url}@" if options.password else ""
    secret = {"REDISCLI_AUTH": options.password} if options.password else {}
    login_of_probe = {"password": "${self.env.REDISCLI_AUTH}"} if options.password else {}
    # The password is not on the command line, because every user of the machine can read command lines.
    secrets = ["${self.root}/envkit/redis.conf"] if options.password else []
    # The image starts as root and continues as another user, who must be able to read the file: mode 0644.
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
        # The jemalloc in the images of Redis has the prefix je_; Debian's jemalloc has no prefix.
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
