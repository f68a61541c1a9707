"""Reads the YAML file at CONFIG_PATH, which has the format of kubernaut's own DataStorage.

The sections are ``server``, ``logging``, ``database`` and ``redis``. Each password is in ``secretsFile`` (YAML or
JSON) under ``passwordKey``. Keys can be camelCase or snake_case. The service ignores unknown keys, as kubernaut's own
DataStorage does.
"""

from pathlib import Path
from typing import Any

import yaml

from envkit.datastorage.urls import postgres_url, redis_url

Values = dict[str, Any]
_SERVER = {
    "host": "host",
    "port": "port",
    "healthport": "health_port",
    "metricsport": "metrics_port",
    "maxbatchsize": "max_batch_events",
    "maxbodysize": "max_body_bytes",
    "readtimeout": "body_timeout",
    "shutdowntimeout": "shutdown_timeout",
}
_DATABASE = {"maxopenconns": "pool_max_size", "statementtimeout": "query_timeout"}
_REDIS = {"dlqmaxlen": "queue_max_length", "dlqstreamname": "queue_key"}


def read(path: str) -> tuple[Values, list[str]]:
    """Return the settings in the file, and a text for each fault. The text names the key and says what is wrong."""
    document, faults = _mapping(Path(path), "CONFIG_PATH")
    if faults:
        return {}, faults
    values: Values = {}
    for section, names in (("server", _SERVER), ("database", _DATABASE), ("redis", _REDIS)):
        content = _section(document, section, path, faults)
        values |= {field: content[key] for key, field in names.items() if content.get(key) is not None}
    if level := _section(document, "logging", path, []).get("level"):
        values["log_level"] = level
    return values | _database(document, path, faults) | _redis(document, path, faults), faults


def _database(document: Values, path: str, faults: list[str]) -> Values:
    section = _section(document, "database", path, [])
    if not section:
        return {}
    before = len(faults)
    user, password = _credentials(section, f"{path}: database", faults)
    required = {key: section.get(key) for key in ("host", "port", "name")} | {"user": user}
    faults += [f"{path}: database.{key}: is missing" for key, value in required.items() if value in (None, "")]
    if len(faults) > before:
        return {"database_url": "postgresql://"}  # a valid URL, so that load does not also report it as missing
    url = postgres_url(
        host=str(section["host"]),
        port=section["port"],
        user=str(user),
        password=password,
        database=str(section["name"]),
        sslmode=str(section.get("sslmode") or "disable"),
    )
    return {"database_url": url}


def _redis(document: Values, path: str, faults: list[str]) -> Values:
    section = _section(document, "redis", path, [])
    if not section:
        return {}
    _, password = _credentials(section, f"{path}: redis", faults)
    if not section.get("addr"):
        faults.append(f"{path}: redis.addr: is missing; expected HOST:PORT")
        return {"redis_url": "redis://"}
    return {"redis_url": redis_url(address=str(section["addr"]), password=password, number=section.get("db") or 0)}


def _credentials(section: Values, where: str, faults: list[str]) -> tuple[object, str]:
    """Return the user name and the password; add faults to ``faults``.

    The user name in the secrets file (``usernameKey``) takes precedence over ``user``.
    """
    file, key = section.get("secretsfile"), section.get("passwordkey")
    if not file or not key:
        missing = "secretsFile" if not file else "passwordKey"
        faults.append(f"{where}.{missing}: is missing; the service reads passwords only from that file")
        return section.get("user") or "?", ""
    secrets, problems = _mapping(Path(str(file)), f"{where}.secretsFile")
    faults += problems
    password = secrets.get(key)
    if not problems and not isinstance(password, str):
        faults.append(f"{where}.passwordKey: expected a string under {key!r} in {file}")
    user = secrets.get(section["usernamekey"]) if section.get("usernamekey") else None
    return user or section.get("user"), password if isinstance(password, str) else ""


def _section(document: Values, name: str, path: str, faults: list[str]) -> Values:
    content = document.get(name) or {}
    if not isinstance(content, dict):
        faults.append(f"{path}: {name}: expected a mapping, got {type(content).__name__}")
        return {}
    return {str(key).replace("_", "").lower(): value for key, value in content.items()}


def _mapping(path: Path, name: str) -> tuple[Values, list[str]]:
    try:
        document = yaml.safe_load(path.read_bytes())
    except OSError as exc:
        return {}, [f"{name}: cannot read {path}: {exc.strerror}"]
    except (yaml.YAMLError, RecursionError) as exc:
        return {}, [f"{name}: {path} is not YAML: {' '.join(str(exc).split())}"]
    if not isinstance(document, dict):
        return {}, [f"{name}: {path}: expected a mapping, got {type(document).__name__}"]
    return document, []
