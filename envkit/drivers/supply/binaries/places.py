"""Searches this host for programs, place by place, in order of preference. Fetches nothing.

The folders for macOS and arm64 come from the documentation of setup-envtest and Homebrew; no test has run on such a
machine.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from envkit.drivers.supply.binaries.catalog import POSTGRES_FOLDERS, Supply
from envkit.drivers.supply.binaries.files import entries, is_file
from envkit.drivers.supply.binaries.models import Candidate, Host, Refusal, Rejected, Version, Wanted
from envkit.drivers.supply.binaries.store import Store

Seen = Candidate | Refusal
"""The programs in a place, or the reason why envkit rejects the place."""

CONFIGURED = "configured path"
ASSETS = "KUBEBUILDER_ASSETS"
ENVTEST = "setup-envtest's store"
PATH = "PATH"

_TEST_ASSETS = {"kube-apiserver": "KUBE_APISERVER", "etcd": "ETCD", "kubectl": "KUBECTL"}


@dataclass(frozen=True)
class Search:
    """The input of a search on this host; `root` is `/` except in tests."""

    wanted: Wanted
    supply: Supply
    environ: Mapping[str, str]
    store: Store
    host: Host
    root: Path = Path("/")


def places(search: Search) -> Iterator[Seen]:
    """Yield the programs or the refusal of every place on this host, the preferred place first.

    Raises `Rejected` if the configured path does not have the main program.
    """
    yield from configured(search)
    if search.wanted.name in ("etcd", "kubernetes"):
        yield from assets(search)
        yield from envtest_store(search)
    yield from on_path(search)
    yield from search.store.candidates()
    yield from installed_wheel(search)


def programs_in(folder: Path, supply: Supply) -> dict[str, Path]:
    """Return the supply's programs in the folder.

    If the main program is a link, this also searches the folder that contains the link's target.
    """
    found = {name: folder / name for name in supply.programs if is_file(folder / name)}
    if supply.main in found and len(found) < len(supply.programs):
        real = Path(os.path.realpath(found[supply.main])).parent
        found |= {name: real / name for name in supply.programs if name not in found and is_file(real / name)}
    return found


def configured(search: Search) -> Iterator[Seen]:
    """Yield the programs at the configured path, which names a folder or the main program.

    Yields nothing if the configuration has no path. Raises `Rejected` if the main program is not at the path.
    """
    if search.wanted.path is None:
        return
    path = Path(search.wanted.path).expanduser()
    if is_file(path):
        programs = {**programs_in(path.parent, search.supply), search.supply.main: path}
    else:
        programs = programs_in(path, search.supply) or programs_in(path / "bin", search.supply)
    if search.supply.main not in programs:
        # Without this error, envkit would silently use programs from elsewhere if the path has a typing error.
        raise Rejected(f"the configuration names {path}, which has no {search.supply.main}")
    yield Candidate(CONFIGURED, programs)


def assets(search: Search) -> Iterator[Seen]:
    """Yield the programs in the folder that `KUBEBUILDER_ASSETS` names.

    Each variable `TEST_ASSET_*` names one program, and takes precedence over the folder, as in controller-runtime.
    """
    single = {name: f"TEST_ASSET_{word}" for name, word in _TEST_ASSETS.items() if name in search.supply.programs}
    named = {name: Path(search.environ[variable]) for name, variable in single.items() if search.environ.get(variable)}
    folder = search.environ.get(ASSETS)
    programs = {**(programs_in(Path(folder), search.supply) if folder else {}), **named}
    if programs:
        yield Candidate(single[search.supply.main] if search.supply.main in named else ASSETS, programs)
    elif folder:
        yield Refusal(ASSETS, f"no {search.supply.main} in {folder}")


def envtest_store(search: Search) -> Iterator[Seen]:
    """Yield the programs in setup-envtest's folders `<version>-<os>-<arch>`, the newest version first.

    The version in the folder's name is the version of the Kubernetes programs.
    """
    folder = _envtest_home(search) / "k8s"
    found = []
    for entry in entries(folder):
        match = re.fullmatch(rf"(\d+\.\d+\.\d+)-{re.escape(str(search.host))}", entry.name)
        if match and programs_in(entry, search.supply):
            found.append((Version.parse(match[1]), entry))
    for version, entry in sorted(found, key=lambda pair: pair[0].parts, reverse=True):
        known = version if search.wanted.name == "kubernetes" else None
        yield Candidate(ENVTEST, programs_in(entry, search.supply), version=known)
    if not found:
        yield Refusal(ENVTEST, f"nothing for {search.host} in {folder}")


def _envtest_home(search: Search) -> Path:
    home = Path(search.environ.get("HOME") or Path.home())
    if search.host.os == "darwin":
        return home / "Library" / "Application Support" / "io.kubebuilder.envtest"
    data = search.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else home / ".local" / "share") / "kubebuilder-envtest"


def on_path(search: Search) -> Iterator[Seen]:
    """Yield the programs in every folder on PATH, and in the usual folders of PostgreSQL that are not on PATH."""
    folders = [Path(word) for word in search.environ.get("PATH", "").split(":") if word.startswith("/")]
    if search.wanted.name == "postgres":
        folders += _postgres_folders(search.root)
    # A folder with only a client does not count: Debian has psql on PATH and the server's programs elsewhere.
    must = search.supply.programs if search.supply.one_minor else (search.supply.main,)
    once: dict[str, Path] = {}
    for folder in folders:
        once.setdefault(os.path.realpath(folder), folder)  # /bin is a link to /usr/bin on most systems
    found = [folder for folder in once.values() if any(is_file(folder / name) for name in must)]
    for folder in found:
        yield Candidate(PATH, programs_in(folder, search.supply))
    if not found:
        yield Refusal(PATH, f"no {search.supply.main}")


def _postgres_folders(root: Path) -> list[Path]:
    """Return the existing folders with PostgreSQL's programs; for each pattern, the newest version comes first."""
    found: list[Path] = []
    for pattern in POSTGRES_FOLDERS:
        found += sorted(root.glob(pattern.lstrip("/")), key=_number_in, reverse=True)
    return found


def _number_in(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(path))]


def installed_wheel(search: Search) -> Iterator[Seen]:
    """Yield programs from the supply's wheel if the wheel is installed in this Python. It does not import the wheel."""
    wheel = search.supply.wheel
    if wheel is None:
        return
    source = f"wheel {wheel.distribution}"
    spec = importlib.util.find_spec(wheel.module)
    if spec is None or not spec.submodule_search_locations:
        yield Refusal(source, "not installed in this Python")
        return
    site = Path(next(iter(spec.submodule_search_locations))).parent
    found = [programs for folder, _ in wheel.folders if (programs := programs_in(site / folder, search.supply))]
    if not found:
        yield Refusal(source, f"installed in {site}, without {search.supply.main}")
    yield from (Candidate(source, programs) for programs in found)
