"""Tests of how envkit reads values: YAML without surprises, variables, paths, units and image names."""

from pathlib import Path
from typing import Any

import pytest

from envkit.base.errors import ConfigError
from envkit.config.images import full_name, substitute
from envkit.config.interpolate import Broken, interpolate
from envkit.config.load import Request, load
from envkit.config.units import parse_duration, parse_size
from envkit.config.yamlfile import parse


def environment(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Any:
    (tmp_path / "envkit.yaml").write_text(text)
    return load(Request(cwd=tmp_path, environ=environ or {}))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("1.10", "1.10"),
        ("22022:22", "22022:22"),
        ("0644", "0644"),
        ("2024-01-01", "2024-01-01"),
        ("5432", 5432),
        ("true", True),
        ("~", None),
        ("'5432'", "5432"),
    ],
)
def test_only_plain_words_are_more_than_text(text: str, value: object) -> None:
    assert parse(f"k: {text}").data == {"k": value}


def test_keys_are_text_and_anchors_merge() -> None:
    assert parse("on: 1\n8080: 2\n").data == {"on": 1, "8080": 2}
    assert parse("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n").data["b"] == {"x": 1, "y": 3}


def test_syntax_comes_with_line_and_column() -> None:
    parsed = parse("a:\n  b: [1\nc: 2\n")
    assert parsed.broken
    assert parsed.findings[0][1].startswith("line 3, column 2: not valid YAML: ")


@pytest.mark.parametrize("text", ["- a\n", "text\n"])
def test_a_file_holds_a_mapping(text: str) -> None:
    assert parse(text).findings == (((), "expected a mapping of keys at the top"),)


def test_an_empty_file_is_an_empty_mapping() -> None:
    assert parse("# nothing\n").data == {}


def test_every_key_written_twice_is_found() -> None:
    found = parse("a: 1\nb: {x: 1, x: 2}\na: 2\n").findings
    assert found == (
        (("b", "x"), "is written twice, on lines 2 and 2; keep one of them"),
        (("a",), "is written twice, on lines 1 and 3; keep one of them"),
    )


def test_an_anchor_that_contains_itself_is_refused() -> None:
    assert parse("a: &a {b: *a}\n").findings == (((), "an anchor contains itself"),)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "1"),
        ("x${A}y${A}", "x1y1"),
        ("${B:-d}", "d"),
        ("${E:-d}", "d"),
        ("${E}", ""),
        ("${B:-}", ""),
        ("$A", "$A"),
        ("$$A", "$A"),
        ("$${A}", "${A}"),
        ("${redis.port}", "${redis.port}"),
        ("$${redis.port}", "$${redis.port}"),
        ("$$${redis.port}", "$$${redis.port}"),
        ("${R}", "$${redis.port}"),
        ("${self.env.X|url}", "${self.env.X|url}"),
    ],
)
def test_variables(text: str, value: str) -> None:
    assert interpolate({"k": [text]}, {"A": "1", "E": "", "R": "${redis.port}"}) == {"k": [value]}


@pytest.mark.parametrize("text", ["${B}", "${A", "${A:?no}", "${A:-${B}}", "${}"])
def test_variables_that_cannot_be_had(text: str) -> None:
    assert isinstance(interpolate(text, {"A": "1"}), Broken)


def test_a_variable_keeps_the_type_that_is_wanted(tmp_path: Path) -> None:
    text = (
        "services: {a: {image: x, ports: {p: {host: '${P:-15000}', container: '${C}'}}, memory: '${M}', once: '${O}'}}"
    )
    service = environment(tmp_path, text, {"C": "80", "M": "1GiB", "O": "true"}).services["a"]
    assert (service.ports["p"].host, service.ports["p"].container) == (15000, 80)
    assert (service.memory, service.once) == (1024**3, True)


def test_a_missing_variable_in_a_value_that_is_replaced_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "low.yaml").write_text("services: {a: {image: '${MISSING}'}}")
    assert environment(tmp_path, "extends: low\nservices: {a: {image: x}}").services["a"].image == ("x",)


