"""Generate the tables of keys in docs/configuration.md from the JSON schema.

`python -m envkit.config.reference` writes the tables into that file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from envkit.config import presets
from envkit.config.models import Environment
from envkit.config.units import EXPECTED, show_size

Node = Mapping[str, Any]

DOCUMENT = Path("docs/configuration.md")
BEGIN, END = "<!-- reference: begin -->", "<!-- reference: end -->"

ORDER = (
    "Service", "Port", "File", "Certificate", "Kubeconfig", "Build", "Process", "Migrations", "HttpProbe", "TcpProbe",
    "RedisProbe", "PostgresProbe", "ExecProbe", "CommandProbe", "AuditProbe", "Cluster", "NodePort", "Limits",
    "Identity", "Rule", "Access", "Token", "Secret",
)  # fmt: skip
"""The parts of the schema in the order of the document; the keys of the file itself come before them."""


def tables() -> str:
    """Return all tables, each with its heading, as Markdown."""
    schema = Environment.model_json_schema()
    parts = schema["$defs"]
    extends = {"type": "string or list", "description": "profile or file, or a list; this file is merged over them"}
    blocks = [_table("The file", "", {"properties": {"extends": extends, **schema["properties"]}})]
    blocks += [_table(name, name, parts[name]) for name in ORDER]
    blocks += [
        _table(f"Options of {name}", name, it.options.model_json_schema()) for name, it in presets.every().items()
    ]
    return "\n".join(blocks)


def _table(heading: str, part: str, node: Node) -> str:
    rows = "".join(f"| {' | '.join(row)} |\n" for row in _rows(node))
    said = f"{' '.join(node['description'].split())}\n\n" if "description" in node and part in ORDER else ""
    return f"### {heading}\n\n{said}| key | takes | default | meaning |\n|---|---|---|---|\n{rows}"


def _rows(node: Node) -> Iterator[tuple[str, str, str, str]]:
    for key, value in node["properties"].items():
        kind = _kind(value)
        missing = "required" if key in node.get("required", ()) else _default(value.get("default"), kind)
        yield f"`{key}`", kind, missing, meaning(value)


def meaning(node: Node) -> str:
    """Return the meaning of the key, or an empty string if the key has only the general description of its type."""
    own = str(node.get("description", ""))
    return "" if own in EXPECTED.values() else own


def _kind(node: Node) -> str:
    text = str(node)
    for example, unit in (("512MiB", "size"), ("30s", "duration")):
        if f"'{example}'" in text and "$ref" not in text:
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
        return "text"  # numbers and booleans become the text that the user wrote
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
    """Return the document with new tables between its markers. Raises `ValueError` if a marker is missing."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCUMENT
    path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")
