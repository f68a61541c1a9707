"""Applies the service's migrations as goose does."""

from pathlib import Path

import envkit.datastorage

from .servers import Postgres

FOLDER = Path(envkit.datastorage.__file__).parent / "migrations"


def sections(file: Path) -> tuple[str, str]:
    """Return the up part and the down part of a goose file."""
    text = file.read_text()
    head, down = text.split("-- +goose Down")
    before, up = head.split("-- +goose Up")
    assert not before.strip()
    return up, down


def apply_migrations(server: Postgres, database: str) -> None:
    for file in sorted(FOLDER.glob("*.sql")):
        server.execute(sections(file)[0], database=database)


def revert_migrations(server: Postgres, database: str) -> None:
    for file in sorted(FOLDER.glob("*.sql"), reverse=True):
        server.execute(sections(file)[1], database=database)
