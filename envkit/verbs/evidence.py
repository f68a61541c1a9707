"""What is kept of a failure: the logs of every service, saved before anything is taken down."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from envkit.errors import EnvkitError
from envkit.facts import Instance
from envkit.session import Session

KEPT = 10
"""Saved failures of one environment; older ones are removed."""


def save_logs(session: Session, instances: Iterable[Instance]) -> Path | None:
    """Write each service's log to a new folder; None when there was nothing to save."""
    texts = {}
    for instance in instances:
        try:
            text = session.runtime.logs(instance)
        except EnvkitError as error:
            text = f"(the log could not be read: {error.message})"
        if text:
            texts[instance.service or instance.name] = text
    if not texts:
        return None
    session.paths.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = session.paths.logs / datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    folder.mkdir(mode=0o700)
    for name, text in texts.items():
        (folder / f"{name}.log").write_text(text)
    _forget_old(session.paths.logs)
    return folder


def _forget_old(home: Path) -> None:
    import shutil

    for folder in sorted(path for path in home.iterdir() if path.is_dir())[:-KEPT]:
        shutil.rmtree(folder, ignore_errors=True)
