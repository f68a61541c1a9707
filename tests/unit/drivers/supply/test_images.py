"""Tests of images: which failed pulls are retried, and tags that follow from the content."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError, ImageNotFound, NotFound

from envkit.base.errors import EngineError, ImageUnavailable
from envkit.base.waiting import Aborted, Cancel
from envkit.config.models import Build
from envkit.drivers.supply import build as build_module
from envkit.drivers.supply.build import recipe
from envkit.drivers.supply.images import Images
from envkit.drivers.supply.retrying import OTHER_TRIES
from envkit.drivers.supply.wheels import python_of

Rows = list[dict[str, Any]]


class Patient(Cancel):
    """A cancel object that does not sleep and records the requested seconds."""

    slept: list[float]

    def sleep(self, seconds: float) -> None:
        self.check()
        self.slept = [*getattr(self, "slept", []), seconds]


class Api:
    """A fake of the SDK's client with one planned result for each pull: rows or an exception."""

    def __init__(self, *answers: Rows | Exception, there: Mapping[str, str] | None = None) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str | None]] = []
        self.there = dict(there or {})

    def inspect_image(self, reference: str) -> dict[str, str]:
        if reference not in self.there:
            raise ImageNotFound("no such image")
        return {"Id": self.there[reference]}

    def pull(self, repository: str, tag: str | None, **_more: Any) -> Iterator[dict[str, Any]]:
        self.asked.append((repository, tag))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return iter(answer)

    def build(self, **_more: Any) -> Iterator[dict[str, Any]]:
        return self.pull("build", None)


def pull(api: Api, *references: str, cancel: Cancel | None = None) -> tuple[str, list[str]]:
    said: list[str] = []
    found = Images(api).pull_first(references or ("i:1",), None, said.append, cancel or Patient())
    return found, said


# Pulls


@pytest.mark.parametrize(
    ("reference", "asked"),
    [
        ("redis", ("redis", "latest")),
        ("redis:7", ("redis", "7")),
        ("docker.io/library/redis:7", ("docker.io/library/redis", "7")),
        ("localhost:5000/redis", ("localhost:5000/redis", "latest")),
        ("localhost:5000/redis:7", ("localhost:5000/redis", "7")),
        ("redis@sha256:abc", ("redis@sha256:abc", None)),
    ],
)
def test_a_reference_is_taken_apart_as_the_command_line_does(reference: str, asked: tuple[str, str | None]) -> None:
    api = Api([])

    assert pull(api, reference)[0] == reference
    assert api.asked == [asked]


def test_a_pull_that_failed_for_a_moment_is_tried_again_with_growing_pauses() -> None:
    api, cancel = Api([{"error": "timeout"}], APIError("500"), [{"status": "done"}]), Patient()

    found, said = pull(api, cancel=cancel)

    assert found == "i:1"
    assert len(api.asked) == OTHER_TRIES == 3
    assert cancel.slept == [1.0, 2.0]
    assert "pulling i:1 (try 3)" in said


def test_an_image_that_is_not_there_is_asked_for_once_and_the_next_candidate_is_taken() -> None:
    api = Api(NotFound("404"), [])

    assert pull(api, "a:1", "b:1")[0] == "b:1"
    assert api.asked == [("a", "1"), ("b", "1")]


def test_when_none_can_be_had_every_candidate_has_its_reason() -> None:
    api = Api(NotFound("manifest unknown"), *[[{"error": "connection refused"}]] * OTHER_TRIES)

    with pytest.raises(ImageUnavailable) as caught:
        pull(api, "a:1", "b:1")

    assert "- a:1: pulling a:1: the engine answered: manifest unknown" in caught.value.message
    assert "- b:1: connection refused" in caught.value.message
    assert "--overlay" in caught.value.hint


def test_a_cancel_is_not_taken_for_a_candidate_that_failed() -> None:
    api, cancel = Api([{"status": "x"}] * 3, []), Patient()
    cancel.abort()

    with pytest.raises(Aborted):
        pull(api, "a:1", "b:1", cancel=cancel)

    assert api.asked in ([], [("a", "1")])


def test_progress_is_the_sum_of_the_layers() -> None:
    def layer(name: str, current: int) -> dict[str, Any]:
        return {"id": name, "progressDetail": {"current": current * 2**20, "total": 10 * 2**20}}

    _, said = pull(Api([layer("a", 1), layer("b", 2), layer("a", 10), {"status": "x", "progressDetail": {}}]))

    assert said[1:] == ["1 of 10 MiB", "3 of 20 MiB", "12 of 20 MiB"]


def test_an_engine_that_is_gone_is_no_absent_image() -> None:
    class Gone(Api):
        def inspect_image(self, reference: str) -> dict[str, str]:
            raise ConnectionRefusedError("nobody")

    with pytest.raises(EngineError, match="did not answer"):
        Images(Gone()).id_of("i")


def test_ids_are_asked_once_each() -> None:
    api = Api(there={"a": "1", "b": "2"})

    assert Images(api).ids(["a", "b", "c", "a"]) == {"a": "1", "b": "2"}


# Builds


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "ctx"
    (made / "src").mkdir(parents=True)
    (made / "Dockerfile").write_text("FROM x\n")
    (made / "src/main.py").write_text("print()\n")
    (made / "notes.md").write_text("n\n")
    return made


