"""The folder for evidence: limited in size, redacted, readable by the user only, closed at the deadline."""

from __future__ import annotations

import json
import os
import re
import tarfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from envkit.base.paths import make_folder
from envkit.evidence.redaction import Redactor

TOTAL = 50 << 20
"""Maximum number of bytes of all files together, before they are packed."""

EACH = 2 << 20
"""Maximum number of bytes of one file. A quarter is for its beginning, three quarters are for its end."""

MOST = 3000
"""Maximum number of files in one bundle."""

LONGEST_NAME = 120
"""Maximum length of a file's name. The middle of a longer name is left out, because names differ at their ends."""

MARGIN = 4
"""Maximum length of a text during redaction, as a multiple of its limit.

The text is cut to its limit only after redaction. An earlier cut could divide a secret, and half a secret is not found.
"""


class Bundle:
    """Writes files from many threads into one folder. After `close` it ignores the files of late collectors."""

    def __init__(self, folder: Path, redact: Redactor, total: int = TOTAL) -> None:
        self.folder, self._redact, self._left = folder, redact, total
        self._lock = threading.Lock()
        self._closed = False
        self.files: dict[str, int] = {}
        self.notes: list[str] = []
        make_folder(folder)
        folder.chmod(0o700)

    def note(self, text: str) -> None:
        """Record what is missing or was cut, and why."""
        with self._lock:
            if not self._closed:
                self.notes.append(self._redact(text))

    def text(self, name: str, text: str, each: int = EACH) -> None:
        """Write the text to a file, without its secrets. If it is longer than `each` bytes, leave out its middle."""
        if not text:
            return
        rough, dropped = _cut(text, MARGIN * each)
        clean, more = _cut(self._redact(rough), each)
        self._write(self._redact(_safe(self._redact(name))), clean.encode(errors="replace"), dropped + more)

    def json(self, name: str, data: Any) -> None:
        """Write data as JSON."""
        self.text(name, json.dumps(data, indent=1, default=str, ensure_ascii=False) + "\n")

    def yaml(self, name: str, data: Any) -> None:
        """Write data as YAML; keys keep their order."""
        import yaml

        self.text(name, yaml.dump(data, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False))

    def copy(self, name: str, source: Path, each: int = EACH) -> None:
        """Copy a file into the bundle. Of a large file, read only the beginning and the end."""
        size = source.stat().st_size
        with source.open("rb") as file:
            if size <= MARGIN * each:
                self.text(name, file.read(MARGIN * each).decode(errors="replace"), each)
                return
            head = file.read(each).decode(errors="replace").rpartition("\n")[0]
            file.seek(size - 2 * each)
            tail = file.read(2 * each).decode(errors="replace").partition("\n")[2]
        self.text(name, f"{head}\n... {size - 3 * each} bytes are left out here ...\n{tail}", each)

    def close(self) -> None:
        """Ignore all files and notes from now on."""
        with self._lock:
            self._closed = True

    def last(self, name: str, text: str) -> None:
        """Write one more file after `close`. Do nothing if it cannot be written, for example on a full disk."""
        with suppress(OSError):
            _private(self.folder, self.folder / name, self._redact(text).encode(errors="replace"))

    def _write(self, name: str, data: bytes, dropped: int) -> None:
        with self._lock:
            if self._closed or name in self.files:
                return
            if len(data) > self._left or len(self.files) >= MOST:
                self.notes.append(f"{name}: left out ({len(data)} bytes): the evidence has reached its size limit")
                return
            self._left -= len(data)
            self.files[name] = len(data)
            if dropped:
                self.notes.append(f"{name}: {dropped} characters in its middle are left out")
            try:
                _private(self.folder, self.folder / name, data)
            except OSError as error:
                self.files.pop(name)
                self.notes.append(f"{name}: could not be written: {error.strerror or error}")


def _private(top: Path, path: Path, data: bytes) -> None:
    missing = [one for one in path.parents if one.is_relative_to(top) and not one.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(data)


def _cut(text: str, most: int) -> tuple[str, int]:
    """Return the text, or only whole lines from its beginning and its end, and how many characters were left out.

    `most` is in bytes. A character can take 4 bytes.
    """
    if len(text) <= most and (len(text) * 4 <= most or len(text.encode(errors="replace")) <= most):
        return text, 0
    most = min(most, len(text)) if text.isascii() else most // 4
    head, tail = text[: most // 4], text[len(text) - most * 3 // 4 :]
    head = head[: head.rfind("\n") + 1]
    tail = tail[tail.find("\n") + 1 :] if "\n" in tail else ""
    went = len(text) - len(head) - len(tail)
    return f"{head}... {went} characters are left out here ...\n{tail}", went


def _safe(name: str) -> str:
    """Return a path below the folder with only the characters that every file system accepts."""
    parts = [re.sub(r"[^\w.@+=-]", "_", part) for part in name.split("/")]
    parts = [part if len(part) <= LONGEST_NAME else f"{part[:60]}~{part[60 - LONGEST_NAME :]}" for part in parts]
    return "/".join(part for part in parts if part.strip("."))


def packed(folder: Path) -> Path:
    """Pack the folder into `FOLDER.tar.gz` (mode 0600) beside it, remove the folder, and return the archive's path."""
    import shutil

    archive = folder.with_name(folder.name + ".tar.gz")
    beside = archive.with_name(f".{archive.name}.new")
    beside.unlink(missing_ok=True)
    with (
        os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file,
        tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as tar,
    ):
        tar.add(folder, arcname=folder.name)
    beside.replace(archive)
    shutil.rmtree(folder)
    return archive
