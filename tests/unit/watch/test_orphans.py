"""Tests of orphans: a run's environment that remains after the run's wrapper and supervisor were both killed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from envkit.base.paths import Paths
from envkit.drivers.runtimes.process_table import start_time
from envkit.inventory import state
from envkit.watch.folder import RunFolder, new
from envkit.watch.orphans import orphan_of

DEAD = [[2**22 + 1, 1.0]]
"""A pid that no process has, because it is above Linux' highest pid."""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path, "here")


def left(paths: Paths, **facts: object) -> RunFolder:
    folder = new(paths)
    folder.write_facts(**{"owned": True, "keep": False, "processes": DEAD, **facts})
    return folder


def test_without_a_run_there_is_no_orphan(paths: Paths) -> None:
    assert orphan_of(paths) is None


def test_a_run_that_should_have_taken_down_what_is_there(paths: Paths) -> None:
    state.write(paths, state.Record("here", "/root"))
    folder = left(paths)
    assert orphan_of(paths) == folder
    folder.write_facts(ended=1.0)
    assert orphan_of(paths) is None


@pytest.mark.parametrize("facts", [{"owned": False}, {"keep": True}, {"ended": 1.0}])
def test_what_a_run_was_not_to_take_down(paths: Paths, facts: dict[str, object]) -> None:
    left(paths, **facts)
    assert orphan_of(paths) is None


def test_a_run_of_which_one_process_lives_is_no_orphan(paths: Paths) -> None:
    left(paths, processes=[*DEAD, [os.getpid(), start_time(os.getpid())]])
    assert orphan_of(paths) is None


def test_what_was_brought_up_since_is_wanted(paths: Paths) -> None:
    folder = left(paths)
    state.write(paths, state.Record("here", "/root"))
    later = folder.facts.stat().st_mtime + 5
    os.utime(paths.state, (later, later))
    assert orphan_of(paths) is None
