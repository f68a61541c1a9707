"""Resolve every reference in the fields of a service: its variables, command, files and probes.

The module `references` resolves one reference; this module applies it to the fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from envkit.base.errors import ConfigError, Fault
from envkit.config.documents import laid_over
from envkit.config.file_models import OPEN, PRIVATE, File
from envkit.config.interpolate import REFERENCE
from envkit.config.models import Probe, Process, Service
from envkit.config.references import Scope, names_in, resolve
from envkit.config.validation_messages import SECRET


def resolved_service(service: Service, scope: Scope) -> Service:
    """Return the service with its variables, commands, entrypoint, file contents, process and probes resolved.

    Its exports stay unresolved, because they always use the host's addresses. `scope.self_name` is the service's name.
    Raises `UnresolvedReference`.
    """
    update: dict[str, Any] = {
        "env": {name: resolve(text, scope) for name, text in service.env.items()},
        "files": tuple(resolved_file(file, scope) for file in service.files),
    }
    for key in ("command", "entrypoint", "host_command"):
        words: tuple[str, ...] | None = getattr(service, key)
        update[key] = words if words is None else tuple(resolve(word, scope) for word in words)
    for key in ("probe", "first_probe"):
        probe: Probe | None = getattr(service, key)
        update[key] = probe and resolved_probe(probe, scope)
    update["process"] = service.process and _resolved_process(service.process, scope)
    return service.model_copy(update=update)


def _resolved_process(process: Process, scope: Scope) -> Process:
    command = tuple(resolve(word, scope) for word in process.command)
    env = {name: resolve(text, scope) for name, text in process.env.items()}
    return process.model_copy(update={"command": command, "env": env})


def resolved_probe(probe: Probe, scope: Scope) -> Probe:
    """Return the probe with every text resolved. Raises `UnresolvedReference`."""
    return probe.model_copy(update={key: _each(value, scope) for key, value in iter(probe)})


def _each(value: Any, scope: Scope) -> Any:
    if isinstance(value, dict):
        return {key: _each(item, scope) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_each(item, scope) for item in value)
    return resolve(value, scope) if isinstance(value, str) else value


_PORT = re.compile(r"(?:port|ports\.[\w-]+)")


def resolved_file(file: File, scope: Scope) -> File:
    """Return the file with its resolved text and its mode.

    Raises `ConfigError` if `set` does not fit its document, and `UnresolvedReference`.
    """
    mode = file.mode or (PRIVATE if _is_private(file) else OPEN)
    content = None if file.content is None else resolve(file.content, scope)
    if not file.set:
        return file.model_copy(update={"content": content, "mode": mode})
    over = {path: resolved_value(value, scope) for path, value in file.set.items()}
    written = text_of(file) if content is None else content
    try:
        text = laid_over(written, over, file.source or file.path)
    except ValueError as error:
        raise ConfigError([Fault(file.source or file.path, "", str(error))]) from error
    return file.model_copy(update={"content": text, "source": None, "set": {}, "mode": mode})


def text_of(file: File) -> str:
    """Return the text of the file before `set` applies. Raises `OSError` if the source cannot be read."""
    if file.content is not None:
        return file.content
    return Path(file.source).read_text(encoding="utf-8") if file.source else ""


def resolved_value(value: Any, scope: Scope) -> Any:
    """Return the value with its references resolved; a text that is only a reference to a port becomes a number."""
    if isinstance(value, dict):
        return {key: resolved_value(item, scope) for key, item in value.items()}
    if isinstance(value, list):
        return [resolved_value(item, scope) for item in value]
    if not isinstance(value, str):
        return value
    text = resolve(value, scope)
    alone = REFERENCE.fullmatch(value)
    return int(text) if alone and len(alone[1]) == 1 and _PORT.fullmatch(alone[2].partition(".")[2]) else text


def texts_of(value: Any) -> Iterator[str]:
    """Yield every text in a nested value, keys excluded."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts_of(item)
    elif isinstance(value, str):
        yield value


def _is_private(file: File) -> bool:
    """Return whether the file refers to a secret, a token or a password."""
    written = [*texts_of(file.set), file.content or ""]
    names = [name for text in written for name in names_in(text)]
    return any(_is_secret(*name.rpartition(".")[::2]) for name in names)


def _is_secret(head: str, last: str) -> bool:
    if head.startswith("identity."):
        return last != "token_file"
    return head == "secret" or bool(SECRET.search(last))
