"""Tests of configuration sources: the files that envkit reads, their precedence, and the owner of the environment."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from envkit.base.errors import ConfigError, UsageError
from envkit.config.load import Request, identify, load

IMAGE = "services: {a: {image: x, env: {V: %s}}}\n"


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def request(cwd: Path, environ: dict[str, str] | None = None, **flags: object) -> Request:
    return Request.of(environ or {}, cwd, **flags)


def value(cwd: Path, environ: dict[str, str] | None = None, **flags: object) -> str:
    return load(request(cwd, environ, **flags)).services["a"].env["V"]


def faults(cwd: Path, **flags: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(request(cwd, **flags))
    return [str(fault) for fault in caught.value.faults]


def test_every_layer_wins_over_those_below(tmp_path: Path) -> None:
    local = tmp_path / "envkit.local.yaml"
    write(tmp_path, base=IMAGE % "base", middle="extends: base\n" + IMAGE % "middle", over=IMAGE % "overlay")
    write(tmp_path, envkit="extends: middle\nservices: {a: {image: y}}\n")
    assert value(tmp_path) == "middle"
    write(tmp_path, envkit="extends: middle\n" + IMAGE % "file")
    assert value(tmp_path) == "file"
    assert value(tmp_path, overlays=["over"]) == "overlay"
    local.write_text(IMAGE % "local")
    assert value(tmp_path, overlays=["over"]) == "local"
    assert value(tmp_path, overlays=["over"], sets=["services.a.env.V=set"]) == "set"


@pytest.mark.parametrize(
    ("flag", "variable", "key"),
    [
        ("name", "ENVKIT_NAME", "name"),
        ("engine", "ENVKIT_ENGINE", "engine"),
        ("lane", "ENVKIT_LANE", "lane"),
        ("port_offset", "ENVKIT_PORT_OFFSET", "port_offset"),
    ],
)
def test_flags_win_over_variables_and_both_over_files(tmp_path: Path, flag: str, variable: str, key: str) -> None:
    values = {"name": ("f", "v", "flag"), "engine": ("auto", "docker", "podman"), "lane": ("auto", "mixed", "embedded")}
    file, env, given = values.get(flag, (1, 2, 3))
    write(tmp_path, envkit=f"{key}: {file}\n" + IMAGE % 1)
    assert getattr(load(request(tmp_path)), key) == file
    assert getattr(load(request(tmp_path, {variable: str(env)})), key) == env
    assert getattr(load(request(tmp_path, {variable: str(env)}, **{flag: given})), key) == given


def test_the_file_given_wins_over_the_one_found(tmp_path: Path) -> None:
    write(tmp_path, envkit=IMAGE % "found", other=IMAGE % "given")
    assert value(tmp_path, file="other.yaml") == "given"
    assert value(tmp_path, {"ENVKIT_FILE": "other.yaml"}) == "given"


def test_the_file_is_found_from_below_and_its_folder_names_the_environment(tmp_path: Path) -> None:
    home = write(tmp_path / "My_Project.v2", envkit=IMAGE % 1)
    (home / "a" / "b").mkdir(parents=True)
    environment = load(request(home / "a" / "b"))
    assert (environment.name, environment.root) == ("my-project-v2", str(home))
    assert environment.files == (str(home / "envkit.yaml"),)


def test_a_profile_of_the_users_goes_before_a_shipped_one_and_may_extend_it(tmp_path: Path) -> None:
    write(tmp_path, envkit=IMAGE % 1, config__gateway="extends: gateway\nservices: {redis: {ports: {redis: 17000}}}\n")
    environment = load(request(tmp_path, profile="gateway"))
    assert environment.services["redis"].ports["redis"].host == 17000
    assert environment.services["redis"].ports["redis"].container == 6379
    assert (environment.name, environment.root) == ("gateway", str(tmp_path))


def test_a_shipped_profile_belongs_to_the_checkout_it_is_used_in(tmp_path: Path) -> None:
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    (tmp_path / "repo" / "deep").mkdir()
    assert load(request(tmp_path / "repo" / "deep")).root == str(tmp_path / "repo")
    assert load(request(tmp_path)).root == str(tmp_path)


def test_a_shipped_profile_is_overridden_from_the_users_folders(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    write(tmp_path, **{"envkit.local": "services: {redis: {ports: {redis: 17001}}}\n"})
    assert load(request(tmp_path / "deep")).services["redis"].ports["redis"].host == 17001


def test_a_base_that_two_extend_is_laid_once(tmp_path: Path) -> None:
    write(tmp_path, base=IMAGE % "base", left="extends: base\n" + IMAGE % "left", right="extends: base\n")
    write(tmp_path, envkit="extends: [left, right]\n")
    assert value(tmp_path) == "left"


def test_extending_in_a_circle_shows_the_circle(tmp_path: Path) -> None:
    write(tmp_path, envkit="extends: b\n", b="extends: ./envkit.yaml\n")
    assert faults(tmp_path) == ["b.yaml: extends: extends itself: envkit.yaml -> b.yaml -> envkit.yaml"]


def test_unknown_profiles_come_with_candidates(tmp_path: Path) -> None:
    write(tmp_path, envkit="extends: gatewey\n")
    (message,) = faults(tmp_path, overlays=["standin"])[:1]
    assert message.startswith(
        "envkit.yaml: extends: there is no profile 'gatewey'; did you mean 'gateway'? There are: "
    )
    assert (
        "--overlay: there is no profile 'standin'; did you mean 'standins'?"
        in faults(tmp_path, overlays=["standin"])[1]
    )
    assert "--profile: there is no profile 'x'" in faults(tmp_path, profile="x")[0]
    assert faults(tmp_path, file="no.yaml") == [f"-f: there is no file {tmp_path}/no.yaml"]


def test_overlays_come_from_the_variable_unless_flags_name_some(tmp_path: Path) -> None:
    write(tmp_path, envkit=IMAGE % 0, one=IMAGE % 1, two=IMAGE % 2, three=IMAGE % 3)
    assert value(tmp_path, {"ENVKIT_OVERLAY": "two, one"}) == "1"
    assert value(tmp_path, {"ENVKIT_OVERLAY": "two, one"}, overlays=["three.yaml"]) == "3"


def test_a_file_and_a_profile_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="-f and --profile"):
        request(tmp_path, file="a.yaml", profile="b")
    with pytest.raises(UsageError, match="ENVKIT_FILE and ENVKIT_PROFILE"):
        request(tmp_path, {"ENVKIT_FILE": "a", "ENVKIT_PROFILE": "b"})
    assert request(tmp_path, {"ENVKIT_PROFILE": "b"}, file="a").profile is None


def test_null_deletes_and_scalars_replace(tmp_path: Path) -> None:
    write(tmp_path, envkit="extends: gateway\ncluster: none\nservices: {datastorage: null, redis: {probe: null}}\n")
    environment = load(request(tmp_path, sets=["services.migrate=null"]))
    assert sorted(environment.services) == ["postgres", "redis"]
    assert environment.cluster.type == "none"
    assert environment.services["redis"].probe is None


def test_a_service_deleted_and_made_anew_has_its_preset(tmp_path: Path) -> None:
    write(tmp_path, envkit="extends: datastorage\nservices: {redis: null}\n")
    write(tmp_path, again="services: {redis: {preset: redis, ports: {redis: auto}}}\n")
    environment = load(request(tmp_path, overlays=["again"]))
    assert environment.services["redis"].ports["redis"].host == "auto"
    assert environment.services["redis"].ports["redis"].container == 6379


def test_a_type_of_cluster_keeps_what_is_said_of_it(tmp_path: Path) -> None:
    write(tmp_path, envkit="extends: gateway\ncluster: envtest\n")
    cluster = load(request(tmp_path)).cluster
    assert cluster.type == "envtest"
    assert "production" in cluster.namespaces


def test_the_kubeconfig_is_exported_beside_the_users_own(tmp_path: Path) -> None:
    write(tmp_path, envkit="cluster: {exports: {MINE: '${cluster.name}'}}\n")
    assert set(load(request(tmp_path)).cluster.exports) == {"KUBECONFIG", "MINE"}


def test_set_reads_yaml_and_quoted_keys(tmp_path: Path) -> None:
    write(tmp_path, envkit=IMAGE % 1)
    sets = [
        'images."docker.io/library/redis:7"=localhost/redis:7',
        "services.a.needs=[]",
        "services.a.command=[a, b=c]",
    ]
    environment = load(request(tmp_path, sets=sets))
    assert environment.images == {"docker.io/library/redis:7": "localhost/redis:7"}
    assert environment.services["a"].command == ("a", "b=c")
    assert faults(tmp_path, sets=["nonsense"])[0].startswith("--set: expected PATH=VALUE")
    assert faults(tmp_path, sets=["timeout=[1"])[0].startswith("--set: timeout: line ")


def test_identify_names_the_same_environment_as_load(tmp_path: Path) -> None:
    write(tmp_path, envkit="extends: base2\n", base2="name: inherited\n" + IMAGE % 1)
    found, environment = identify(request(tmp_path)), load(request(tmp_path))
    assert (found.name, str(found.root), found.files) == (environment.name, environment.root, environment.files)
    assert identify(request(tmp_path, {"ENVKIT_NAME": "mine"})).name == "mine"


def test_identify_is_not_stopped_by_what_only_matters_for_load(tmp_path: Path) -> None:
    write(tmp_path, envkit="extends: nowhere\nnme: x\nservices: {a: {image: '${MISSING}', port: 3}}\n")
    assert identify(request(tmp_path, name="x")).name == "x"
    with pytest.raises(ConfigError, match=re.escape("--name: name: expected lower-case letters")):
        identify(request(tmp_path, name="../../etc"))


def test_identify_imports_no_typed_model(tmp_path: Path) -> None:
    write(tmp_path, envkit=IMAGE % 1)
    code = (
        "import sys; from pathlib import Path; from envkit.config.load import Request, identify;"
        f"identify(Request.of({{}}, Path({str(tmp_path)!r}))); sys.exit('pydantic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
