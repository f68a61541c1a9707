"""Reads versions, architectures, files and their SHA-256 from apt's signed package lists. Runs no command.

apt checks the signature of the lists with its keyring when it fetches them, so these digests come from the
distribution.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from envkit.drivers.supply.binaries.models import Rejected


@dataclass(frozen=True)
class Listed:
    """A file in the package lists, with its expected digest."""

    package: str
    version: str
    file: str
    """The name of the downloaded file, with special characters decoded: `redis-tools_5:7.0.15-1_amd64.deb`."""
    sha256: str

    def must_match(self, path: Path) -> None:
        """Raise `Rejected` if the digest of the file at `path` differs from the package lists."""
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self.sha256:
            raise Rejected(
                f"{path.name} differs from the signed package lists: expected SHA-256 {self.sha256}, "
                f"got {found} ({path.stat().st_size} bytes); a proxy or mirror truncated or changed it"
            )


def packages(shown: str) -> list[Listed]:
    """Return the packages in the output of `apt-cache show`.

    The result omits a package that is installed but not in any list, because it has no digest.
    """
    found = []
    for stanza in _stanzas(shown):
        if "SHA256" in stanza and "Filename" in stanza:
            name, version, arch = stanza["Package"], stanza["Version"], stanza.get("Architecture", "")
            found.append(Listed(name, version, f"{name}_{version}_{arch}.deb", stanza["SHA256"]))
    return found


def sources(shown: str) -> list[Listed]:
    """Return the files in the output of `apt-cache showsrc`, for all listed versions; omit files without a SHA-256."""
    found = []
    for stanza in _stanzas(shown):
        for row in stanza.get("Checksums-Sha256", "").splitlines():
            words = row.split()
            if len(words) == 3 and Path(words[2]).name == words[2]:
                found.append(Listed(stanza["Package"], stanza["Version"], words[2], words[0]))
    return found


def downloaded(folder: Path) -> dict[str, Path]:
    """Return the package files (`*.deb`) in the folder; the keys are their names with special characters decoded."""
    return {unquote(path.name): path for path in sorted(folder.glob("*.deb"))}


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    for block in text.split("\n\n"):
        stanza: dict[str, str] = {}
        name = ""
        for line in block.splitlines():
            if line[:1] in (" ", "\t"):
                stanza[name] = f"{stanza.get(name, '')}\n{line.strip()}"
            elif ":" in line:
                name, _, value = line.partition(":")
                stanza[name] = value.strip()
        if "Package" in stanza and "Version" in stanza:
            yield stanza
