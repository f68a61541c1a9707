"""The service's settings: one frozen object that is read once. All faults are reported together.

There are three sources: the defaults, the YAML file at CONFIG_PATH (see ``config_file``), and environment variables.
Later sources override earlier sources. The name of a variable is the name of its field in capitals. The addresses of
PostgreSQL and Redis are in DATABASE_URL and REDIS_URL, or in one variable for each part.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from envkit.datastorage import durations
from envkit.datastorage.errors import ConfigurationError
from envkit.datastorage.urls import postgres_url, redis_url

MIB = 1024 * 1024
POSTGRES_FORM = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=disable"
REDIS_FORM = "redis://[:PASSWORD@]HOST:PORT/NUMBER"


def _as_seconds(value: object) -> object:
    """Return a duration such as 1m30s in seconds, or any other value unchanged; pydantic parses it as a number."""
    try:
        return durations.seconds(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _as_level(value: object) -> object:
    upper = str(value).upper()
    return "WARNING" if upper == "WARN" else upper


def _readable_by_libpq(value: SecretStr) -> SecretStr:
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        conninfo_to_dict(value.get_secret_value())
    except ProgrammingError:
        raise ValueError(f"cannot be read; expected {POSTGRES_FORM}") from None  # psycopg's error text has the password
    return value


def _readable_by_redis(value: SecretStr) -> SecretStr:
    from redis.connection import parse_url

    try:
        parse_url(value.get_secret_value())  # type: ignore[no-untyped-call]  # redis-py has no types for it
    except ValueError:
        raise ValueError(f"cannot be read; expected {REDIS_FORM}") from None
    return value


Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, BeforeValidator(_as_seconds), Field(gt=0, le=3600)]
Level = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_as_level)]


class Settings(BaseModel):
    """All settings. Port 0 means any free port. Times are in seconds, and sizes are in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: Annotated[SecretStr, AfterValidator(_readable_by_libpq)] = Field(description=POSTGRES_FORM)
    redis_url: Annotated[SecretStr, AfterValidator(_readable_by_redis)] = Field(description=REDIS_FORM)
    host: str = Field("0.0.0.0", min_length=1)  # noqa: S104  who starts the container decides which ports to publish
    port: Port = 8080
    health_port: Port = 8081
    metrics_port: Port = 9090
    log_level: Level = "INFO"

    pool_max_size: int = Field(10, ge=1, le=200)
    max_body_bytes: int = Field(5 * MIB, ge=1024, le=50 * MIB)  # the contract's 5 MiB
    max_batch_events: int = Field(500, ge=1, le=10_000)  # the contract's 500
    max_json_depth: int = Field(64, ge=2, le=150)  # the JSON parser's own limit is 200
    max_page_bytes: int = Field(64 * MIB, ge=1024)
    max_requests_in_flight: int = Field(256, ge=1, le=100_000)
    max_bytes_in_flight: int = Field(64 * MIB, ge=1024)
    header_timeout: Seconds = 10.0  # also the time to read and drop data after an early answer
    body_timeout: Seconds = 30.0

    database_timeout: Seconds = 2.0  # if a write takes longer, the event goes to the queue
    query_timeout: Seconds = 10.0
    redis_timeout: Seconds = 1.0
    shutdown_timeout: Seconds = 8.0  # less than the 10 s that container engines wait between SIGTERM and SIGKILL

    queue_key: str = Field("datastorage:deadletter", min_length=1)
    queue_max_length: int = Field(10_000, ge=1)
    queue_max_bytes: int = Field(256 * MIB, ge=1024)
    drain_interval: Seconds = 0.25
    auth_enabled: bool = False
    kubeconfig: Path | None = None  # None: use the files that Kubernetes mounts into a pod
    kubernetes_service_host: str = ""  # Kubernetes sets this variable and the next one in every pod
    kubernetes_service_port: int = Field(443, ge=1, le=65535)
    pod_namespace: str = "default"
    auth_service_name: str = "data-storage-service"  # callers need the right to get or create this Service
    auth_timeout: Seconds = 5.0
    auth_cache: Seconds = 10.0

    ledger_path: Path | None = None  # file with the promised events; None: only in memory


def load(environ: Mapping[str, str]) -> Settings:
    """Return the settings from ``environ`` and the file at CONFIG_PATH. Raises ConfigurationError with all faults."""
    from envkit.datastorage import config_file

    values, faults = config_file.read(environ["CONFIG_PATH"]) if environ.get("CONFIG_PATH") else ({}, [])
    values |= _urls_from_parts(environ)
    values |= {name: environ[name.upper()] for name in Settings.model_fields if environ.get(name.upper())}
    try:
        settings = Settings.model_validate(values)
    except ValidationError as exc:
        raise ConfigurationError([*faults, *map(_sentence, exc.errors())]) from None
    if faults:
        raise ConfigurationError(faults)
    return settings


def _urls_from_parts(environ: Mapping[str, str]) -> dict[str, Any]:
    urls = {}
    if host := environ.get("POSTGRES_HOST"):
        urls["database_url"] = postgres_url(
            host=host,
            port=environ.get("POSTGRES_PORT", "5432"),
            user=environ.get("POSTGRES_USER", "slm_user"),
            password=environ.get("POSTGRES_PASSWORD", ""),
            database=environ.get("POSTGRES_DB", "action_history"),
            sslmode=environ.get("POSTGRES_SSLMODE", "disable"),
        )
    address = environ.get("REDIS_ADDR")
    if not address and (host := environ.get("REDIS_HOST")):
        address = f"{host}:{environ.get('REDIS_PORT', '6379')}"
    if address:
        urls["redis_url"] = redis_url(address=address, password=environ.get("REDIS_PASSWORD", ""))
    return urls


def _sentence(error: Mapping[str, Any]) -> str:
    name = str(error["loc"][0])
    if error["type"] == "missing":
        form, part = (POSTGRES_FORM, "POSTGRES_HOST") if name == "database_url" else (REDIS_FORM, "REDIS_HOST")
        return f"{name.upper()}: is missing; expected {form}, or its parts ({part}, ...), or CONFIG_PATH"
    message = error["msg"].removeprefix("Value error, ")
    given = "" if name.endswith("_url") else f", got {error['input']!r}"  # a URL holds a password
    return f"{name.upper()}: {message[0].lower()}{message[1:]}{given}"
