"""Tables of keys in docs/configuration.md, from the JSON schema; `python -m envkit.config.reference` writes them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from envkit.config import presets
from envkit.config.models import Environment
from envkit.config.units import show_size

Node = Mapping[str, Any]

DOCUMENT = Path("docs/configuration.md")
BEGIN, END = "<!-- reference: begin -->", "<!-- reference: end -->"

ORDER = (
    "Service", "Port", "File", "Certificate", "Kubeconfig", "Build", "Process", "Migrations", "HttpProbe", "TcpProbe",
    "RedisProbe", "PostgresProbe", "ExecProbe", "CommandProbe", "AuditProbe", "Cluster", "NodePort", "Limits",
    "Identity", "Rule", "Access", "Token", "Secret",
)  # fmt: skip
"""The schema's parts as the document has them, after the file's own keys."""

MEANS = {
    "name": "of the environment, by default the profile's or the folder's; part of every container's name",
    "lane": "how it runs: see [Lanes](#lanes)",
    "engine": "`auto`: the first that answers",
    "port_offset": "added to every fixed host port; `auto`: [one under which all are free](laptop.md#a-second-one)",
    "timeout": "how long a command waits for another one that works on this environment",
    "cluster": "`kind`, `envtest` or `none` alone say only the type",
    "services": "by name, which is also the host name inside the network",
    "Service.preset": "fills in the keys below; what is written here is laid over it",
    "Service.build": "an image made here",
    "Service.platform": "`linux/arm64` for example; the engine's own when absent",
    "Service.entrypoint": "instead of the image's",
    "Service.command": "instead of the image's; a list of words, never a shell's line",
    "Service.user": "name or uid inside the container",
    "Service.workdir": "folder inside the container",
    "Service.env": "variables of the container, references resolved",
    "Service.ports": "by name; the first is what `${NAME.port}` means",
    "Service.files": "put into the container before it starts",
    "Service.shm": "size of /dev/shm",
    "Service.timeout": "deadline for it to be ready, or for a one-shot to end",
    "Service.stop_timeout": "between asking it to stop and killing it, in `restart`",
    "Service.tmpfs": "folders in memory, `/data` or `/data:size=64m`",
    "Service.capabilities": "to add, `NET_ADMIN` for example",
    "Service.migrations": "a folder of SQL; with `once: true`",
    "Service.exports": "variables for the suite, as seen from the host",
    "Build.dockerfile": "relative to the context",
    "Build.args": "build arguments",
    "Build.target": "stage to stop at",
    "Build.platform": "`linux/arm64` for example",
    "Kubeconfig.path": "absolute path in the container",
    "Secret.length": "of one that is generated: letters and digits",
    "scheme": "`https`: whoever's certificate it is",
    "Port.container": "the number inside",
    "Port.host": "the number on 127.0.0.1; `auto` for any free one, absent for none",
    "Process.env": "over the service's `env`",
    "Process.stop_signal": "what asks it to end",
    "type": "which kind",
    "port": "name of the port; the first one when empty",
    "HttpProbe.path": "what is asked for, without redirects",
    "HttpProbe.status": "the one that satisfies",
    "HttpProbe.headers": "sent along",
    "RedisProbe.password": "for AUTH",
    "RedisProbe.maxmemory": "the size it should have",
    "RedisProbe.policy": "the eviction policy it should have",
    "PostgresProbe.user": "who logs in",
    "PostgresProbe.password": "with what",
    "PostgresProbe.database": "where",
    "PostgresProbe.query": "must be answered; what it answers does not matter",
    "command": "its words; the first is the program",
    "AuditProbe.path": "of the events",
    "Cluster.type": "see [The cluster](#the-cluster)",
    "Cluster.ports": "NodePorts to publish",
    "Cluster.limits": "throttling of the control plane",
    "Cluster.context": "of an existing cluster's kubeconfig",
    "Cluster.namespaces": "made, and waited for until Active",
    "Cluster.identities": "ServiceAccounts by name, with rights, token and proof",
    "Cluster.timeout": "deadline for the cluster to be ready",
    "Cluster.bootstrap_timeout": "deadline for manifests, namespaces and identities together",
    "Cluster.exports": "variables for the suite",
    "NodePort.node": "the port of the node",
    "NodePort.host": "the port of 127.0.0.1",
    "inflight": "requests at once that only read",
    "mutating_inflight": "requests at once that write",
    "controller_qps": "requests a second of the controllers",
    "controller_burst": "and in one go",
    "Identity.namespace": "of the ServiceAccount; it must exist or be among `namespaces`",
    "Identity.rules": "of the ClusterRole that `role` names",
    "Identity.can": "questions that must be answered with yes",
    "Identity.cannot": "questions that must be answered with no",
    "apiGroups": "empty text is the core group",
    "resources": "`pods`, `remediationrequests/status`, ...",
    "verbs": "`get`, `create`, ...",
    "resourceNames": "these only; all when empty",
    "Access.verb": "`get` for example",
    "Access.resource": "in the plural",
    "Access.group": "empty text is the core group",
    "Access.namespace": "empty: in all of them",
    "Access.name": "of one object; empty: of any",
    "Token.audiences": "empty: the API server's own",
    "redis.policy": "what goes when it is full",
    "redis.password": "asked for when set, and exported as `REDIS_PASSWORD`",
    "redis.maxmemory": "data it holds; the container's limit is twice that",
    "postgres.user": "who owns the database",
    "postgres.password": "of that user",
    "postgres.database": "made at the first start",
    "postgres.durable": "`true` keeps fsync on",
    "datastorage.base_image": "with Python 3.11 or newer; the service is laid on it",
    "datastorage.postgres": "service that it stores in",
    "datastorage.redis": "service of its dead-letter queue",
    "datastorage.migrations": "service that it waits for, or `none`",
    "datastorage.auth": "callers need a bearer token; see [authentication](datastorage.md#authentication)",
    "datastorage.identity": "whose kubeconfig it asks the API server with",
    "datastorage.client": "whose token its proof calls with",
}
"""What the schema does not say itself: by key, or by part and key where the word alone would not do."""


def tables() -> str:
    """Every table, each under its heading."""
    schema = Environment.model_json_schema()
    parts = schema["$defs"]
    extends = {"type": "string or list", "description": "a profile or file, or several, that this one is laid over"}
    blocks = [_table("The file", "", {"properties": {"extends": extends, **schema["properties"]}})]
    blocks += [_table(name, name, parts[name]) for name in ORDER]
    blocks += [
        _table(f"Options of {name}", name, it.options.model_json_schema()) for name, it in presets.every().items()
    ]
    return "\n".join(blocks)


def _table(heading: str, part: str, node: Node) -> str:
    rows = "".join(f"| {' | '.join(row)} |\n" for row in _rows(part, node))
    said = f"{' '.join(node['description'].split())}\n\n" if "description" in node and part in ORDER else ""
    return f"### {heading}\n\n{said}| key | takes | default | meaning |\n|---|---|---|---|\n{rows}"


def _rows(part: str, node: Node) -> Iterator[tuple[str, str, str, str]]:
    for key, value in node["properties"].items():
        kind = _kind(value)
        missing = "required" if key in node.get("required", ()) else _default(value.get("default"), kind)
        yield f"`{key}`", kind, missing, meaning(part, key, value)


def meaning(part: str, key: str, node: Node) -> str:
    """What the key is for; empty when nobody wrote it down."""
    own = str(node.get("description", ""))
    if own and not own.startswith(("a size such as", "a duration such as")):
        return own
    return MEANS.get(f"{part}.{key}") or MEANS.get(key, "")


def _kind(node: Node) -> str:
    text = str(node)
    for unit in ("size", "duration"):
        if f"a {unit} such as" in text and "$ref" not in text:
            return unit
    if "$ref" in node:
        name = str(node["$ref"]).rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in node:
        return ", ".join(f"`{word}`" for word in node["enum"])
    if "const" in node:
        return f"`{node['const']}`"
    if "discriminator" in node:
        return "a probe"
    if "anyOf" in node:
        return _one_of(node["anyOf"])
    if "patternProperties" in node:
        return f"map to {_kind(next(iter(node['patternProperties'].values())))}"
    if node.get("type") == "array":
        return f"list of {_kind(node['items'])}"
    words = {"string": "text", "integer": "number", "boolean": "`true`, `false`", "null": "", "object": "map"}
    if isinstance(node.get("additionalProperties"), Mapping):
        return f"map to {_kind(node['additionalProperties'])}"
    return words.get(node.get("type", ""), str(node.get("type", "")))


def _one_of(options: list[Node]) -> str:
    kinds = list(dict.fromkeys(kind for kind in map(_kind, options) if kind))
    if "text" in kinds and {"number", "`true`, `false`"} <= set(kinds):
        return "text"  # numbers and booleans are taken as the text they are written as
    listed = [kind for kind in kinds if kind.startswith("list of text")]
    return "text or list" if listed and "text" in kinds else " or ".join(kinds)


def _default(value: Any, kind: str) -> str:
    if value is None or value in ("", [], {}):
        return ""
    if kind == "duration":
        return f"`{value:g}s`"
    if kind == "size":
        return f"`{show_size(int(value))}`"
    return (
        "see there"
        if isinstance(value, dict | list)
        else f"`{str(value).lower() if isinstance(value, bool) else value}`"
    )


def written(document: str) -> str:
    """The document with its tables as they should be. Raises `ValueError` when the markers are not in it."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCUMENT
    path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")
