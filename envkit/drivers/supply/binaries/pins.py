"""The digests of the wheels and releases that envkit downloads. They are in the repository: envkit trusts no server.

`wheels.txt` is a requirements file with hashes, which pip and uv check. `releases.txt` has lines in the format of
`sha256sum`. For a version that is not in `releases.txt`, the user must write such a line into a file and set
`ENVKIT_DIGESTS` to the file's path.

After a change of a version in the catalogue, renew both files with
`./.venv/bin/python -m envkit.drivers.supply.binaries.renewing`. It needs uv, a package index and the servers of the
releases. Read the difference before you commit it.
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
    """Digests of released files by their path on the server.

    Digests from the repository (`known`) take precedence over digests from the user (`given`).
    """

    known: Mapping[str, Digest]
    given: Mapping[str, Digest]

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Digests:
        """Return the digests from the repository, and the digests from the file that `ENVKIT_DIGESTS` names.

        Raises `Rejected` if the file cannot be read or has another format.
        """
        given = environ.get(VARIABLE)
        return cls(read(RELEASES), read(Path(given).expanduser()) if given else {})

    def of_file(self, path: str) -> Digest:
        """Return the digest of a path such as `v1.34.1/bin/linux/amd64/kubectl`.

        Raises `Rejected` if no digest is known; the message says how the user can supply one.
        """
        found = self.known.get(path) or self.given.get(path)
        if found is None:
            raise Rejected(
                f"no digest of {path} is known, and envkit runs nothing without one: write the line `SHA256  {path}` "
                f"into a file, and name the file in {VARIABLE}"
            )
        return found

    def newest(self, minor: Version, pattern: str) -> Version:
        """Return the newest patch version of `minor` that has a digest.

        `pattern` is a path with `{}` in place of the version. Raises `Rejected` if no version has a digest.
        """
        parts = [re.escape(part) for part in pattern.split("{}")]
        form = re.compile(r"(\d+\.\d+\.\d+)".join(parts[:2]) + r"\1".join(["", *parts[2:]]))
        matches = (form.fullmatch(path) for path in (*self.known, *self.given))
        found = [version for match in matches if match and (version := Version.parse(match[1])).minor == minor]
        if not found:
            raise Rejected(
                f"no digest of a release {minor} is known: configure a full version such as 1.34.1, and name a file "
                f"with its digests in {VARIABLE}"
            )
        return max(found, key=lambda version: version.parts)


def read(path: Path) -> dict[str, Digest]:
    """Read a file of digests and return them by download path. Raises `Rejected` if the file is not valid."""
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
    """Return the lines of the lock file for one wheel, with the wheel's hashes.

    Raises `Rejected` if the file has no hash of the wheel.
    """
    wanted = f"{distribution}=={version}"
    for block in re.split(r"\n(?=\S)", lock.read_text()):
        if block.split(" ")[0] == wanted and "--hash=sha256:" in block:
            return block.strip() + "\n"
    raise Rejected(f"no SHA-256 of {wanted} is known, and envkit runs nothing without one")


def lines(digests: Iterable[tuple[str, Digest]]) -> str:
    """Return the digests as text in the format that `read` reads."""
    return "".join(f"{digest.value}  {path}\n" for path, digest in digests)
