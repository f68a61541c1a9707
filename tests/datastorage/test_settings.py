"""The configuration: variables, the YAML of kubernaut's DataStorage, and the report of all faults together."""

from pathlib import Path

import pytest

from envkit.datastorage.durations import seconds
from envkit.datastorage.errors import ConfigurationError
from envkit.datastorage.settings import Settings, load

URLS = {"DATABASE_URL": "postgresql://u:p@db:5432/x?sslmode=disable", "REDIS_URL": "redis://r:6379/0"}
FILE = """
server:
  {port: 9000, host: "127.0.0.1", healthPort: 9001, maxBodySize: "2097152", read_timeout: 45s, shutdownTimeout: 5s}
logging: {level: warn, format: json}
database:
  {host: postgres, port: 5432, name: action_history, user: other, sslMode: disable, maxOpenConns: 25,
  secretsFile: SECRETS, usernameKey: username, passwordKey: password}
redis:
  {addr: "redis:6379", db: 2, dlqStreamName: dlq-stream, dlqMaxLen: 1000, secretsFile: SECRETS, passwordKey: password}
service: {anything: goes}
"""


def faults_of(environment: dict[str, str]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(environment)
    return "\n".join(caught.value.faults)


def write(folder: Path, text: str, secrets: str = "username: slm_user\npassword: 'p@ss/word'\n") -> dict[str, str]:
    (folder / "secrets.yaml").write_text(secrets)
    (folder / "config.yaml").write_text(text.replace("SECRETS", str(folder / "secrets.yaml")))
    return {"CONFIG_PATH": str(folder / "config.yaml")}


def test_two_urls_are_enough() -> None:
    settings = load(URLS)
    assert (settings.host, settings.port, settings.health_port, settings.metrics_port) == ("0.0.0.0", 8080, 8081, 9090)
    assert (settings.max_body_bytes, settings.max_batch_events) == (5 * 1024 * 1024, 500)


def test_parts_stand_for_the_urls() -> None:
    parts = {"POSTGRES_HOST": "db", "POSTGRES_PASSWORD": "a/b", "REDIS_HOST": "r", "REDIS_PORT": "7"}
    settings = load(parts)
    assert (
        settings.database_url.get_secret_value() == "postgresql://slm_user:a%2Fb@db:5432/action_history?sslmode=disable"
    )
    assert settings.redis_url.get_secret_value() == "redis://r:7/0"


def test_every_fault_is_reported_at_once() -> None:
    faults = faults_of({"DATABASE_URL": "postgres://u:secret@h/d?nonsense", "PORT": "99999", "LOG_LEVEL": "loud"})
    for name in ("DATABASE_URL: ", "REDIS_URL: is missing", "PORT: ", "99999", "LOG_LEVEL: "):
        assert name in faults
    assert "secret" not in faults


def test_passwords_are_not_in_the_repr() -> None:
    assert "p@db" not in repr(load(URLS))


@pytest.mark.parametrize(("text", "expected"), [("WARN", "WARNING"), ("debug", "DEBUG")])
def test_log_levels_are_read_as_go_writes_them(text: str, expected: str) -> None:
    assert load(URLS | {"LOG_LEVEL": text}).log_level == expected


def test_the_real_services_file_is_understood(tmp_path: Path) -> None:
    settings = load(write(tmp_path, FILE))
    url = "postgresql://slm_user:p%40ss%2Fword@postgres:5432/action_history?sslmode=disable"
    assert settings.database_url.get_secret_value() == url
    assert settings.redis_url.get_secret_value() == "redis://:p%40ss%2Fword@redis:6379/2"
    assert (settings.host, settings.port, settings.health_port, settings.metrics_port) == (
        "127.0.0.1",
        9000,
        9001,
        9090,
    )
    assert (settings.max_body_bytes, settings.body_timeout, settings.shutdown_timeout) == (2097152, 45.0, 5.0)
    assert (settings.queue_key, settings.queue_max_length, settings.pool_max_size) == ("dlq-stream", 1000, 25)
    assert settings.log_level == "WARNING"


def test_variables_go_before_the_file(tmp_path: Path) -> None:
    settings = load(write(tmp_path, FILE) | {"PORT": "8080", "HEALTH_PORT": "8081"})
    assert (settings.port, settings.health_port) == (8080, 8081)


def test_a_file_reports_all_its_faults(tmp_path: Path) -> None:
    lines = [
        "server: [1]",
        "database: {host: h, secretsFile: /nowhere, passwordKey: k}",
        "redis: {secretsFile: SECRETS, passwordKey: other}",
    ]
    faults = faults_of(write(tmp_path, "\n".join(lines)))
    for fault in (
        "server: expected a mapping",
        "database.secretsFile: cannot read /nowhere",
        "database.port: is missing",
        "database.name: is missing",
        "redis.passwordKey: expected a string under 'other'",
        "redis.addr: is missing",
    ):
        assert fault in faults


@pytest.mark.parametrize(("text", "fault"), [("a: [", "is not YAML"), ("- 1", "expected a mapping, got list")])
def test_a_file_that_is_no_configuration(tmp_path: Path, text: str, fault: str) -> None:
    assert fault in faults_of(write(tmp_path, text))


def test_a_missing_file_says_so() -> None:
    assert "CONFIG_PATH: cannot read /nowhere/config.yaml: No such file" in faults_of(
        {"CONFIG_PATH": "/nowhere/config.yaml"}
    )


@pytest.mark.parametrize(
    ("text", "expected"), [("30s", 30), ("1m30s", 90), ("500ms", 0.5), ("24h", 86400), ("7d", 604800), ("1.5s", 1.5)]
)
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "2", "s", "1x", "1s\n", "-1s", "1s2", "1 s", "٣s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        seconds(text)


def test_settings_refuse_unknown_names() -> None:
    with pytest.raises(ValueError, match="colour"):
        Settings.model_validate({"database_url": "postgresql://", "redis_url": "redis://", "colour": "red"})
