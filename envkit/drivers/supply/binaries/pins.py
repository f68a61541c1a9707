"""Digests of everything that envkit downloads and runs, beside the code, so that no server is asked what is right.

`wheels.txt` is a requirements file with hashes, which pip and uv compare themselves. `releases.txt` has lines as
`sha256sum` prints them. For a version that is not in it the file that `ENVKIT_DIGESTS` names must have the line.

After a change of a version in the catalogue renew both with
`./.venv/bin/python -m envkit.drivers.supply.binaries.renewing`. It needs uv, a package index and the releases; read the
difference before it is committed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from envkit.drivers.supply.binaries.download import Digest
from envkit.drivers.supply.binaries.models import Rejected, Version

WHEELS = Path(__file__).with_name("wheels.txt")
RELEASES = Path(__file__).with_name("releases.txt")
VARIABLE = "ENVKIT_DIGESTS"

_ALGORITHMS = {64: "sha256", 128: "sha512"}


@dataclass(frozen=True)
class Digests:
    """Digests of released files by their path on the server; those in the repository go before those of the user."""

    known: Mapping[str, Digest]
    given: Mapping[str, Digest]

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Digests:
        """Return the repository's digests and those of the file that the variable names.

        Raises `Rejected` for a broken file.
        """
        given = environ.get(VARIABLE)
        return cls(read(RELEASES), read(Path(given).expanduser()) if given else {})

    def of_file(self, path: str) -> Digest:
        """The digest of `v1.34.1/bin/linux/amd64/kubectl`. Raises `Rejected` where none is known, with what to do."""
        found = self.known.get(path) or self.given.get(path)
        if found is None:
            raise Rejected(
                f"no digest of {path} is known, and without one nothing is run: write the line `SHA256  {path}` into a "
                f"file, and name it in {VARIABLE}"
            )
        return found

    def newest(self, minor: Version, pattern: str) -> Version:
        """The newest known patch of a minor version; `{}` stands for the version in `pattern`. Raises `Rejected`."""
        parts = [re.escape(part) for part in pattern.split("{}")]
        form = re.compile(r"(\d+\.\d+\.\d+)".join(parts[:2]) + r"\1".join(["", *parts[2:]]))
        matches = (form.fullmatch(path) for path in (*self.known, *self.given))
        found = [version for match in matches if match and (version := Version.parse(match[1])).minor == minor]
        if not found:
            raise Rejected(
                f"no digest of a release {minor} is known: name a whole version, and its digests in {VARIABLE}"
            )
        return max(found, key=lambda version: version.parts)


def read(path: Path) -> dict[str, Digest]:
    """Digests by name. Raises `Rejected` for a file that cannot be read."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Rejected(f"{VARIABLE} names {path}, which cannot be read: {error}") from error
    return dict(_digest(line, path) for line in lines if line.strip() and not line.startswith("#"))


def _digest(line: str, path: Path) -> tuple[str, Digest]:
    value, _, name = line.strip().partition(" ")
    algorithm = _ALGORITHMS.get(len(value))
    if not algorithm or not re.fullmatch(r"[0-9a-fA-F]+", value) or not name.strip():
        raise Rejected(f"{path}: expected a line such as `SHA256  v1.34.1/bin/linux/amd64/kubectl`, not {line[:80]!r}")
    return name.strip().lstrip("*"), Digest(algorithm, value.lower())


def requirement(distribution: str, version: str, lock: Path = WHEELS) -> str:
    """The lines of the lock for one wheel, its hashes in them. Raises `Rejected` where it has none."""
    wanted = f"{distribution}=={version}"
    for block in re.split(r"\n(?=\S)", lock.read_text()):
        if block.split(" ")[0] == wanted and "--hash=sha256:" in block:
            return block.strip() + "\n"
    raise Rejected(f"no SHA-256 of {wanted} is known, and without one nothing of it is run")


def lines(digests: Iterable[tuple[str, Digest]]) -> str:
    """Digests as `read` reads them."""
    return "".join(f"{digest.value}  {path}\n" for path, digest in digests)
