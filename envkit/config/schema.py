"""Generate the JSON schema of a configuration file, for editors.

`python -m envkit.config.schema` writes the schema into the folder of the profiles. A file is one of several layers.
Therefore the schema requires no key and allows null for any key (null deletes the key). It also allows `${VARIABLE}`
where it would otherwise require a number, a boolean or a text of a certain form.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from envkit.config import presets
from envkit.config.models import Environment
from envkit.config.shipped import shipped_folder

Node = dict[str, Any]

FILE = "envkit.schema.json"
INTERPOLATED = {"type": "string", "pattern": r"\$\{"}
SHORT_PORT = r"^(auto|(127\.0\.0\.1:)?(auto|\d+):\d+|.*\$\{.*)$"
EXTENDS = {
    "description": "profile or file, or a list; this file is merged over them",
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
}


def schema() -> Node:
    """Return the schema of one file."""
    root = Environment.model_json_schema()
    parts = root["$defs"]
    for name, preset in presets.every().items():
        options = preset.options.model_json_schema()
        parts.update(options.pop("$defs", {}))
        parts[f"{name}-options"] = options
    _short_forms(root, parts)
    relaxed = _relaxed(root)
    relaxed["properties"]["extends"] = EXTENDS
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "envkit",
        **relaxed,
    }


def _short_forms(root: Node, parts: Node) -> None:
    kinds = parts["Cluster"]["properties"]["type"]["enum"]
    root["properties"]["cluster"] = {"anyOf": [{"$ref": "#/$defs/Cluster"}, {"enum": kinds}]}
    service = parts["Service"]
    for pattern, port in service["properties"]["ports"]["patternProperties"].items():
        short = {"type": "string", "pattern": SHORT_PORT, "description": "auto, HOST:CONTAINER or auto:CONTAINER"}
        host = {"type": "integer", "minimum": 1024, "maximum": 65535}
        service["properties"]["ports"]["patternProperties"][pattern] = {"anyOf": [port, host, short]}
    token = parts["Identity"]["properties"]["token"]
    token["anyOf"] = [*token["anyOf"], {"enum": ["none", False]}]
    service["properties"]["preset"] = {"enum": list(presets.names())}
    service["allOf"] = [
        {
            "if": {"properties": {"preset": {"const": name}}, "required": ["preset"]},
            "then": {"properties": {"options": {"$ref": f"#/$defs/{name}-options"}}},
        }
        for name in presets.names()
    ]


def _relaxed(node: Any) -> Any:
    """Return the node as one layer needs it: without titles and required keys, and with null and variables allowed."""
    if isinstance(node, list):
        return [_relaxed(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: value for key, value in node.items() if not _dropped(key, value, node)}
    done = {key: value if key in ("default", "if", "examples") else _relaxed(value) for key, value in kept.items()}
    for word in ("properties", "patternProperties"):
        if word in done:
            done[word] = {key: _nullable(value) for key, value in done[word].items()}
    if "patternProperties" in done:
        done["additionalProperties"] = False
    return {"anyOf": [done, INTERPOLATED]} if _takes_no_variable(done) else done


def _takes_no_variable(node: Node) -> bool:
    return node.get("type") in ("integer", "number", "boolean") or (
        node.get("type") == "string" and bool(node.keys() & {"pattern", "enum"})
    )


def _dropped(key: str, value: Any, node: Node) -> bool:
    return (key == "title" and isinstance(value, str)) or (key == "required" and "properties" in node)


def _nullable(node: Node) -> Node:
    if node.get("const") is not None or {"type": "null"} in node.get("anyOf", ()):
        return node
    described: Node = {key: node.pop(key) for key in ("description", "default") if key in node}
    options = node["anyOf"] if set(node) == {"anyOf"} else [node]
    return {**described, "anyOf": [*options, {"type": "null"}]}


def text() -> str:
    """Return the content of the schema file."""
    return json.dumps(schema(), indent=1) + "\n"


def write(folder: Path) -> Path:
    """Write the schema file into the folder and return its path."""
    path = folder / FILE
    path.write_text(text(), encoding="utf-8")
    return path


if __name__ == "__main__":
    write(shipped_folder("config"))