def tag(folder: Path, *, args: Mapping[str, str] | None = None, arch: str = "amd64", **fields: Any) -> str:
    return recipe("svc", Build(context=str(folder), **fields), args or {}, arch, folder / "cache").tag


def names(folder: Path, **fields: Any) -> list[str]:
    made = recipe("svc", Build(context=str(folder), **fields), {}, "amd64", folder)
    with tarfile.open(fileobj=made.open_context(lambda _said: None, Cancel())) as tar:
        return tar.getnames()


def test_a_tag_names_the_service_and_follows_the_content_only(folder: Path) -> None:
    before = tag(folder)
    (folder / "src/main.py").touch()

    assert before.startswith("localhost/envkit/svc:")
    assert tag(folder) == before


@pytest.mark.parametrize("change", [
    lambda it: (it / "src/main.py").write_text("print(1)\n"), lambda it: (it / "Dockerfile").write_text("FROM y\n"),
    lambda it: (it / "new").write_text(""), lambda it: (it / "notes.md").rename(it / "other.md"),
    lambda it: (it / "notes.md").unlink(), lambda it: (it / "link").symlink_to("notes.md"),
])  # fmt: skip
def test_any_change_of_the_content_is_another_tag(folder: Path, change: Any) -> None:
    before = tag(folder)
    change(folder)

    assert tag(folder) != before


def test_what_the_build_is_told_is_part_of_the_tag(folder: Path) -> None:
    (folder / "Other").write_text("FROM x\n")
    tags = [
        tag(folder), tag(folder, args={"A": "1"}), tag(folder, args={"A": "2"}), tag(folder, arch="arm64"),
        tag(folder, target="t"), tag(folder, platform="linux/arm64"), tag(folder, dockerfile="Other"),
    ]  # fmt: skip

    assert len(set(tags)) == len(tags)


def test_a_link_is_what_it_points_to_and_not_what_is_there(folder: Path) -> None:
    (folder / "link").symlink_to("src/main.py")
    before = tag(folder)
    (folder / "link").unlink()
    (folder / "link").symlink_to("notes.md")

    assert tag(folder) != before


def test_ignored_files_are_neither_sent_nor_counted(folder: Path) -> None:
    (folder / ".dockerignore").write_text("# comment\n\n*.md\n!keep.md\n  spaced  \n.git\nDockerfile\n")
    (folder / ".git").mkdir()
    (folder / ".git/HEAD").write_text("x")
    (folder / "keep.md").write_text("k")
    (folder / "spaced").write_text("s")
    before = tag(folder)
    (folder / "notes.md").write_text("changed")
    (folder / ".git/HEAD").write_text("changed")

    assert tag(folder) == before
    assert names(folder) == [".dockerignore", "Dockerfile", "keep.md", "src/main.py"]


def test_the_context_is_the_same_bytes_for_the_same_content(folder: Path) -> None:
    def packed() -> bytes:
        made = recipe("svc", Build(context=str(folder)), {}, "amd64", folder)
        return made.open_context(lambda _said: None, Cancel()).read()

    before = packed()
    for path in folder.rglob("*"):
        path.touch()

    assert packed() == before


def test_a_failed_build_tells_the_engines_reason_and_the_last_lines(folder: Path) -> None:
    rows: Rows = [{"stream": f"line {number}\n"} for number in range(40)]
    api = Api([*rows, {"error": "returned a non-zero code: 1"}])
    made = recipe("svc", Build(context=str(folder)), {}, "amd64", folder)

    with pytest.raises(ImageUnavailable, match="returned a non-zero code: 1") as caught:
        Images(api).build(made, {}, lambda _said: None, Cancel())

    assert caught.value.detail.splitlines() == [f"line {number}" for number in range(15, 40)]


def test_a_build_that_ends_without_an_image_has_failed(folder: Path) -> None:
    made = recipe("svc", Build(context=str(folder)), {}, "amd64", folder)

    with pytest.raises(ImageUnavailable, match="without an image"):
        Images(Api([{"stream": "fine\n"}])).build(made, {}, lambda _said: None, Cancel())
    there = Api([{"stream": "fine\n"}], there={made.tag: "sha256:x"})
    assert Images(there).build(made, {}, lambda _said: None, Cancel()) == made.tag


def test_envkits_own_image_follows_its_sources_base_and_machine(tmp_path: Path) -> None:
    def own(base: str, arch: str = "amd64") -> str:
        build = Build(context=build_module.OWN)
        return recipe("datastorage", build, {"BASE_IMAGE": base}, arch, tmp_path).tag

    assert own("python:3.12") == own("python:3.12")
    assert len({own("python:3.12"), own("python:3.11"), own("python:3.12", "arm64")}) == 3
    assert own("python:3.12").startswith("localhost/envkit/datastorage:")


# Wheels


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("python:3.12-slim", "3.12"),
        ("docker.io/library/python:3.11", "3.11"),
        ("localhost:5000/python:3.13.1-alpine", "3.13"),
        ("registry/py:bookworm-3.14", "3.14"),
    ],
)
def test_the_python_of_an_image_is_read_from_its_tag(image: str, version: str) -> None:
    assert python_of(image) == version


@pytest.mark.parametrize("image", ["python", "python:latest", "", "python@sha256:3abc", "debian:12"])
def test_a_tag_without_a_version_is_an_error_with_a_hint(image: str) -> None:
    with pytest.raises(ImageUnavailable, match="is not known") as caught:
        python_of(image)

    assert "python:3.12-slim" in caught.value.hint
