"""Tests that tests/names.yaml lists each package, action, image and URL that this project names.

An unregistered name can be registered by an attacker; the list states the owner of each name.
"""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache

import pytest
import yaml

from envkit.base.installed import DISTRIBUTION
from tests.docs.blocks import ROOT

LIST = ROOT / "tests/names.yaml"

OURS = ("tests/", "requirements-dev.txt", "envkit/datastorage/requirements.txt")
"""Files that this test skips.

Tests use invented names; lock files name only packages that their sources name or require.
"""

INSTALLS = re.compile(
    r"(?P<uvx>uvx)(?= )(?P<words>[^`;|&#)\n]*)"
    r"|(?:pipx? (?:install|uninstall|download|inject|wheel)|(?:apt|apt-get|brew) install)(?P<more> [^`;|&#)\n]*)"
)
TAKE_VALUES = ("--wheel-dir", "--find-links", "--python", "-r")
REQUIREMENT = re.compile(r"([A-Za-z][\w.-]*)(@\d+)?(\[[\w,{}-]+\])?([=<>~!].*)?$")
REGISTRIES = r"docker\.io|quay\.io|ghcr\.io|gcr\.io|mcr\.microsoft\.com|registry\.[a-z0-9.-]+|localhost|kindest"
IMAGE = re.compile(
    rf"(?<![\w/.@:-])((?:{REGISTRIES})/[\w./-]*)"
    r"|^\s*(?:- )?image: (?:\[?\"?)([a-z][\w.-]*(?:/[\w.-]+)*:[\w.-]+)",
    re.MULTILINE,
)
URL = re.compile(r"https?://([^\s\"'`)\]>,|<;]+)")
COMPUTED = ("$", "{")
"""Prefixes of a host that the program fills in at run time."""


@cache
def texts() -> dict[str, str]:
    """Return each text file of this repository by its path, without the skipped files."""
    listed = subprocess.run(("git", "ls-files", "-z"), cwd=ROOT, capture_output=True, check=True).stdout.decode()
    paths = [name for name in listed.split("\0") if name and not name.startswith(OURS) and (ROOT / name).is_file()]
    return {name: (ROOT / name).read_text().replace("{DISTRIBUTION}", DISTRIBUTION) for name in paths}


def packages_in(text: str) -> Iterator[str]:
    """Yield the packages that a command installs or that code fetches."""
    for found in INSTALLS.finditer(re.sub(r"\$\{[^}]*\}", "", text)):
        words = (found["words"] or found["more"] or "").split()
        yield from _requirements(words[: 2 if "--from" in words else 1] if found["uvx"] else words)
    yield from re.findall(r"distribution=\"([\w-]+)\"", text)
    for debian in re.findall(r"packages=\(([^)]*)\)", text):
        yield from re.findall(r"\"([a-z][\w.-]*?)(?:-\*)?\"", debian)
    yield from re.findall(r"[{+]([a-z][\w-]+)==\}", text)


def _requirements(words: list[str]) -> Iterator[str]:
    for before, word in zip(["", *words], words, strict=False):
        if before == "@" or before in TAKE_VALUES or word.startswith(("-", ".", "git+", "'git+", '"')):
            continue
        known = REQUIREMENT.match(word.strip("'\").,:"))
        if known:
            yield known[1].lower().replace("_", "-")


