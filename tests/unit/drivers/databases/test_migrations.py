"""Tests of Goose's file format: the statements that envkit reads, and the errors for files in another format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from envkit.base.errors import ConfigError
from envkit.drivers.databases.migrations import _apply, parse, read, versions


def statements(text: str) -> tuple[str, ...]:
    return parse("001_x.sql", text).statements


def test_up_is_split_into_statements_and_down_is_left_out() -> None:
    text = """-- +goose Up
CREATE TABLE a (
  id int
);
CREATE INDEX i ON a (id);

-- +goose Down
DROP TABLE a;
"""
    assert statements(text) == ("CREATE TABLE a (\n  id int\n);", "CREATE INDEX i ON a (id);")


def test_down_may_stand_first() -> None:
    assert statements("-- +goose Down\nDROP TABLE a;\n-- +goose Up\nSELECT 1;\n") == ("SELECT 1;",)


def test_a_block_holds_semicolons_together() -> None:
    text = """-- +goose Up
SELECT 0;
-- +goose StatementBegin
CREATE FUNCTION f() RETURNS int AS $$
BEGIN
  PERFORM 1;
  RETURN 2;
END;
$$ LANGUAGE plpgsql;
-- +goose StatementEnd
SELECT 3;
"""
    first, block, last = statements(text)
    assert (first, last) == ("SELECT 0;", "SELECT 3;")
    assert block.startswith("CREATE FUNCTION")
    assert block.endswith("LANGUAGE plpgsql;")
    assert block.count(";") == 4


def test_a_block_outside_of_up_is_left_out() -> None:
    text = "-- +goose Up\nSELECT 1;\n-- +goose Down\n-- +goose StatementBegin\nDROP x;\n-- +goose StatementEnd\n"

    assert statements(text) == ("SELECT 1;",)


def test_the_last_statement_needs_no_semicolon() -> None:
    assert statements("-- +goose Up\nSELECT 1;\nSELECT 2\n") == ("SELECT 1;", "SELECT 2")


def test_comments_alone_are_no_statement() -> None:
    assert statements("-- +goose Up\n-- nothing to do;\n-- really\n") in ((), ("-- nothing to do;",))
    assert statements("-- +goose Up\nSELECT 1;\n-- the end\n") == ("SELECT 1;",)
    assert statements("-- +goose Up\n") == ()


@pytest.mark.parametrize("line", ["-- +goose Up", "--+goose up", "  --  +goose   UP  ", "-- +GOOSE Up\r"])
def test_annotations_are_read_generously(line: str) -> None:
    assert statements(f"{line}\nSELECT 1;\n") == ("SELECT 1;",)


def test_files_of_windows_are_read() -> None:
    assert statements("-- +goose Up\r\nSELECT 1;\r\n-- +goose Down\r\nSELECT 2;\r\n") == ("SELECT 1;",)


def test_no_transaction_is_heeded_wherever_it_stands() -> None:
    text = "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY i ON a (id);\n"

    assert parse("1_x.sql", text).transaction is False
    assert parse("1_x.sql", "-- +goose Up\nSELECT 1;").transaction is True


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("x.sql", "-- +goose Up\n", "expected a name such as 001_name.sql"),
        ("001.sql", "-- +goose Up\n", "expected a name such as 001_name.sql"),
        ("001_x.sql", "SELECT 1;", "expected a line `-- +goose Up`"),
        ("001_x.sql", "", "expected a line `-- +goose Up`"),
        ("001_x.sql", "-- +goose Up\n-- +goose StatementBegin\nSELECT 1;\n", "without `-- +goose StatementEnd`"),
        ("001_x.sql", "-- +goose Up\n-- +goose ENVSUB ON\n", "ENVSUB ON: this annotation is not supported"),
    ],
)
def test_what_is_not_in_the_format_is_told(name: str, text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse(name, text)

    assert expected in str(caught.value)


def test_a_folder_is_read_in_order_of_versions_and_not_of_names(tmp_path: Path) -> None:
    for name in ("10_c.sql", "2_b.sql", "001_a.sql", "20240101120000_d.sql"):
        (tmp_path / name).write_text("-- +goose Up\nSELECT 1;\n")
    (tmp_path / "README.md").write_text("not read")

    assert [migration.version for migration in read(tmp_path)] == [1, 2, 10, 20240101120000]


def test_every_fault_of_a_folder_is_told_at_once(tmp_path: Path) -> None:
    for name, text in {
        "001_a.sql": "-- +goose Up\n",
        "1_b.sql": "-- +goose Up\n",
        "bad.sql": "-- +goose Up\n",
        "003_c.sql": "SELECT 1;",
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "004_d.sql").write_bytes(b"-- +goose Up\nSELECT '\xff';\n")

    with pytest.raises(ConfigError) as caught:
        read(tmp_path)

    assert len(caught.value.faults) == 4
    for part in (
        "version 1 is already used by 001_a.sql",
        "bad.sql: expected a name",
        "003_c.sql: expected a line",
        "004_d.sql",
    ):
        assert part in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_without_migrations_is_a_fault(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "migrations"
    if exists:
        folder.mkdir()

    with pytest.raises(ConfigError, match=r"expected files named 001_name\.sql, found none"):
        read(folder)


class Scripted:
    """A fake connection that records each statement."""

    def __init__(self, rows: list[list[Any]] | None = None) -> None:
        self.ran: list[str] = []
        self.rows = rows

    def run(self, sql: str, **_parameters: Any) -> list[list[Any]] | None:
        self.ran.append(sql)
        return self.rows


def test_a_migration_and_its_record_are_one_transaction() -> None:
    connection = Scripted()

    _apply(connection, parse("007_x.sql", "-- +goose Up\nSELECT 1;\nSELECT 2;\n"))

    assert connection.ran[0] == "BEGIN"
    assert connection.ran[1:3] == ["SELECT 1;", "SELECT 2;"]
    assert "VALUES (7, true)" in connection.ran[3]
    assert connection.ran[4:] == ["COMMIT"]


def test_one_without_transaction_is_recorded_last() -> None:
    connection = Scripted()

    _apply(connection, parse("7_x.sql", "-- +goose NO TRANSACTION\n-- +goose Up\nVACUUM;\n"))

    assert connection.ran[0] == "VACUUM;"
    assert "VALUES (7, true)" in connection.ran[1]
    assert len(connection.ran) == 2


def test_versions_are_those_whose_latest_record_says_applied() -> None:
    assert versions(Scripted([[0, True], [1, True], [2, False]])) == {0, 1}
    assert versions(Scripted(None)) == set()
