"""Tests of the shipped files: the profile of each suite, its ports, and the schema for editors."""

from pathlib import Path

import pytest
import yaml

from envkit.base.errors import ConfigError
from envkit.config.images import substitute
from envkit.config.load import Request, load
from envkit.config.models import Environment, Migrations
from envkit.config.references import Published, Scope, resolve
from envkit.config.schema import FILE, text
from envkit.config.shipped import profiles, shipped_folder
from envkit.drivers.probes.audit import AuditProbe

PORTS = {
    "gateway": (15437, 16380, 18091, 19091, 28091),
    "datastorage": (15433, 16379, None, None, None),
    "effectivenessmonitor": (15434, 16383, 18092, 19092, 28092),
    "remediationorchestrator": (15435, 16381, 18140, 19140, 28140),
    "signalprocessing": (15436, 16382, 18094, 19094, 28094),
    "aianalysis": (15438, 16384, 18095, 19095, 28095),
    "kubernautagent": (15439, 16387, 18098, 19098, 28098),
    "notification": (15440, 16385, 18096, 19096, 28096),
    "workflowexecution": (15441, 16388, 18097, 19097, 28097),
    "authwebhook": (15442, 16386, 18099, 19099, 28099),
}

VARIABLES = {
    "TEST_DATA_STORAGE_URL": "http://127.0.0.1:18091",
    "TEST_DATA_STORAGE_HEALTH_URL": "http://127.0.0.1:28091",
    "TEST_DATA_STORAGE_METRICS_URL": "http://127.0.0.1:19091/metrics",
    "DATA_STORAGE_URL": "http://127.0.0.1:18091",
    "DATA_STORAGE_HEALTH_URL": "http://127.0.0.1:28091",
    "DATA_STORAGE_METRICS_URL": "http://127.0.0.1:19091/metrics",
    "REDIS_URL": "redis://127.0.0.1:16380/0",
    "REDIS_HOST": "127.0.0.1",
    "REDIS_PORT": "16380",
    "REDIS_ADDR": "127.0.0.1:16380",
    "POSTGRES_HOST": "127.0.0.1",
    "POSTGRES_PORT": "15437",
    "POSTGRES_USER": "slm_user",
    "POSTGRES_PASSWORD": "test_password",
    "POSTGRES_DB": "action_history",
    "DATABASE_URL": "postgresql://slm_user:test_password@127.0.0.1:15437/action_history?sslmode=disable",
}


REAL = "kubernaut-datastorage"
TAGGED = {"KUBERNAUT_CI_ARTIFACT_TAG": "t"}


def shipped_profile(name: str, tmp_path: Path, *overlays: str) -> Environment:
    environ = TAGGED if name == REAL else {}
    return load(Request(cwd=tmp_path, environ=environ, profile=name, overlays=overlays))


def test_the_table_is_complete() -> None:
    assert set(profiles()) == {*PORTS, "base", "standins", "e2e", REAL}


def test_the_real_datastorage_stands_where_the_gateways_reference_service_does(tmp_path: Path) -> None:
    gateway, real = (shipped_profile(name, tmp_path) for name in ("gateway", REAL))
    assert real.host_ports() == gateway.host_ports()
    service = real.services["datastorage"]
    assert {*gateway.services["datastorage"].exports} < {*service.exports}
    assert service.image == ("localhost/kubernaut/datastorage:t",)
    assert not service.build and not service.process
    assert [why.rpartition(": ")[2] for why in service.skipped] == [
        "IMAGE_REGISTRY, IMAGE_TAG are not set", "KUBERNAUT_SOURCE is not set",
    ]  # fmt: skip
    assert "DATABASE_URL" not in service.env


def test_without_any_image_the_real_datastorage_names_every_way_to_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(Request(cwd=tmp_path, environ={"IMAGE_REGISTRY": "r.example", "IMAGE_TAG": ""}, profile=REAL))
    (fault,) = caught.value.faults
    assert fault.path == "services.datastorage.image"
    for reason in (
        "KUBERNAUT_CI_ARTIFACT_TAG is not set", "'r.example/datastorage:': this is not an image name",
        "a build of ${KUBERNAUT_SOURCE}: KUBERNAUT_SOURCE is not set",
    ):  # fmt: skip
        assert reason in fault.message


def test_a_users_own_files_take_the_samples_places(tmp_path: Path) -> None:
    for name in ("config", "db-secrets", "redis-secrets"):
        (tmp_path / f"{name}.yaml").write_text("a: 1\n")
    environ = {**TAGGED, "KUBERNAUT_DATASTORAGE_CONFIG": str(tmp_path)}
    files = load(Request(cwd=tmp_path, environ=environ, profile=REAL)).services["datastorage"].files
    assert {Path(str(file.source)).parent for file in files} == {tmp_path}


@pytest.mark.parametrize("name", PORTS)
def test_every_suite_has_its_ports(tmp_path: Path, name: str) -> None:
    services = shipped_profile(name, tmp_path).services
    api = services["datastorage"].ports if "datastorage" in services else None
    found = (
        services["postgres"].ports["postgres"].host,
        services["redis"].ports["redis"].host,
        *(api[port].host if api else None for port in ("api", "metrics", "health")),
    )
    assert found == PORTS[name]


