"""Tests of the files in a service: changed keys, secrets, certificates, API server access and file owners."""

from __future__ import annotations

import json
import ssl
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from envkit.base import kubeconfig
from envkit.base.errors import EnvironmentFailed
from envkit.base.kubeconfig import Access
from envkit.base.paths import Paths, write_private
from envkit.config.load import Request, load
from envkit.config.models import Environment, Service
from envkit.drivers.engine.file_owners import ids, numbered
from envkit.drivers.lanes import Lane, finalize_for_lane
from envkit.inventory import state
from envkit.operations import tokens
from envkit.planning import desired
from envkit.planning.fingerprint import fingerprint
from envkit.planning.values import placeholder

IDENTITIES = "cluster: {type: %s, identities: {me: {namespace: shop}}}\n"
CA = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path / "state", "envkit")
    made.make()
    return made


def environment(tmp_path: Path, text: str, paths: Paths, lane: Lane = "mixed", **environ: str) -> Environment:
    (tmp_path / "envkit.yaml").write_text(text)
    found = load(Request(cwd=tmp_path, environ=environ))
    return finalize_for_lane(found.model_copy(update={"name": "envkit"}), lane, paths, make=True)


def reached(paths: Paths) -> None:
    """Write a kubeconfig and a token, as the bootstrap does."""
    write_private(paths.kubeconfig, kubeconfig.render(Access("https://127.0.0.1:4711", ca=CA, token="admin"), "x"))
    write_private(paths.tokens / "me", "t0ken")


def text_in(service: Service, path: str) -> str:
    (file,) = (file for file in service.files if file.path == path)
    return file.content if file.content is not None else Path(str(file.source)).read_text()


def modes(service: Service) -> dict[str, int]:
    return {file.path: file.permissions for file in service.files}


SHOP = """
services:
  db: {image: db, env: {PASSWORD: pa$$w, USER: me}, ports: {sql: "15000:5432"}, process: {command: db}}
  shop:
    image: shop
    process: {command: shop}
    user: "1001:1002"
    files:
      /etc/a.yaml:
        source: a.yaml
        set: {db.host: "${db.host}", db.port: "${db.port}", db.url: "x:${db.port}", db.tls: "${TLS:-no}", deep: {a: [
          "${db.port}"]}}
      /etc/b.json: {content: '{"keep": 1}', set: {password: "${db.env.PASSWORD}"}}
      /etc/c: {content: "${secret.made} ${secret.given}"}
      /etc/d: {content: plain, mode: "0640", owner: 7}
secrets: {made: {length: 20}, given: "${GIVEN:-gi'ven}"}
"""


@pytest.mark.parametrize(("lane", "host", "port"), [("mixed", "db", 5432), ("embedded", "127.0.0.1", 15000)])
def test_a_users_file_has_its_keys_changed_as_seen_from_the_service(
    tmp_path: Path, paths: Paths, lane: Lane, host: str, port: int
) -> None:
    (tmp_path / "a.yaml").write_text("db: {host: old, keep: 1.10}\n")
    service = desired.resolve_for_container(environment(tmp_path, SHOP, paths, lane), "shop", paths)
    text = text_in(service, "/etc/a.yaml")
    assert "keep: 1.10" in text
    db = yaml.safe_load(text)["db"]
    assert {key: db[key] for key in ("host", "port", "url", "tls")} == {
        "host": host, "port": port, "url": f"x:{port}", "tls": "no",
    }  # fmt: skip
    assert yaml.safe_load(text)["deep"] == {"a": [port]}
    assert json.loads(text_in(service, "/etc/b.json")) == {"keep": 1, "password": "pa$w"}


def test_what_holds_a_secret_is_for_nobody_else(tmp_path: Path, paths: Paths) -> None:
    (tmp_path / "a.yaml").write_text("")
    service = desired.resolve_for_container(environment(tmp_path, SHOP, paths), "shop", paths)
    assert modes(service) == {"/etc/a.yaml": 0o644, "/etc/b.json": 0o600, "/etc/c": 0o600, "/etc/d": 0o640}
    assert "pa$w" not in repr(service.files)


def test_a_secret_is_generated_once_and_kept_for_this_user_alone(tmp_path: Path, paths: Paths) -> None:
    (tmp_path / "a.yaml").write_text("")
    first, second = (
        text_in(desired.resolve_for_container(environment(tmp_path, SHOP, paths), "shop", paths), "/etc/c")
        for _ in range(2)
    )
    assert first == second
    made, given = first.split(" ")
    assert given == "gi'ven"
    assert len(made) == 20 and made.isalnum()
    kept = paths.folder / "secrets" / "made"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "gi'ven" not in repr(environment(tmp_path, SHOP, paths))


