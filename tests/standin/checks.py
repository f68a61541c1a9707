"""Checks of everything that the platform's own DataStorage needs, made inside its container; each states its reason."""

from __future__ import annotations

import base64
import json
import os
import ssl
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import redis
import yaml

CERTIFICATES = Path("/etc/certs")
MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")
ACCOUNT = "system:serviceaccount:default:data-storage-sa"
USERS = (65534, 1001)
TRIES, PAUSE = 3, 0.2
"""Attempts and pause in seconds for the certificates; the real service tries ten times, two seconds apart."""


class Unmet(Exception):
    """The environment lacks something that the service needs."""


def everything() -> dict[str, Any]:
    """Run all checks in the order of the real service and return its configuration."""
    if os.getuid() not in USERS:
        raise Unmet(f"uid {os.getuid()}, expected one of {USERS}")
    config = configuration()
    certificates(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    database(config["database"])
    queue(config["redis"])
    if not os.environ.get("POD_NAMESPACE"):
        raise Unmet("POD_NAMESPACE is not set")
    for ask in (kubeconfig(), mounted()):
        review(ask)
    return config


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise Unmet(f"{what}: {path}: {error.strerror} (as uid {os.getuid()})") from error


def configuration() -> dict[str, Any]:
    """Return the configuration; it must have all sections, and its hosts must differ from the sample's."""
    path = os.environ.get("CONFIG_PATH")
    if not path:
        raise Unmet("CONFIG_PATH is not set")
    document = yaml.safe_load(_read(Path(path), "CONFIG_PATH"))
    for section in ("server", "database", "redis"):
        if not isinstance(document.get(section), dict):
            raise Unmet(f"CONFIG_PATH: there is no section {section}")
    for where, found in (("database.host", document["database"]["host"]), ("redis.addr", document["redis"]["addr"])):
        if "svc.cluster.local" in found or "127.0.0.1" in found or "localhost" in found:
            raise Unmet(f"CONFIG_PATH: {where} is {found}, which means nothing here")
    if document["database"]["port"] != 5432:
        raise Unmet(f"CONFIG_PATH: database.port is {document['database']['port']!r}, expected the number 5432")
    if document["logging"]["level"] != "info":
        raise Unmet("CONFIG_PATH: what nobody asked to change has changed")
    return dict(document)


def secret(section: dict[str, Any], key: str) -> str:
    """Return a value from the section's secrets file."""
    path = Path(section["secretsFile"])
    document = yaml.safe_load(_read(path, "secretsFile"))
    if section[key] not in document:
        raise Unmet(f"{path}: there is no {section[key]}")
    if path.stat().st_mode & 0o077:
        raise Unmet(f"{path}: mode {path.stat().st_mode & 0o777:o}: others may read it")
    return str(document[section[key]])


def certificates(context: ssl.SSLContext) -> None:
    """Wait a short time for the certificates, as the real service does, and check that the key fits."""
    for attempt in range(TRIES):
        try:
            context.load_cert_chain(CERTIFICATES / "tls.crt", CERTIFICATES / "tls.key")
            return
        except (OSError, ssl.SSLError) as error:
            reason = f"{CERTIFICATES}/tls.crt, tls.key: {error}"
            time.sleep(PAUSE * (attempt + 1 < TRIES))
    raise Unmet(f"no certificate after {TRIES} tries: {reason}")


def database(section: dict[str, Any]) -> None:
    """Check that the database answers at its service name, and that goose's table lists an applied migration."""
    who = {"user": secret(section, "usernameKey"), "password": secret(section, "passwordKey")}
    where = {"host": section["host"], "port": section["port"], "dbname": section["name"]}
    try:
        with psycopg.connect(**where, **who, sslmode=section["sslMode"], connect_timeout=5) as connection:
            row = connection.execute("SELECT max(version_id) FROM goose_db_version WHERE is_applied").fetchone()
    except psycopg.Error as error:
        raise Unmet(f"PostgreSQL at {section['host']}: {error}") from error
    if not row or not row[0]:
        raise Unmet("no migration is recorded in goose_db_version")


def queue(section: dict[str, Any]) -> None:
    """Check that Redis answers at its service name."""
    host, _, port = section["addr"].rpartition(":")
    try:
        client = redis.Redis(host, int(port), password=secret(section, "passwordKey") or None, socket_timeout=5)
        client.ping()
        client.close()
    except redis.RedisError as error:
        raise Unmet(f"Redis at {section['addr']}: {error}") from error


Ask = Callable[[str, dict[str, Any]], dict[str, Any]]


def kubeconfig() -> Ask:
    """Return a function that queries the API server of KUBECONFIG.

    The function reads the file anew for each call, because envkit renews the token in the same file.
    """
    path = Path(os.environ.get("KUBECONFIG") or "/KUBECONFIG is not set")

    def ask(url: str, body: dict[str, Any]) -> dict[str, Any]:
        cluster = yaml.safe_load(_read(path, "KUBECONFIG"))["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        return post(cluster["server"] + url, _own_token(), authority, body)

    return ask


def mounted() -> Ask:
    """Return a function that queries the API server with a pod's variables and mounted files."""

    def ask(url: str, body: dict[str, Any]) -> dict[str, Any]:
        place = f"{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
        if _read(MOUNTED / "namespace", "ServiceAccount") != "default":
            raise Unmet(f"{MOUNTED}/namespace: expected default")
        token, authority = (_read(MOUNTED / name, "ServiceAccount") for name in ("token", "ca.crt"))
        return post(f"https://{place}{url}", token, authority, body)

    return ask


def post(url: str, token: str, authority: str, body: dict[str, Any]) -> dict[str, Any]:
    """Send one POST over verified TLS and return the `status` of the answer."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token.strip()}"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        context = ssl.create_default_context(cadata=authority)
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return dict(json.load(answer)["status"])
    except (OSError, ValueError) as error:
        raise Unmet(f"POST {url}: {error}") from error


def review(ask: Ask, token: str = "", user: str = ACCOUNT) -> str:
    """Send a TokenReview and then a SubjectAccessReview; return the user's name."""
    token = token or _own_token()
    version = "authentication.k8s.io/v1"
    body = {"apiVersion": version, "kind": "TokenReview", "spec": {"token": token.strip()}}
    said = ask(f"/apis/{version}/tokenreviews", body)
    found = str(said.get("user", {}).get("username"))
    if user and found != user:
        raise Unmet(f"TokenReview says {found}, expected {user}: {said}")
    version = "authorization.k8s.io/v1"
    what = {"verb": "create", "resource": "services", "name": "data-storage-service", "namespace": "default"}
    body = {"apiVersion": version, "kind": "SubjectAccessReview", "spec": {"user": found, "resourceAttributes": what}}
    allowed = ask(f"/apis/{version}/subjectaccessreviews", body).get("allowed")
    if not user and not allowed:
        raise Unmet(f"{found} may not create services/data-storage-service")
    return found


def _own_token() -> str:
    path = Path(os.environ["KUBECONFIG"])
    user = yaml.safe_load(_read(path, "KUBECONFIG"))["users"][0]["user"]
    return _read(path.parent / user["tokenFile"], "KUBECONFIG, tokenFile")
