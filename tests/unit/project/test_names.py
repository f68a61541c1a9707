"""Names of other places: each package, action, image and URL that this project names is in tests/names.yaml.

A name that nobody here owns can become somebody's who means harm: the list says whose each is.
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
"""Where names are made up (the tests), and the lock files: what those name, their sources name already or need."""

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
"""How a host begins that is filled in when it is said."""


@cache
def texts() -> dict[str, str]:
    """Every text of this repository by its path, less where names are made up."""
    listed = subprocess.run(("git", "ls-files", "-z"), cwd=ROOT, capture_output=True, check=True).stdout.decode()
    paths = [name for name in listed.split("\0") if name and not name.startswith(OURS) and (ROOT / name).is_file()]
    return {name: (ROOT / name).read_text().replace("{DISTRIBUTION}", DISTRIBUTION) for name in paths}


def packages_in(text: str) -> Iterator[str]:
    """What a command installs, and what code fetches as a distribution."""
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
    """Packages that this project depends on."""
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
    """Repositories of images, without tag."""
    for found in IMAGE.finditer(text):
        yield (found[1] or found[2].partition(":")[0]).rstrip("./")


def urls_in(text: str) -> Iterator[str]:
    """Host and path of each URL that is written out."""
    for found in URL.findall(text):
        if not found.startswith(COMPUTED) and re.match(r"[\w.-]*\w", found):
            yield re.sub(r"[{$].*|[.:]+$", "", found)


def named(kind: str) -> dict[str, str]:
    """Names of this kind, each with a file that has it."""
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
    """The listed name that covers this one: itself, or the longest that it continues after `/`, `:` or `#`."""
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
    """`pip install envkit`, and an action or a repository `envkit/envkit`, are somebody else's."""
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
"""In two pieces, because no file may hold one."""


def test_no_file_names_the_host_of_a_package_registry() -> None:
    words = [part for host in REGISTRY_HOSTS for part in ("-e", "".join(host))]
    found = subprocess.run(("git", "grep", "-lF", *words), cwd=ROOT, capture_output=True, text=True)
    assert found.stdout == ""
