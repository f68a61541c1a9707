"""Tests of references: their value on the host and in a container, and the fault of a reference without a target."""

from typing import Any

import pytest

from envkit.config.models import Environment
from envkit.config.references import (
    Inside,
    Published,
    Scope,
    UnresolvedReference,
    names_in,
    problems,
    resolve,
    value_names,
)
from envkit.config.resolution import resolved_service


def environment(**more: Any) -> Environment:
    services = {
        "api": {
            "image": "x",
            "ports": {"web": {"container": 80, "host": 2000}, "admin": {"container": 81, "host": "auto"}},
            "env": {"SECRET": "a b/c$", "NEXT": "${db.env.USER}", "LOOP": "${db.env.LOOP}"},
            "exports": {"URL": "http://${self.address}"},
        },
        "db": {"image": "x", "ports": {"sql": {"container": 5432}}, "env": {"USER": "me", "LOOP": "${api.env.LOOP}"}},
        "bare": {"image": "x"},
    }
    return Environment.model_validate({"name": "e", "services": services, **more})


def from_host(text: str, **ports: int) -> str:
    found = environment(port_offset=100)
    scope = Scope(
        found, Published(found, {f"api.{name}": port for name, port in ports.items()}), "api", {"env.name": "e"}
    )
    return resolve(text, scope)


def from_inside(text: str, self_name: str = "api") -> str:
    found = environment(port_offset=100)
    return resolve(text, Scope(found, Inside(found), self_name, {"cluster.kubeconfig": "/k"}))


@pytest.mark.parametrize(
    ("text", "host", "inside"),
    [
        ("${api.host}", "127.0.0.1", "api"),
        ("${api.port}", "2100", "80"),
        ("${api.address}", "127.0.0.1:2100", "api:80"),
        ("${self.ports.web}", "2100", "80"),
        ("${api.ports.admin}", "4000", "81"),
        ("${self.env.SECRET}", "a b/c$", "a b/c$"),
        ("${self.env.SECRET|url}", "a%20b%2Fc%24", "a%20b%2Fc%24"),
        ("${api.env.NEXT}", "me", "me"),
        ("${api.exports.URL}", "http://127.0.0.1:2100", "http://api:80"),
        ("${self.env.SECRET|base64}", "YSBiL2Mk", "YSBiL2Mk"),
        ("<${api.host}:${api.port}>", "<127.0.0.1:2100>", "<api:80>"),
        ("$5 $${api.host} $$${api.host} ${HOME}", "$5 ${api.host} $127.0.0.1 ${HOME}", "$5 ${api.host} $api ${HOME}"),
        ("plain", "plain", "plain"),
    ],
)
def test_both_sides(text: str, host: str, inside: str) -> None:
    assert from_host(text, admin=4000) == host
    assert from_inside(text) == inside


def test_values_are_taken_by_their_full_name() -> None:
    assert from_inside("${cluster.kubeconfig}") == "/k"
    assert from_host("${env.name}") == "e"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${apo.host}", "means nothing here; did you mean 'api.host'? known: api, bare, db, cluster.kubeconfig"),
        (
            "${api.hots}",
            "expected one of api.host, api.port, api.address, api.ports.PORT, api.env.VAR, api.exports.VAR, "
            "api.password, api.listen, api.root, api.data",
        ),
        ("${api.ports.wbe}", "api has no port wbe; did you mean 'web'?; it has: web, admin"),
        ("${api.env.SECRT}", "api has no SECRT in its env; did you mean 'SECRET'?; it has: SECRET, NEXT, LOOP"),
        ("${bare.port}", "bare has no ports"),
        ("${api.env.LOOP}", "refers to itself: api.env.LOOP -> db.env.LOOP -> api.env.LOOP"),
        ("${api.host|hex}", "there is no filter |hex; expected |url, |quoted, |base64"),
    ],
)
def test_what_means_nothing_is_explained(text: str, message: str) -> None:
    with pytest.raises(UnresolvedReference) as caught:
        from_inside(text)
    assert caught.value.message == message


def test_ports_that_are_not_there_from_the_host() -> None:
    with pytest.raises(UnresolvedReference, match=r"port sql of db is not published; set services\.db\.ports\.sql"):
        from_host("${db.port}")
    with pytest.raises(UnresolvedReference, match="port admin of api has no number yet"):
        from_host("${api.ports.admin}")


def test_self_needs_a_service() -> None:
    with pytest.raises(UnresolvedReference, match="self has no meaning outside a service"):
        from_inside("${self.host}", self_name="")


def test_names_and_problems_of_a_text() -> None:
    found = environment()
    assert names_in("${a.b} $${c.d} ${a.b} ${e.f|url} ${G}") == ("a.b", "e.f")
    said = problems("${api.host} ${x.host} ${y.host}", Scope(found, Inside(found)))
    assert [problem.partition(":")[0] for problem in said] == ["${x.host}", "${y.host}"]


def test_a_resolved_service_has_no_reference_left_but_in_its_exports() -> None:
    raw = {
        "image": "x",
        "ports": {"web": {"container": 80, "host": 2000}},
        "entrypoint": ["${self.host}"],
        "command": ["${db.address}", "$${db.port}"],
        "env": {"A": "${db.port}"},
        "files": [{"path": "/f", "content": "${db.env.USER}"}, {"path": "/g", "source": "/etc/hosts"}],
        "probe": {"type": "http", "headers": {"Authorization": "Bearer ${identity.i.token}"}},
        "exports": {"URL": "${self.address}"},
    }
    found = environment()
    found = Environment.model_validate({"name": "e", "services": {**found.model_dump()["services"], "me": raw}})
    scope = Scope(found, Inside(found), "me", {"identity.i.token": "t0ken"})
    service = resolved_service(found.services["me"], scope)
    assert service.entrypoint == ("me",)
    assert service.command == ("db:5432", "${db.port}")
    assert service.env == {"A": "5432"}
    assert [file.content for file in service.files] == ["me", None]
    assert service.probe is not None
    assert service.probe.model_dump()["headers"] == {"Authorization": "Bearer t0ken"}
    assert service.exports == {"URL": "${self.address}"}
    assert "t0ken" not in repr(scope)


def test_what_a_scope_must_hold_depends_on_the_cluster() -> None:
    identities = {"i": {"namespace": "n"}, "j": {"namespace": "n", "token": "none"}}
    always = {"env.name", "env.root", "host.address", "host.listen"}
    assert value_names(environment()) == always
    assert value_names(environment(cluster={"identities": identities})) == always | {
        "cluster.name", "cluster.kubeconfig", "cluster.server", "cluster.host", "cluster.port",
        "cluster.ca", "identity.i.token", "identity.i.token_file",
    }  # fmt: skip
