"""The few programs that a container of the fake engine can run. Tests inspect containers with these programs."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from envkit.config.models import File
from envkit.drivers.engine.file_owners import ids, numbered
from envkit.drivers.runtimes.base import Unit

NAMES = frozenset({"cat", "stat", "printenv", "id", "pwd", "getent", "true", "false", "sh", "sleep", "echo"})

_LIMITS = {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}


def known(argv: Sequence[str]) -> bool:
    """Return whether the fake engine has the command's program."""
    return bool(argv) and argv[0] in NAMES


@dataclass(frozen=True)
class Program:
    """Runs programs in one container. They can read its unit, its image's files, and the names of all services."""

    unit: Unit
    image: Mapping[str, bytes]
    mates: Collection[str]

    def run(self, argv: Sequence[str]) -> tuple[int, str]:
        """Run the command; return its exit code and output. Unknown arguments end with exit code 1."""
        match list(argv):
            case ["cat", path]:
                return self._cat(path)
            case ["stat", "-c", "%u:%g %a", path]:
                return self._stat(path)
            case ["printenv", name]:
                return (0, f"{self.unit.service.env[name]}\n") if name in self.unit.service.env else (1, "")
            case ["id", "-u"]:
                return 0, f"{(self.unit.service.user or '0').partition(':')[0]}\n"
            case ["pwd"]:
                return 0, f"{self.unit.service.workdir or '/'}\n"
            case ["getent", "hosts", name]:
                return (0, f"10.0.0.1 {name}\n") if name in self.mates else (2, "")
            case ["echo", *words]:
                return 0, " ".join(words) + "\n"
            case ["true"] | ["sleep", _]:
                return 0, ""
            case ["sh", "-c", script] if ends := re.fullmatch(r"exit (\d+)", script):
                return int(ends[1]), ""
        return 1, f"{argv[0]}: the fake does not know this command\n"

    def _file(self, path: str) -> File | None:
        return next((file for file in self.unit.service.files if file.path == path), None)

    def _cat(self, path: str) -> tuple[int, str]:
        file, user = self._file(path), (self.unit.service.user or "0").partition(":")[0]
        if file and user not in ("0", str(self._owner(file)[0])) and not file.permissions & 0o004:
            return 1, f"cat: {path}: Permission denied\n"
        if file:
            text = file.content if file.content is not None else Path(file.source or "").read_text()
            return 0, text
        if path in self.image:
            return 0, self.image[path].decode()
        if path in _LIMITS and self.unit.service.memory:
            return 0, f"{self.unit.service.memory}\n"
        return 1, f"cat: {path}: No such file or directory\n"

    def _stat(self, path: str) -> tuple[int, str]:
        file = self._file(path)
        if file is None:
            return 1, f"stat: cannot stat '{path}': No such file or directory\n"
        uid, gid = self._owner(file)
        return 0, f"{uid}:{gid} {file.permissions:o}\n"

    def _owner(self, file: File) -> tuple[int, int]:
        return ids(file.owner or numbered(self.unit.service.user or "0", str))