def declared() -> set[str]:
    """Return the packages that this project depends on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = [
        *project["build-system"]["requires"], *project["project"]["dependencies"],
        *(line for extra in project["project"]["optional-dependencies"].values() for line in extra),
        *(line for group in project["dependency-groups"].values() for line in group),
        *(ROOT / "envkit/datastorage/requirements.in").read_text().splitlines(),
    ]  # fmt: skip
    found = (re.match(r"[\w.-]+", line) for line in lines if not line.startswith("#"))
    return {one[0].lower().replace("_", "-") for one in found if one} | {project["project"]["name"]}


def images_in(text: str) -> Iterator[str]:
    """Yield the repositories of images, without tags."""
    for found in IMAGE.finditer(text):
        yield (found[1] or found[2].partition(":")[0]).rstrip("./")


def urls_in(text: str) -> Iterator[str]:
    """Yield the host and path of each literal URL."""
    for found in URL.findall(text):
        if not found.startswith(COMPUTED) and re.match(r"[\w.-]*\w", found):
            yield re.sub(r"[{$].*|[.:]+$", "", found)


def named(kind: str) -> dict[str, str]:
    """Return the names of this kind, each with one file that contains it."""
    found: dict[str, str] = {}
    for path, text in texts().items():
        names = {
            "packages": lambda text=text: packages_in(text),
            "actions": lambda text=text: re.findall(r"uses: ([\w./-]+)@", text),
            "images": lambda text=text: images_in(text),
            "urls": lambda text=text: urls_in(text),
        }[kind]()
        found |= dict.fromkeys(names, path)
    return found | (dict.fromkeys(declared(), "pyproject.toml") if kind == "packages" else {})


def entry_of(name: str, listed: dict[str, str]) -> str:
    """Return the listed name that covers this one.

    It is the same name, or its longest prefix before `/`, `:`, `#` or `@`.
    """
    fits = [one for one in listed if name == one or re.match(rf"{re.escape(one.rstrip('/'))}[/:#@]", f"{name}/")]
    return max(fits, key=len, default="")


@pytest.fixture(scope="module")
def listed() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = yaml.safe_load(LIST.read_text())
    return found


KINDS = ("packages", "actions", "images", "urls")


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_is_in_the_list_with_its_owner(listed: dict[str, dict[str, str]], kind: str) -> None:
    unknown = {name: path for name, path in named(kind).items() if not entry_of(name, listed[kind])}
    assert not unknown, f"say in {LIST.relative_to(ROOT)} whose these {kind} are and what they are"
    assert all(listed[kind].values())


@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_of_the_list_is_used(listed: dict[str, dict[str, str]], kind: str) -> None:
    used = {entry_of(name, listed[kind]) for name in named(kind)}
    assert set(listed[kind]) - used == set(), "nothing names these any more"


def test_no_kind_is_left_out(listed: dict[str, dict[str, str]]) -> None:
    assert set(listed) == set(KINDS)


def test_our_distribution_is_the_only_one_that_is_ours(listed: dict[str, dict[str, str]]) -> None:
    """The package `envkit`, and an action or repository `envkit/envkit`, belong to other people."""
    assert [name for name, said in listed["packages"].items() if said.startswith("ours")] == [DISTRIBUTION]
    assert not [name for name, said in listed["actions"].items() if said.startswith("ours")]
    assert all(name.startswith("localhost/") for name, said in listed["images"].items() if "built here" in said)
    code = "\n".join(text for path, text in texts().items() if path != "CHANGELOG.md")
    assert not re.search(r"\benvkit/envkit\b|\benvkit(\[\w+\])?==", code)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("run `pip install 'evil[x]>=1' other` now", {"evil", "other"}),
        ("$ uvx --from evil envkit up", {"evil"}),
        ("$ uvx evil up", {"evil"}),
        ("uvx --from 'git+REPOSITORY@TAG' envkit up", set()),
        ("pipx install ./dist/x.whl", set()),
        ("pip install 'evil[x] @ git+REPOSITORY@TAG'", {"evil"}),
        ("(Debian: apt install evil-server; macOS: brew install evil@16)", {"evil-server", "evil"}),
        ("python3 -m pip wheel --no-deps --wheel-dir dist .", set()),
        ('"${V:+evil==}${V:-$SOURCE}"', {"evil"}),
    ],
)
def test_packages_are_found(text: str, found: set[str]) -> None:
    assert set(packages_in(text)) == found


def test_images_and_urls_are_found() -> None:
    text = "image: evil:1\nuse `docker.io/evil/x:2`, http://localhost/x and https://evil.example/a/b?c. "
    assert set(images_in(text)) == {"evil", "docker.io/evil/x"}
    assert set(urls_in(text)) == {"localhost/x", "evil.example/a/b?c"}
    assert entry_of("github.com/evil/x", {"github.com/evi": "", "github.com/evil": ""}) == "github.com/evil"
    assert not entry_of("kindest.evil/x", {"kindest": ""})


REGISTRY_HOSTS = (("py", "pi.org"), ("python", "hosted.org"), ("registry.npm", "js.org"), ("proxy.go", "lang.org"))
"""Hosts in two pieces each, because no file may contain the whole name."""


def test_no_file_names_the_host_of_a_package_registry() -> None:
    words = [part for host in REGISTRY_HOSTS for part in ("-e", "".join(host))]
    found = subprocess.run(("git", "grep", "-lF", *words), cwd=ROOT, capture_output=True, text=True)
    assert found.stdout == ""
