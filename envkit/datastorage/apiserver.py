"""A small client of the environment's Kubernetes API server, with the server's address, credentials and one POST call.

The address and the credentials come from the kubeconfig that KUBECONFIG names. Without it they come from environment
variables and files that Kubernetes gives to each pod. The standard library is enough, because the service sends only
two kinds of POST requests.
"""

import base64
import http.client
import json
import os
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import yaml

from envkit.datastorage.errors import ConfigurationError

MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MAX_ANSWER_BYTES = 1024 * 1024


class ApiServerError(Exception):
    """The request to the API server failed; the text has the reason."""


@dataclass(frozen=True)
class ApiServer:
    """One API server, and the credentials of one of its users.

    Every call reads ``token_file`` again, because Kubernetes renews the token in the same file.
    """

    url: str
    context: ssl.SSLContext | None
    token: str | None = None
    token_file: Path | None = None

    def create(self, path: str, body: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
        """POST ``body`` and return the object in the API server's answer.

        Blocks for at most about ``seconds``. Raises ApiServerError if the call fails or takes longer.
        """
        where = urlsplit(self.url)
        connection = self._connection(where, seconds)
        try:
            with _severed(connection, seconds):
                connection.request("POST", where.path + path, json.dumps(body).encode(), self._headers())
                answer = connection.getresponse()
                said = answer.read(MAX_ANSWER_BYTES)
            if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
                raise ApiServerError(f"{path}: HTTP {answer.status}: {said[:300].decode(errors='replace')}")
            content: Mapping[str, Any] = json.loads(said)
        except (OSError, ValueError, RecursionError, http.client.HTTPException) as exc:
            raise ApiServerError(f"{path}: {str(exc) or type(exc).__name__}") from exc
        finally:
            connection.close()
        return content

    def _connection(self, where: SplitResult, seconds: float) -> http.client.HTTPConnection:
        if where.scheme == "http":
            return http.client.HTTPConnection(where.hostname or "", where.port, timeout=seconds)
        return http.client.HTTPSConnection(where.hostname or "", where.port, timeout=seconds, context=self.context)

    def _headers(self) -> dict[str, str]:
        token = self.token_file.read_text().strip() if self.token_file else self.token
        return {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})


@contextmanager
def _severed(connection: http.client.HTTPConnection, seconds: float) -> Iterator[None]:
    """Shut the connection down if the context lasts longer than ``seconds``, and raise TimeoutError then.

    A socket's own timeout is not enough, because it restarts with each byte.
    """
    cut = threading.Event()

    def sever() -> None:
        cut.set()
        with suppress(OSError, AttributeError), socket.socket(fileno=os.dup(connection.sock.fileno())) as own:
            own.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, sever)
    timer.daemon = True
    timer.start()
    late = TimeoutError(f"no whole answer within {seconds:g} s")
    try:
        yield
    except (OSError, ValueError, http.client.HTTPException) as exc:
        raise late if cut.is_set() else exc from exc
    else:
        if cut.is_set():
            raise late
    finally:
        timer.cancel()


def find(kubeconfig: Path | None, host: str, port: int) -> ApiServer:
    """Return the API server from ``kubeconfig``, or else from ``host`` and ``port`` and the files of a pod.

    Raises ConfigurationError if none can be used; the error's text has the reason.
    """
    try:
        if kubeconfig is not None:
            return _from_kubeconfig(kubeconfig)
        if host:
            return _from_pod(host, port)
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError, ssl.SSLError) as exc:
        where = kubeconfig or MOUNTED
        raise ConfigurationError([f"KUBECONFIG: {where} cannot be used: {type(exc).__name__}: {exc}"]) from exc
    raise ConfigurationError(["KUBECONFIG: is missing; AUTH_ENABLED needs an API server"])


def _from_pod(host: str, port: int) -> ApiServer:
    bracketed = f"[{host}]" if ":" in host else host
    context = ssl.create_default_context(cafile=str(MOUNTED / "ca.crt"))
    return ApiServer(f"https://{bracketed}:{port}", context, token_file=MOUNTED / "token")


def _from_kubeconfig(path: Path) -> ApiServer:
    document = yaml.safe_load(path.read_bytes())
    context = _named(document, "context", document["current-context"])
    cluster = _named(document, "cluster", context["cluster"])
    user = _named(document, "user", context["user"])
    if "exec" in user or "auth-provider" in user:
        raise ValueError("the user's credentials come from a plug-in; expected a token or a client certificate")
    token_file = user.get("tokenFile")
    return ApiServer(
        cluster["server"].rstrip("/"),
        _tls(cluster, user, path.parent) if cluster["server"].startswith("https://") else None,
        token=user.get("token"),
        token_file=path.parent / token_file if token_file else None,
    )


def _named(document: Mapping[str, Any], kind: str, name: str) -> Mapping[str, Any]:
    for item in document[f"{kind}s"]:
        if item["name"] == name and isinstance(item[kind], dict):
            found: Mapping[str, Any] = item[kind]
            return found
    raise ValueError(f"there is no {kind} {name!r}")


def _tls(cluster: Mapping[str, Any], user: Mapping[str, Any], folder: Path) -> ssl.SSLContext:
    authority = _pem(cluster, "certificate-authority", folder)
    context = ssl.create_default_context(cadata=authority)
    if cluster.get("tls-server-name"):
        raise ValueError("tls-server-name is not supported; expected a server whose certificate has its host name")
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate, key = _pem(user, "client-certificate", folder), _pem(user, "client-key", folder)
    if certificate and key:
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as both:  # ssl reads only files; this has mode 0600
            both.write(f"{certificate}\n{key}\n")
            both.flush()
            context.load_cert_chain(both.name)
    return context


def _pem(section: Mapping[str, Any], name: str, folder: Path) -> str | None:
    if data := section.get(f"{name}-data"):
        return base64.b64decode(data).decode()
    return (folder / section[name]).read_text() if section.get(name) else None