def test_the_fingerprint_is_of_the_text_in_the_end(tmp_path: Path, paths: Paths) -> None:
    def seen(**environ: str) -> str:
        return fingerprint(desired.resolve_for_plan(environment(tmp_path, SHOP, paths, **environ), "shop", paths), "i")

    (tmp_path / "a.yaml").write_text("a: 1\n")
    first = seen()
    assert seen() == first
    assert seen(TLS="yes") != first
    assert seen(GIVEN="other") != first
    (tmp_path / "a.yaml").write_text("a: 2\n")
    assert seen() != first


# Certificates


def test_a_certificate_is_for_the_service_and_this_host(tmp_path: Path, paths: Paths) -> None:
    text = "services: {shop: {image: x, certificates: {folder: /etc/certs, hosts: shop.example}, user: 7}}"
    found = environment(tmp_path, text, paths)
    service = desired.resolve_for_container(found, "shop", paths)
    assert modes(service) == {"/etc/certs/tls.crt": 0o644, "/etc/certs/tls.key": 0o600, "/etc/certs/ca.crt": 0o644}
    certificate = x509.load_pem_x509_certificate(text_in(service, "/etc/certs/tls.crt").encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["shop", "localhost", "shop.example"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    sources = {Path(file.path).name: str(file.source) for file in service.files}
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(sources["tls.crt"], sources["tls.key"])
    assert sources["ca.crt"] == str(paths.folder / "pki" / "ca.crt")


def test_a_certificate_is_made_once_and_anew_for_other_hosts(tmp_path: Path, paths: Paths) -> None:
    def made(hosts: str) -> str:
        text = f"services: {{shop: {{image: x, certificates: {{folder: /c, hosts: {hosts}}}}}}}"
        return text_in(environment(tmp_path, text, paths).services["shop"], "/c/tls.crt")

    assert made("a") == made("a") != made("b")


def test_to_look_makes_nothing(tmp_path: Path, paths: Paths) -> None:
    (tmp_path / "a.yaml").write_text("")
    (tmp_path / "envkit.yaml").write_text(SHOP.replace("user:", "certificates: /etc/certs\n    user:"))
    found = finalize_for_lane(load(Request(cwd=tmp_path, environ={})), "mixed", paths)
    desired.resolve_for_plan(found, "shop", paths)
    assert list(paths.folder.iterdir()) == []


# The API server


@pytest.mark.parametrize(
    ("lane", "kind", "server"),
    [
        ("mixed", "envtest", "https://apiserver:6443"),
        ("containers", "kind", "https://envkit-envkit-control-plane:6443"),
        ("embedded", "envtest", "https://127.0.0.1:"),
    ],
)
def test_a_kubeconfig_works_from_where_the_service_runs(
    tmp_path: Path, paths: Paths, lane: Lane, kind: str, server: str
) -> None:
    text = IDENTITIES % kind + (
        "services: {shop: {image: x, process: {command: x}, needs: cluster, kubeconfig: me, service_account: me}}"
    )
    found = environment(tmp_path, text, paths, lane)
    with pytest.raises(EnvironmentFailed, match="uses the token of me, which the cluster's bootstrap creates"):
        desired.resolve_to_start(found, "shop", paths)
    reached(paths)
    service = desired.resolve_to_start(found, "shop", paths)
    for file in service.files:
        target = tmp_path / "root" / file.path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text_in(service, file.path))

    access = kubeconfig.read(tmp_path / "root/etc/kubernetes/kubeconfig")
    assert access.server.startswith(server)
    assert (access.ca, access.token) == (CA, "t0ken")
    mounted = tmp_path / "root/var/run/secrets/kubernetes.io/serviceaccount"
    assert {path.name: path.read_text() for path in mounted.iterdir()} == {
        "token": "t0ken", "ca.crt": CA, "namespace": "shop",
    }  # fmt: skip
    env = service.env
    assert f"https://{env['KUBERNETES_SERVICE_HOST']}:{env['KUBERNETES_SERVICE_PORT']}" == access.server
    assert {mode for path, mode in modes(service).items() if "token" in path} == {0o600}


def test_with_several_control_planes_the_balancer_is_asked(tmp_path: Path, paths: Paths) -> None:
    text = (
        "cluster: {type: kind, config: {nodes: [{role: control-plane}, {role: control-plane}, {role: worker}]}}\n"
        "services: {shop: {image: x, needs: cluster, env: {AT: '${cluster.server}'}}}"
    )
    service = desired.resolve_for_container(environment(tmp_path, text, paths, "containers"), "shop", paths)
    assert service.env["AT"] == "https://envkit-envkit-external-load-balancer:6443"


def test_the_users_own_word_goes_before_what_is_filled_in(tmp_path: Path, paths: Paths) -> None:
    text = IDENTITIES % "envtest" + (
        "services: {shop: {image: x, needs: cluster, service_account: me, env: {KUBERNETES_SERVICE_HOST: there},"
        " files: {/var/run/secrets/kubernetes.io/serviceaccount/namespace: {content: mine}}}}"
    )
    service = desired.resolve_for_container(environment(tmp_path, text, paths), "shop", paths)
    assert service.env["KUBERNETES_SERVICE_HOST"] == "there"
    assert text_in(service, "/var/run/secrets/kubernetes.io/serviceaccount/namespace") == "mine"


def test_a_renewed_token_changes_no_fingerprint(tmp_path: Path, paths: Paths) -> None:
    text = IDENTITIES % "envtest" + "services: {shop: {image: x, needs: cluster, kubeconfig: me, service_account: me}}"
    found = environment(tmp_path, text, paths)
    before = fingerprint(desired.resolve_for_plan(found, "shop", paths), "i")
    reached(paths)
    assert fingerprint(desired.resolve_for_plan(found, "shop", paths), "i") == before


# Renewal


class Place:
    """A fake runtime that records the files it receives."""

    def __init__(self) -> None:
        self.files: dict[tuple[str, str], str] = {}

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def rewrite(self, name: str, path: str, content: bytes) -> bool:
        self.files[name, path] = content.decode()
        return True


def record(*carried: state.Carried, **more: Any) -> state.Record:
    return state.Record("e", "/", carried=carried, **more)


def test_a_new_token_reaches_every_file_that_carries_it(paths: Paths) -> None:
    write_private(paths.tokens / "other", "old")
    both = state.Carried("a", "/both", f"{placeholder('me')} {placeholder('other')}", ("me", "other"))
    place = Place()

    known = record(
        both,
        state.Carried("a", "/not", placeholder("other"), ("other",)),
        state.Carried("b", "/t", placeholder("me"), ("me",)),
    )
    changed = tokens.rewrite_files(known, paths, lambda: place, {"me": "new"}, but=["b"])

    assert place.files == {("envkit-e-a", "/both"): "new old"}
    assert changed == ["a:/both"]


def test_no_runtime_is_opened_where_nothing_carries_the_token(paths: Paths) -> None:
    assert tokens.rewrite_files(record(), paths, lambda: pytest.fail("opened"), {"me": "new"}) == []


def test_a_token_that_could_not_be_put_in_is_asked_for_again(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    from envkit.drivers.clusters import identities

    reached(paths)
    monkeypatch.setattr(identities, "new_token", lambda *_: "new")

    def broken() -> Place:
        raise EnvironmentFailed("the engine is gone")

    known = record(
        state.Carried("a", "/t", placeholder("me"), ("me",)), tokens=(state.Renewal("me", "shop", "me", 3600),)
    )
    with pytest.raises(EnvironmentFailed, match="the engine is gone"):
        tokens.renew_tokens(known, paths, broken)
    assert (paths.tokens / "me").read_text() == "t0ken"

    place = Place()
    tokens.renew_tokens(known, paths, lambda: place)
    assert (paths.tokens / "me").read_text() == "new"
    assert place.files == {("envkit-e-a", "/t"): "new"}


def test_the_record_remembers_what_carries_a_token(paths: Paths) -> None:
    written = record(state.Carried("a", "/t", "x", ("me",)))
    state.write(paths, written)
    assert state.read(paths) == written


# Owners

PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533::/:/bin/false\n"


@pytest.mark.parametrize(
    ("user", "owner"),
    [
        ("0", (0, 0)), ("1001", (1001, 1001)), ("1001:7", (1001, 7)), ("nobody", (65534, 65533)),
        ("nobody:7", (65534, 7)), ("65534:staff", (65534, 65533)), ("somebody", (0, 0)), ("12:staff", (12, 12)),
    ],
)  # fmt: skip
def test_files_belong_to_the_containers_user(user: str, owner: tuple[int, int]) -> None:
    assert ids(numbered(user, lambda: PASSWD)) == owner
