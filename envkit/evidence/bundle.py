"""The folder that evidence is written to: bounded in size, redacted, for the user alone, and closed at the deadline."""

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
"""Bytes of all files together, before they are packed."""

EACH = 2 << 20
"""Bytes of one file: its beginning and, three times as long, its end."""

MOST = 3000
"""Files."""

LONGEST_NAME = 120
"""Letters of a file's name: of a longer one the middle is left out, for the ends tell it from its neighbours."""

MARGIN = 4
"""Times its limit that a text is looked at before it is cut: secrets are taken out first, cuts would hide them."""


class Bundle:
    """Takes files from many threads. After `close` nothing is taken any more: late collectors write nowhere."""

    def __init__(self, folder: Path, redact: Redactor, total: int = TOTAL) -> None:
        self.folder, self._redact, self._left = folder, redact, total
        self._lock = threading.Lock()
        self._closed = False
        self.files: dict[str, int] = {}
        self.notes: list[str] = []
        make_folder(folder)
        folder.chmod(0o700)

    def note(self, text: str) -> None:
        """Say what is missing or was cut, and why."""
        with self._lock:
            if not self._closed:
                self.notes.append(self._redact(text))

    def text(self, name: str, text: str, each: int = EACH) -> None:
        """Write a file, secrets taken out, its middle cut out when it is longer than `each` bytes."""
        if not text:
            return
        rough, dropped = _cut(text, MARGIN * each)
        clean, more = _cut(self._redact(rough), each)
        self._write(self._redact(_safe(self._redact(name))), clean.encode(errors="replace"), dropped + more)

    def json(self, name: str, data: Any) -> None:
        """Write data as JSON."""
        self.text(name, json.dumps(data, indent=1, default=str, ensure_ascii=False) + "\n")

    def yaml(self, name: str, data: Any) -> None:
        """Write data as YAML, its keys in their order."""
        import yaml

        self.text(name, yaml.dump(data, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False))

    def copy(self, name: str, source: Path, each: int = EACH) -> None:
        """Take a file over; of a large one only its beginning and its end are read."""
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
        """Take nothing any more."""
        with self._lock:
            self._closed = True

    def last(self, name: str, text: str) -> None:
        """The one file that is written when all is closed. Nothing happens where the disk is full by now."""
        with suppress(OSError):
            _private(self.folder, self.folder / name, self._redact(text).encode(errors="replace"))

    def _write(self, name: str, data: bytes, dropped: int) -> None:
        with self._lock:
            if self._closed or name in self.files:
                return
            if len(data) > self._left or len(self.files) >= MOST:
                self.notes.append(f"{name}: left out ({len(data)} bytes): the evidence is as large as it may be")
                return
            self._left -= len(data)
            self.files[name] = len(data)
            if dropped:
                self.notes.append(f"{name}: {dropped} letters of its middle are left out")
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
    """The text, or its beginning and its end up to whole lines, and how many letters went. Letters may be 4 bytes."""
    if len(text) <= most and (len(text) * 4 <= most or len(text.encode(errors="replace")) <= most):
        return text, 0
    most = min(most, len(text)) if text.isascii() else most // 4
    head, tail = text[: most // 4], text[len(text) - most * 3 // 4 :]
    head = head[: head.rfind("\n") + 1]
    tail = tail[tail.find("\n") + 1 :] if "\n" in tail else ""
    went = len(text) - len(head) - len(tail)
    return f"{head}... {went} letters are left out here ...\n{tail}", went


def _safe(name: str) -> str:
    """A path below the folder, of letters that every file system takes."""
    parts = [re.sub(r"[^\w.@+=-]", "_", part) for part in name.split("/")]
    parts = [part if len(part) <= LONGEST_NAME else f"{part[:60]}~{part[60 - LONGEST_NAME :]}" for part in parts]
    return "/".join(part for part in parts if part.strip("."))


def packed(folder: Path) -> Path:
    """The folder as `FOLDER.tar.gz` (mode 0600) beside it, and the folder gone."""
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
