"""Convert the services of a compose file to envkit's configuration. A remark names each key that has no equivalent."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from envkit.base import bounded
from envkit.base.errors import UsageError
from envkit.config.names import is_name, made_name

COMPOSE = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
"""Names of compose files, in the order in which compose itself searches for them."""

TAKEN = {"image", "build", "command", "entrypoint", "environment", "ports", "depends_on", "user", "working_dir"}
MEANINGLESS = {"container_name", "restart", "hostname", "networks", "healthcheck", "expose", "profiles"}
"""Keys that envkit ignores without a remark. For most of them envkit has its own: names, a network, probes."""

PRESETS = {"postgres": 5432, "redis": 6379}
_VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)\}|(?<!\$)\$(\w+)")


def to_envkit(file: Path) -> tuple[dict[str, dict[str, Any]], dict[str, list[str]]]:
    """Return the configuration and the remarks of each service, as two mappings by service name.

    Raises `UsageError` if the file is not a compose file.
    """
    try:
        raw = bounded.load(bounded.read_text(file), bounded.LOADER) or {}
        given = dict(raw.get("services") or {})
        names = {name: name if is_name(name) else made_name(name) for name in given}
    except (OSError, ValueError, AttributeError, TypeError, yaml.YAMLError) as error:  # not a compose file
        raise UsageError(f"{file} cannot be read as a compose file: {error}") from error
    services, remarks = {}, {}
    for name, body in given.items():
        services[names[name]], remarks[names[name]] = _service(body or {}, names)
    return services, remarks


def _service(body: Mapping[str, Any], names: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    image = str(body.get("image", ""))
    preset = re.sub(r"[:@].*", "", image).rpartition("/")[2]
    left = [key for key in body if key not in TAKEN | MEANINGLESS and not key.startswith("x-")]
    remarks = [f"not taken over from the compose file: {', '.join(left)}"] if left else []
    env, ports = _environment(body.get("environment")), _ports(body.get("ports"))
    if preset in PRESETS and "build" not in body:
        if body.get("command"):
            remarks.append("it runs the preset's command; `command: [...]` would replace that command")
        if ":" in image.rpartition("/")[2]:
            remarks.append(f"`image: {_full(image)}` would use the compose file's image, which runs only in containers")
        return _preset(preset, env, ports), remarks
    made: dict[str, Any] = {"build": _build(body["build"])} if "build" in body else {"image": _full(image)}
    for key in ("command", "entrypoint"):
        if body.get(key):
            made[key] = shlex.split(body[key]) if isinstance(body[key], str) else [str(word) for word in body[key]]
    made |= {key: str(body[old]) for key, old in (("user", "user"), ("workdir", "working_dir")) if old in body}
    needs = [names[name] for name in body.get("depends_on") or () if name in names]
    made |= {key: value for key, value in (("needs", needs), ("env", env), ("ports", _named(ports))) if value}
    if ports:
        made["probe"] = {"type": "tcp"}
        remarks.append("an HTTP probe shows more than a connection: probe: {type: http, path: /healthz}")
    return made, remarks


def _preset(preset: str, env: Mapping[str, str], ports: Mapping[int, int]) -> dict[str, Any]:
    known = {"user": "POSTGRES_USER", "password": "POSTGRES_PASSWORD", "database": "POSTGRES_DB"}
    options = {option: env[name] for option, name in known.items() if preset == "postgres" and name in env}
    if "user" in options:
        options.setdefault("database", options["user"])  # the PostgreSQL image does the same
    inner = PRESETS[preset]
    made: dict[str, Any] = {"preset": preset}
    if options:
        made["options"] = options
    return {**made, "ports": {preset: ports.get(inner) or inner + 10000}}


def _full(image: str) -> str:
    """Return the image's name with its registry, because every engine accepts this form."""
    first, slash, _ = image.partition("/")
    if not slash:
        return f"docker.io/library/{image}"
    return image if "." in first or ":" in first or first == "localhost" else f"docker.io/{image}"


def _build(build: Any) -> dict[str, Any]:
    given = {"context": build} if isinstance(build, str) else dict(build)
    known = {key: given[key] for key in ("context", "dockerfile", "target") if key in given}
    args = _environment(given.get("args"))
    return {"context": ".", **known, **({"args": args} if args else {})}


def _environment(given: Any) -> dict[str, str]:
    """Return the variables of an `environment:` or `args:` key, which contains a list or a mapping.

    A name without a value refers to the variable of the user who runs envkit. As in compose, a variable that the user
    has not set is empty.
    """
    pairs = dict(given) if isinstance(given, Mapping) else dict(_pair(str(word)) for word in given or ())
    return {str(name): f"${{{name}:-}}" if value is None else _optional(_text(value)) for name, value in pairs.items()}


def _pair(word: str) -> tuple[str, str | None]:
    name, equals, value = word.partition("=")
    return name, value if equals else None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _optional(value: str) -> str:
    return _VARIABLE.sub(lambda found: f"${{{found[1] or found[2]}:-}}", value)


def _ports(given: Any) -> dict[int, int]:
    """Return the host port of each container port.

    envkit chooses another port if the compose file names no host port, or one below 1024. It divides the container port
    (or the host port below 1024) by 20000 and adds 10000 to the remainder.
    """
    found = {}
    for port in given or ():
        if isinstance(port, Mapping):
            inner, outer = str(port.get("target", "")), str(port.get("published", ""))
        else:
            words = str(port).partition("/")[0].split(":")
            inner, outer = words[-1], words[-2] if len(words) > 1 else ""
        if inner.isdecimal():
            chosen = int(outer) if outer.isdecimal() else int(inner)
            found[int(inner)] = chosen if chosen >= 1024 and outer.isdecimal() else chosen % 20000 + 10000
    return found


def _named(ports: Mapping[int, int]) -> dict[str, str]:
    return {f"p{inner}": f"{outer}:{inner}" for inner, outer in ports.items()}