def test_paths_are_relative_to_the_file_that_wrote_them(tmp_path: Path) -> None:
    below = tmp_path / "config"
    (below / "crds").mkdir(parents=True)
    (below / "crds" / "a.yaml").touch()
    (below / "text").touch()
    (below / "app").mkdir()
    (below / "app" / "Dockerfile").touch()
    (below / "kube").touch()
    (below / "low.yaml").write_text(
        "cluster: {type: existing, manifests: [crds, 'envkit:manifests'], kubeconfig: '~/kube'}\n"
        "services: {a: {build: {context: app}, files: [{path: /t, source: text}]}}\n"
    )
    found = environment(tmp_path, "extends: low\n", {"HOME": str(below)})
    assert found.cluster.manifests[0] == str(below / "crds")
    assert Path(found.cluster.manifests[1], "remediationrequests.kubernaut.ai.yaml").is_file()
    assert found.cluster.kubeconfig == str(below / "kube")
    assert found.services["a"].build.context == str(below / "app")
    assert found.services["a"].files[0].source == str(below / "text")


@pytest.mark.parametrize(
    ("written", "host", "container"),
    [("17000", 17000, 6379), ("auto", "auto", 6379), ("17000:6380", 17000, 6380),
     ("'127.0.0.1:17000:6380'", 17000, 6380), ("{container: 6380}", 16379, 6380),
     ("'${P:-17000}'", 17000, 6379), ("'${P:-17000}:7'", 17000, 7)],
)  # fmt: skip
def test_short_forms_of_ports_over_a_preset(tmp_path: Path, written: str, host: object, container: int) -> None:
    text = f"extends: datastorage\nservices: {{redis: {{ports: {{redis: {written}}}}}}}"
    port = environment(tmp_path, text).services["redis"].ports["redis"]
    assert (port.host, port.container) == (host, container)


def test_numbers_and_booleans_become_variables_as_written(tmp_path: Path) -> None:
    env = (
        environment(tmp_path, "services: {a: {image: x, env: {A: 1.10, B: no, C: true, D: 007, E: 5}}}")
        .services["a"]
        .env
    )
    assert env == {"A": "1.10", "B": "no", "C": "true", "D": "007", "E": "5"}


def test_no_token_is_written_none(tmp_path: Path) -> None:
    text = "cluster: {identities: {a: {namespace: x, token: none}, b: {namespace: x}}}"
    identities = environment(tmp_path, text).cluster.identities
    assert identities["a"].token is None
    assert identities["b"].token.seconds == 3600


def test_the_environment_is_frozen(tmp_path: Path) -> None:
    found = environment(tmp_path, "services: {a: {image: x}}")
    with pytest.raises(ValueError, match="frozen"):
        found.name = "other"


@pytest.mark.parametrize(("text", "size"), [("2GiB", 2 << 30), ("512m", 512 << 20), ("1.5k", 1536), ("7", 7), (7, 7)])
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("1m30s", 90), ("45", 45), ("1.5", 1.5), (3, 3)])
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("redis", "docker.io/library/redis"),
        ("redis:7", "docker.io/library/redis:7"),
        ("docker.io/redis:7", "docker.io/library/redis:7"),
        ("kindest/node:v1", "docker.io/kindest/node:v1"),
        ("localhost/a", "localhost/a"),
        ("host:5000/a:1", "host:5000/a:1"),
        ("ghcr.io/a/b@sha256:0", "ghcr.io/a/b@sha256:0"),
    ],
)
def test_full_names_of_images(image: str, full: str) -> None:
    assert full_name(image) == full


@pytest.mark.parametrize(
    ("image", "stand_in"),
    [
        ("redis:7-alpine", "localhost/r:7"),
        ("docker.io/library/redis:7-alpine", "localhost/r:7"),
        ("redis:6", "redis:6"),
        ("kindest/node:v1.36.0@sha256:0", "docker.io/kindest/node:v1.20.2"),
        ("docker.io/kindest/node", "docker.io/kindest/node:v1.20.2"),
        ("busybox:1", "mirror.example/busybox:1"),
        ("host:5000/busybox:1", "host:5000/busybox:1"),
        ("python", "localhost/python"),
    ],
)
def test_stand_ins(image: str, stand_in: str) -> None:
    images = {
        "docker.io/library/redis:7-alpine": "localhost/r:7",
        "kindest/node": "docker.io/kindest/node:v1.20.2",
        "busybox": "mirror.example/busybox",
        "python:latest": "localhost/python",
    }
    assert substitute(image, images) == stand_in


def test_a_file_that_is_no_text_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "envkit.yaml").write_bytes(b"name: \xff\n")
    with pytest.raises(ConfigError, match="is not UTF-8 text: byte 6 is 0xff"):
        load(Request(cwd=tmp_path, environ={}))
