"""Writes and reads the archive of `images save`: an uncompressed tar file with a manifest as its last file.

envkit.json          versions, platform, images with their ids, programs; size and SHA-256 of every other file
images.tar           the images as the engine saved them; images share their layers
programs/...         the host's programs, one tar for each
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from envkit.base.errors import EnvironmentFailed, UsageError
from envkit.base.waiting import Cancel

MANIFEST = "envkit.json"
IMAGES = "images.tar"
SCHEMA = 1
CHUNK = 1 << 20

Report = Callable[[str], None]


class Writer:
    """Writes an archive file by file; the size of a file can be unknown until all its data is written."""

    def __init__(self, file: IO[bytes], report: Report, cancel: Cancel) -> None:
        self._file, self._report, self._cancel = file, report, cancel
        self.members: dict[str, dict[str, Any]] = {}

    def add(self, name: str, chunks: Iterable[bytes]) -> None:
        """Add a file to the archive, and write the file's header again when the size is known."""
        start, digest, size, told = self._file.tell(), hashlib.sha256(), 0, 0
        self._file.write(_head(name, 0))
        for chunk in chunks:
            self._cancel.check()
            self._file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            if size >> 26 > told:
                told = size >> 26
                self._report(f"{name}: {size / 2**20:.0f} MiB")
        self._file.write(b"\0" * (-size % tarfile.BLOCKSIZE))
        end = self._file.tell()
        self._file.seek(start)
        self._file.write(_head(name, size))
        self._file.seek(end)
        self.members[name] = {"size": size, "sha256": digest.hexdigest()}

    def close(self, manifest: dict[str, Any]) -> None:
        """Write the manifest and the end of the archive."""
        text = json.dumps({"schema": SCHEMA, **manifest, "members": self.members}, indent=1).encode()
        self.add(MANIFEST, [text])
        self._file.write(b"\0" * (2 * tarfile.BLOCKSIZE))


def _head(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


@contextmanager
def written(path: Path, report: Report, cancel: Cancel) -> Iterator[Writer]:
    """Yield the writer of a new archive. It writes a temporary file in the same folder, and renames it at the end.

    Raises `EnvironmentFailed` if the archive cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with beside.open("wb") as file:
            yield Writer(file, report, cancel)
        beside.replace(path)
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        raise EnvironmentFailed(
            f"{path} cannot be written: {error.strerror or error}", hint="check the free space and your right to write"
        ) from error
    finally:
        beside.unlink(missing_ok=True)


class Archive:
    """An existing archive.

    Raises `UsageError` if the file cannot be read, is not an archive of `images save`, or has another
    schema, and `EnvironmentFailed` if the archive is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._tar = tarfile.open(path, "r:")  # noqa: SIM115  closed by `close`
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
        except tarfile.TarError as error:
            raise UsageError(f"{path} is no archive of `images save`: {error}") from error
        try:
            self.manifest = self._read_manifest()
        except BaseException:
            self._tar.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._tar.close()

    def verify(self, report: Report, cancel: Cancel) -> None:
        """Check the size and the SHA-256 of every file in the archive. Raises `EnvironmentFailed` if one differs."""
        for name, told in self.manifest["members"].items():
            report(f"checking {name}")
            digest, size = hashlib.sha256(), 0
            with self.open(name) as file:
                while chunk := file.read(CHUNK):
                    cancel.check()
                    digest.update(chunk)
                    size += len(chunk)
            if (size, digest.hexdigest()) != (told["size"], told["sha256"]):
                raise self._damaged(f"{name} has changed since it was saved")

    def open(self, name: str) -> IO[bytes]:
        """Open a file of the archive for reading. Raises `EnvironmentFailed` if the file is missing."""
        try:
            found = self._tar.extractfile(name)
        except KeyError:
            found = None
        if found is None:
            raise self._damaged(f"{name} is missing")
        return found

    def _read_manifest(self) -> dict[str, Any]:
        try:
            names = self._tar.getnames()
        except tarfile.TarError as error:
            raise self._damaged(str(error)) from error
        if MANIFEST not in names:
            if IMAGES in names:
                raise self._damaged(f"{MANIFEST}, its last file, is missing")
            raise UsageError(
                f"{self.path} is no archive of `images save`: it has no {MANIFEST}",
                hint="load an archive of `docker save` with `docker load`",
            )
        try:
            found: dict[str, Any] = json.loads(self.open(MANIFEST).read())
        except (ValueError, tarfile.TarError) as error:
            raise self._damaged(f"{MANIFEST}: {error}") from error
        if found.get("schema") != SCHEMA:
            made = f"envkit {found.get('envkit')}, schema {found.get('schema')}"
            raise UsageError(f"{self.path} was saved by {made}", hint="load it with the envkit that saved it")
        return found

    def _damaged(self, why: str) -> EnvironmentFailed:
        return EnvironmentFailed(
            f"{self.path} is damaged: {why}; nothing was loaded", hint="copy it again, or save it again"
        )


def packed(files: Iterable[tuple[str, Path]]) -> Iterator[bytes]:
    """Yield the chunks of a tar archive of files and links. The archive keeps their modes and omits their owners."""
    buffer = _Passing()
    with tarfile.open(fileobj=buffer, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        for name, path in files:
            info = tar.gettarinfo(str(path), name)
            info.uid, info.gid, info.uname, info.gname = 0, 0, "", ""
            if info.isreg():
                with path.open("rb") as file:
                    tar.addfile(info, file)
            else:
                tar.addfile(info)
            yield from buffer.taken()
    yield from buffer.taken()


class _Passing(io.RawIOBase):
    """A buffer in memory: `taken` returns the data written since its last call."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def write(self, data: Any) -> int:
        self._chunks.append(bytes(data))
        return len(data)

    def taken(self) -> list[bytes]:
        chunks, self._chunks = self._chunks, []
        return chunks