def test_no_two_suites_share_a_port(tmp_path: Path) -> None:
    published = [port for name in PORTS for port in shipped_profile(name, tmp_path).host_ports()]
    assert len(published) == len(set(published))


def test_the_default_is_gateway_with_all_variables(tmp_path: Path) -> None:
    environment = load(Request(cwd=tmp_path, environ={}))
    assert environment.name == "gateway"
    found = {
        variable: resolve(text, Scope(environment, Published(environment), name))
        for name, service in environment.services.items()
        for variable, text in service.exports.items()
    }
    assert found == VARIABLES
    assert environment.cluster.exports == {"KUBECONFIG": "${cluster.kubeconfig}"}
    tokens = {
        name: identity.token.variable for name, identity in environment.cluster.identities.items() if identity.token
    }
    assert tokens["gateway-integration-sa"] == "DATA_STORAGE_TOKEN"


def test_the_default_proves_its_audit_service_with_an_event_of_the_gateway(tmp_path: Path) -> None:
    probe = load(Request(cwd=tmp_path, environ={})).services["datastorage"].first_probe
    assert isinstance(probe, AuditProbe)
    assert probe.event == {"event_category": "gateway"}


def test_the_default_is_bootstrapped_as_the_suites_expect(tmp_path: Path) -> None:
    environment = load(Request(cwd=tmp_path, environ={}))
    assert environment.cluster.type == "kind"
    assert environment.cluster.namespaces == ("kubernaut-system", "production", "staging", "development")
    assert environment.services["migrate"].migrations == Migrations(folder="datastorage", service="postgres")
    assert environment.services["datastorage"].needs == ("postgres", "redis", "migrate")
    sa = environment.cluster.identities["gateway-integration-sa"]
    assert (sa.namespace, sa.role) == ("default", "data-storage-client")
    assert environment.cluster.identities["gateway-unauthorized"].rules == ()


def test_the_datastorage_suite_has_stores_and_nothing_else(tmp_path: Path) -> None:
    environment = shipped_profile("datastorage", tmp_path)
    assert sorted(environment.services) == ["postgres", "redis"]
    assert environment.cluster.type == "none"


def test_the_end_to_end_tier_is_a_cluster_with_its_node_ports(tmp_path: Path) -> None:
    environment = shipped_profile("e2e", tmp_path)
    assert not environment.services
    ports = {port.node: port.host for port in environment.cluster.ports}
    assert ports == {30081: 18091, 30281: 28091, 30080: 8080, 30180: 28080, 30090: 9090}


def test_the_base_asks_for_ports_and_for_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        shipped_profile("base", tmp_path)
    assert len(caught.value.faults) == 5
    assert all(fault.message.startswith("expected a host port, or auto") for fault in caught.value.faults)


def test_stand_ins_cover_every_image(tmp_path: Path) -> None:
    environment = shipped_profile("gateway", tmp_path, "standins")
    for service in environment.services.values():
        wanted = [*service.image, *(service.build.args.values() if service.build else ())]
        assert all(substitute(image, environment.images).startswith("localhost/") for image in wanted)
    assert substitute("kindest/node:v1.36.0", environment.images) == "docker.io/kindest/node:v1.20.2"


def test_the_schema_is_current() -> None:
    written = (shipped_folder("config") / FILE).read_text()
    assert written == text(), "run `python -m envkit.config.schema`"


@pytest.mark.parametrize("name", profiles())
def test_every_profile_names_its_schema(name: str) -> None:
    first = (shipped_folder("config") / f"{name}.yaml").read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema={FILE}"


def test_profiles_hold_to_the_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="checks the schema itself")
    import json

    validator = jsonschema.Draft202012Validator(json.loads(text()))
    validator.check_schema(validator.schema)
    for path in shipped_folder("config").glob("*.yaml"):
        validator.validate(yaml.safe_load(path.read_text()))
    for wrong in ({"timout": 1}, {"services": {"a": {"ports": {"p": 80}}}}, {"services": {"a": {"preset": "x"}}}):
        assert not validator.is_valid(wrong)
    for right in ({"cluster": "none"}, {"services": {"a": None}}, {"timeout": "${T}"}, {"extends": ["a", "b"]}):
        assert validator.is_valid(right)
    for port in ("auto:8080", "127.0.0.1:18080:8080", "${P}:8080", "auto"):
        assert validator.is_valid({"services": {"a": {"ports": {"p": port}}}})
    assert validator.is_valid({"name": "suite-${USER}", "lane": "${LANE:-auto}"})
    assert not validator.is_valid({"name": "No Name"})


def test_the_manifest_is_the_platforms(tmp_path: Path) -> None:
    crd = yaml.safe_load((shipped_folder("manifests") / "remediationrequests.kubernaut.ai.yaml").read_text())
    (version,) = crd["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert (crd["spec"]["group"], version["name"], crd["spec"]["scope"]) == ("kubernaut.ai", "v1alpha1", "Namespaced")
    assert crd["spec"]["names"]["shortNames"] == ["rr"]
    assert version["subresources"] == {"status": {}}
    assert sorted(spec["required"]) == [
        "firingTime", "receivedTime", "severity", "signalFingerprint", "signalName", "signalType", "targetResource",
        "targetType",
    ]  # fmt: skip
