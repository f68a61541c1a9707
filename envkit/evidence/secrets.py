"""Finds an environment's secrets in its configuration, variables and generated files, and in the user's variables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from envkit.base.paths import Paths
from envkit.config.models import Environment
from envkit.evidence.known_secrets import plain_words, worth_hiding
from envkit.evidence.redaction import SECRET_NAME, Redactor

_USERINFO = re.compile(r"://[^:/@\s]*:([^@\s]+)@")
_VALUE = re.compile(r"^[^:=#]*[:=]\s*[\"']?(.{6,}?)[\"']?\s*$")
_ABOUT = re.compile(r"(_FILE|_PATH|_DIR|_NAME|File|Path|Key)$")
"""Names of values that tell where a secret is, or under which key. Such a value is not a secret itself."""

LARGEST = 64 << 10
"""Largest size in bytes of a file that is searched for secrets."""

OWN_SHORTEST = 8
"""Minimum length of a secret in the user's variables, because many of them have a secret's name and hold no secret."""


def redactor(environment: Environment, paths: Paths, environ: Mapping[str, str]) -> Redactor:
    """Return a redactor with all secrets of this environment. Files that cannot be read are left out."""
    return Redactor({*known(environment, paths), *_own(environ)}, _public(environment))


def known(environment: Environment, paths: Paths) -> set[str]:
    """Return the environment's secrets: configured, generated, and those in the record of its last `up`."""
    return {*_configured(environment), *_made(paths.folder), *_remembered(paths)}


def telling(environment: Environment, paths: Paths) -> list[str]:
    """Return the secrets of `known` that can be searched for literally: each value, and each long line of a value."""
    plain = plain_words(_public(environment))
    return sorted({one for secret in known(environment, paths) for one in worth_hiding(secret.strip(), plain)})


def _configured(environment: Environment) -> Iterator[str]:
    yield from (secret.value for secret in environment.secrets.values() if secret.value)
    # `credentials` names the sources of passwords; it contains no password.
    yield from _leaves(environment.model_dump(mode="json", exclude={"credentials"}), secret=False)


def _leaves(value: Any, *, secret: bool) -> Iterator[str]:
    """Yield values under names of secrets, passwords in URLs, and secrets in the content of configured files."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            named = bool(SECRET_NAME.search(str(key))) and not _ABOUT.search(str(key))
            several = secret and not isinstance(inner, Mapping | list)  # `secrets: {one: ..., another: ...}`
            one = named and (not isinstance(inner, Mapping) or str(key).lower().endswith("s"))
            yield from _leaves(inner, secret=one or several)
        path, content = value.get("path"), value.get("content")
        if isinstance(path, str) and isinstance(content, str):
            yield from _of_file(path, content)
        return
    if isinstance(value, list):
        for before, inner in zip(["", *value], value, strict=False):
            option = (
                isinstance(before, str)
                and before.startswith("-")
                and "=" not in before
                and bool(SECRET_NAME.search(before))
            )
            yield from _leaves(inner, secret=secret or option)
        return
    if isinstance(value, str):
        yield from _USERINFO.findall(value)
        if secret and value and not value.startswith(("/", "${")):
            yield value


def _of_file(path: str, content: str) -> Iterator[str]:
    """Yield the content and every value of a file with a secret's name; of other files, only values with such names."""
    secret = bool(SECRET_NAME.search(Path(path).name)) or "PRIVATE KEY" in content
    if secret:
        yield content
    for line in content.splitlines():
        found = _VALUE.match(line)
        if (
            found
            and (secret or SECRET_NAME.search(line.partition(found[1])[0]))
            and not found[1].startswith(("/", "${"))
        ):
            yield found[1]


def _made(folder: Path) -> Iterator[str]:
    """Yield tokens, generated secrets, private keys, and the credentials in kubeconfigs."""
    with suppress(OSError):
        for path in folder.rglob("*"):
            if (
                path.parent.name in ("tokens", "secrets")
                or path.suffix in (".key", ".pem")
                or path.name.endswith("kubeconfig")
            ):
                yield from _kept(path)


def _kept(path: Path) -> Iterator[str]:
    with suppress(OSError):
        if not path.is_file() or path.stat().st_size > LARGEST:
            return
        text = path.read_text(errors="replace")
        if not path.name.endswith("kubeconfig"):
            yield text
        yield from re.findall(r"(?:client-key-data|token|password):\s*(\S+)", text)


def _remembered(paths: Paths) -> Iterator[str]:
    from envkit.inventory import state

    record = state.read(paths)
    yield from _leaves(dict(record.variables) if record else {}, secret=False)


def _own(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield secrets in the variables that the user's shell or CI has set, because logs of a suite can show them."""
    found = _leaves(dict(environ), secret=False)
    return (value for value in found if len(value) >= OWN_SHORTEST and not value.isdigit())


def _public(environment: Environment) -> Iterator[str]:
    """Yield public names of the environment. A password with the same value cannot be distinguished from the name."""
    yield environment.name
    yield from environment.services
    yield from environment.cluster.identities
    yield from environment.cluster.namespaces
    for service in environment.services.values():
        yield from (str(value) for key in ("user", "database") if (value := getattr(service.probe, key, "")))
        yield from service.ports
