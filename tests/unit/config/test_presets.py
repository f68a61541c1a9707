"""Tests of the presets redis, postgres and datastorage: the user's own keys are merged over their data."""

from pathlib import Path

import pytest

from envkit.base.errors import ConfigError
from envkit.config.load import Request, load
from envkit.config.models import Environment
from envkit.config.references import Inside, Published, Scope, resolve
from envkit.config.resolution import resolved_service
from envkit.drivers.probes.postgres import PostgresProbe
from envkit.drivers.probes.redis import RedisProbe

REDIS = "services: {redis: {preset: redis, ports: {redis: 16000}%s}}\n"
BOTH = """
services:
  postgres: {preset: postgres, ports: {postgres: 15000}%(more)s}
  redis: {preset: redis, ports: {redis: 16000}%(more)s}
"""
POSTGRES = "services: {postgres: {preset: postgres, ports: {postgres: 15000}%s}}\n"


def environment(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Environment:
    (tmp_path / "envkit.yaml").write_text(text)
    return load(Request(cwd=tmp_path, environ=environ or {}))


def exports(found: Environment, name: str) -> dict[str, str]:
    scope = Scope(found, Published(found), name)
    return {variable: resolve(text, scope) for variable, text in found.services[name].exports.items()}


def test_redis_holds_two_gib_and_has_room_beyond(tmp_path: Path) -> None:
    service = environment(tmp_path, REDIS % "").services["redis"]
    assert service.image == ("docker.io/library/redis:7-alpine",)
    assert service.command == (
        "redis-server", "--maxmemory", "2147483648", "--maxmemory-policy", "allkeys-lru",
        "--save", "", "--appendonly", "no", "--syslog-ident", "envkit:${env.name}", "--bind", "${self.listen}",
    )  # fmt: skip
    assert service.memory == 2 * 2147483648
    decay = "dirty_decay_ms:0,muzzy_decay_ms:0"
    assert service.env == {"MALLOC_CONF": decay, "JE_MALLOC_CONF": decay}
    assert service.probe == RedisProbe(type="redis", port="redis", maxmemory=2 << 30, policy="allkeys-lru", decay=True)


def test_redis_options_reach_everything_they_concern(tmp_path: Path) -> None:
    text = REDIS % ", options: {maxmemory: 1GiB, policy: noeviction, password: 'p@ss/${W}'}"
    found = environment(tmp_path, text, {"W": "$w"})
    service = resolved_service(found.services["redis"], Scope(found, Inside(found), "redis", {"env.name": "shop"}))
    assert service.memory == 2 << 30
    assert service.command is not None
    assert service.command[:2] == ("redis-server", "/envkit/redis.conf")
    assert service.command[3:6] == ("1073741824", "--maxmemory-policy", "noeviction")
    assert "p@ss/$w" not in " ".join(service.command), "every user of the machine may read that"
    assert [file.content for file in service.files if file.content] == ['requirepass "p@ss/$w"\n']
    assert isinstance(service.probe, RedisProbe)
    assert (service.probe.password, service.probe.maxmemory, service.probe.policy) == ("p@ss/$w", 1 << 30, "noeviction")
    assert exports(found, "redis")["REDIS_URL"] == "redis://:p%40ss%2F%24w@127.0.0.1:16000/0"


def test_an_option_from_a_higher_layer_counts(tmp_path: Path) -> None:
    (tmp_path / "envkit.local.yaml").write_text("services: {redis: {options: {maxmemory: 256MiB}}}\n")
    assert environment(tmp_path, REDIS % "").services["redis"].memory == 512 << 20


def test_the_users_keys_win_over_the_preset(tmp_path: Path) -> None:
    text = (
        REDIS % ", memory: 3GiB, image: [mine, other], env: {EXTRA: 1, MALLOC_CONF: null}, exports: {REDIS_URL: null}"
    )
    service = environment(tmp_path, text).services["redis"]
    assert service.memory == 3 << 30
    assert service.image == ("mine", "other")
    assert set(service.env) == {"EXTRA", "JE_MALLOC_CONF"}
    assert set(service.exports) == {"REDIS_HOST", "REDIS_PORT", "REDIS_ADDR"}


def test_postgres_is_fast_by_default_and_durable_on_request(tmp_path: Path) -> None:
    service = environment(tmp_path, POSTGRES % "").services["postgres"]
    assert service.command == (
        "postgres", "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off",
    )  # fmt: skip
    assert service.shm == 256 << 20
    durable = environment(tmp_path, POSTGRES % ", options: {durable: true}").services["postgres"]
    assert durable.command is None


def test_a_password_is_quoted_in_the_url_and_plain_elsewhere(tmp_path: Path) -> None:
    found = environment(tmp_path, POSTGRES % ", options: {user: me, password: 'a:b@c/d%20 $${x.y}', database: d b}")
    variables = exports(found, "postgres")
    assert variables["POSTGRES_PASSWORD"] == "a:b@c/d%20 ${x.y}"
    quoted = "postgresql://me:a%3Ab%40c%2Fd%2520%20%24%7Bx.y%7D@127.0.0.1:15000/d%20b?sslmode=disable"
    assert variables["DATABASE_URL"] == quoted
    probe = found.services["postgres"].probe
    assert isinstance(probe, PostgresProbe)
    assert (probe.user, probe.password, probe.database) == ("me", "a:b@c/d%20 ${x.y}", "d b")


def test_a_changed_variable_changes_probe_and_urls(tmp_path: Path) -> None:
    found = environment(tmp_path, POSTGRES % ", env: {POSTGRES_PASSWORD: other}")
    assert exports(found, "postgres")["POSTGRES_PASSWORD"] == "other"
    probe = found.services["postgres"].probe
    assert isinstance(probe, PostgresProbe)
    assert probe.password == "other"


def test_datastorage_reaches_its_stores_from_inside(tmp_path: Path) -> None:
    text = """
        services:
          pg: {preset: postgres, ports: {postgres: 15000}, options: {password: 'p@ss'}}
          cache: {preset: redis, ports: {redis: 16000}, options: {password: 'r@d'}}
          ds:
            preset: datastorage
            options: {postgres: pg, redis: cache, migrations: none, base_image: mine/python}
            ports: {api: 18000, metrics: 19000, health: 28000}
    """
    found = environment(tmp_path, text)
    service = found.services["ds"]
    assert service.build is not None
    assert (service.build.context, service.build.args) == ("datastorage", {"BASE_IMAGE": "mine/python"})
    assert service.needs == ("pg", "cache")
    env = resolved_service(service, Scope(found, Inside(found), "ds")).env
    assert env["DATABASE_URL"] == "postgresql://test:p%40ss@pg:5432/test?sslmode=disable"
    assert env["REDIS_URL"] == "redis://:r%40d@cache:6379/0"


def test_another_image_takes_the_place_of_the_build(tmp_path: Path) -> None:
    text = "extends: gateway\nservices: {datastorage: {image: real/datastorage:1, command: [serve]}}\n"
    service = environment(tmp_path, text).services["datastorage"]
    assert service.build is None
    assert (service.image, service.command) == (("real/datastorage:1",), ("serve",))


def test_an_image_with_a_build_to_fall_back_on_keeps_both(tmp_path: Path) -> None:
    text = "extends: gateway\nservices: {datastorage: {image: ci/datastorage:1, build: {context: datastorage}}}\n"
    service = environment(tmp_path, text).services["datastorage"]
    assert service.image
    assert service.build


def test_another_type_of_probe_leaves_the_keys_of_the_former_behind(tmp_path: Path) -> None:
    text = "extends: gateway\nservices: {datastorage: {first_probe: {type: http, path: /readyz}}}\n"
    probe = environment(tmp_path, text).services["datastorage"].first_probe
    assert probe is not None
    assert probe.model_dump() == {
        "type": "http", "port": "api", "path": "/readyz", "scheme": "http", "status": 200, "headers": {},
    }  # fmt: skip


def test_a_misspelt_key_is_still_a_fault_when_the_type_changes(tmp_path: Path) -> None:
    text = "extends: gateway\nservices: {datastorage: {first_probe: {type: http, event: {}}}}\n"
    with pytest.raises(ConfigError, match=r"first_probe\.event: unknown key"):
        environment(tmp_path, text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{maxmemry: 1}", "services.redis.options.maxmemry: unknown key; did you mean 'maxmemory'?"),
        ("{policy: lru}", "services.redis.options.policy: expected one of noeviction, allkeys-lru"),
        ("{maxmemory: lots}", "services.redis.options.maxmemory: expected a size such as 512MiB or 2GiB"),
    ],
)
def test_options_are_judged(tmp_path: Path, options: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        environment(tmp_path, REDIS % f", options: {options}")
    (fault,) = caught.value.faults
    assert str(fault).startswith(f"envkit.yaml: {message}")


def test_clients_have_few_rights_by_default(tmp_path: Path) -> None:
    services = environment(tmp_path, BOTH % {"more": ""}).services
    assert [(file.path, file.permissions) for file in services["postgres"].files] == [("/usr/local/sbin/initdb", 0o755)]
    assert [file.path for file in services["redis"].files] == ["/usr/local/sbin/redis-server"]
    assert isinstance(services["postgres"].probe, PostgresProbe)
    assert services["postgres"].probe.superuser is False
    assert services["redis"].first_probe == RedisProbe(type="redis", limited=True)


def test_every_right_on_request(tmp_path: Path) -> None:
    every = ", options: {superuser: true}"
    services = environment(tmp_path, BOTH % {"more": every}).services
    for service in services.values():
        assert service.env["ENVKIT_SUPERUSER"] == "true"
        assert service.first_probe is None
    assert isinstance(services["postgres"].probe, PostgresProbe)
    assert services["postgres"].probe.superuser is None


@pytest.mark.parametrize(("written", "told"), [("dblink", "dblink"), ("[dblink, uuid-ossp]", "dblink uuid-ossp")])
def test_extensions_are_named(tmp_path: Path, written: str, told: str) -> None:
    service = environment(tmp_path, POSTGRES % f", options: {{extensions: {written}}}").services["postgres"]
    assert service.env["ENVKIT_POSTGRES_EXTENSIONS"] == told


def test_an_extensions_name_is_no_statement(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="extensions"):
        environment(tmp_path, POSTGRES % ", options: {extensions: ['x; DROP ROLE y']}")


def test_the_users_own_files_leave_the_presets_program(tmp_path: Path) -> None:
    text = POSTGRES % ", files: {/docker-entrypoint-initdb.d/1.sql: {content: SELECT 1}}"
    files = {file.path for file in environment(tmp_path, text).services["postgres"].files}
    assert files == {"/docker-entrypoint-initdb.d/1.sql", "/usr/local/sbin/initdb"}


STORES = BOTH % {"more": ""}


def test_generated_credentials_are_secrets_that_everything_refers_to(tmp_path: Path) -> None:
    found = environment(tmp_path, "credentials: generated\n" + STORES)
    assert set(found.secrets) == {"postgres-password", "redis-password"}
    secret = {"secret.postgres-password": "P", "secret.redis-password": "R"}

    def exported(name: str) -> dict[str, str]:
        scope = Scope(found, Published(found), name, secret)
        return {variable: resolve(text, scope) for variable, text in found.services[name].exports.items()}

    assert exported("postgres")["DATABASE_URL"].startswith("postgresql://test:P@127.0.0.1:15000/")
    assert exported("redis")["REDIS_URL"] == "redis://:R@127.0.0.1:16000/0"
    assert exported("redis")["REDIS_PASSWORD"] == "R"
    assert resolve("${redis.password}", Scope(found, Published(found), "", secret)) == "R"


def test_published_credentials_make_no_secrets(tmp_path: Path) -> None:
    found = environment(tmp_path, STORES)
    assert (found.credentials, found.secrets) == ("published", {})
    assert resolve("<${redis.password}>", Scope(found, Published(found))) == "<>"


def test_a_password_that_is_written_stays_though_credentials_are_generated(tmp_path: Path) -> None:
    found = environment(tmp_path, "credentials: generated\n" + POSTGRES % ", options: {password: mine}")
    assert found.secrets == {}
    assert found.services["postgres"].env["POSTGRES_PASSWORD"] == "mine"


def test_an_overlay_that_generates_credentials_reaches_a_shipped_profile(tmp_path: Path) -> None:
    found = environment(tmp_path, "extends: gateway\ncredentials: generated\n")
    assert set(found.secrets) == {"postgres-password", "redis-password"}
