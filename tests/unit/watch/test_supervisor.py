"""Tests of the supervisor: its actions after its wrapper ends normally, and after its wrapper is killed."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from envkit.base.errors import EngineError
from envkit.base.paths import Paths
from envkit.watch.folder import RunFolder, new
from envkit.watch.supervisor import AFTERWARDS, Supervisor
from envkit.watch.timeline import Happening, read


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return new(Paths(tmp_path, "here"))


class Told:
    """A supervisor that records all its effects instead of carrying them out."""

    def __init__(
        self, folder: RunFolder, gone: list[list[str] | Exception] | None = None, *, keep: bool = False
    ) -> None:
        self.downs = 0
        self.said: list[str] = []
        answers = iter(gone or [["redis"]])

        def opened() -> AbstractContextManager[Any]:
            raise EngineError("nothing is here")

        def down() -> list[str]:
            self.downs += 1
            answer = next(answers, [])
            if isinstance(answer, Exception):
                raise answer
            return answer

        self.supervisor = Supervisor(
            folder,
            "here",
            opened,
            down,
            lambda: None,
            self.said.append,
            lambda *_: None,
            keep=keep,
            clock=lambda _: None,
        )

    def __call__(self, *messages: dict[str, Any]) -> Told:
        self.supervisor.follow(json.dumps(message) + "\n" for message in messages)
        return self


OWNED = {"what": "owned", "owned": True}


def test_after_a_farewell_nothing_is_touched(folder: RunFolder) -> None:
    assert Told(folder)(OWNED, {"what": "done"}).downs == 0


def test_without_one_what_the_wrapper_brought_up_is_taken_down(folder: RunFolder) -> None:
    assert Told(folder)({"what": "begin", "fresh": True}, OWNED).downs == 2, "what comes late is looked for too"
    messages = [it.message for it in read(folder.timeline, Happening)]
    assert messages[0].startswith("the wrapper was killed") and "down: 1 things removed" in messages
    assert folder.read_facts()["killed"] is True


def test_what_was_there_before_is_left(folder: RunFolder) -> None:
    assert Told(folder)({"what": "begin", "fresh": False}).downs == 0
    assert Told(folder)({"what": "begin", "fresh": True}, {"what": "owned", "owned": False}).downs == 0


def test_killed_before_it_could_look_its_files_go(folder: RunFolder) -> None:
    assert Told(folder)({"what": "begin", "fresh": True}).downs == 2


def test_what_is_to_be_kept_is_kept(folder: RunFolder) -> None:
    assert Told(folder, keep=True)(OWNED).downs == 0
    assert Told(folder)(OWNED, {"what": "keep"}).downs == 0


def test_a_torn_line_is_the_last(folder: RunFolder) -> None:
    told = Told(folder)
    told.supervisor.follow([json.dumps(OWNED) + "\n", '{"what": "do'])
    assert told.downs == 2


def test_an_engine_that_refuses_is_asked_again(folder: RunFolder) -> None:
    told = Told(folder, [EngineError("busy"), ["redis"], []])(OWNED)
    assert told.downs == 3
    assert Told(folder, [EngineError("busy")] * 9)(OWNED).downs == len(AFTERWARDS)


def test_questions_are_answered_though_nothing_is_watched(folder: RunFolder) -> None:
    told = Told(folder)({"what": "settle", "everything": True}, {"what": "rest"}, {"what": "done"})
    assert [json.loads(line)["what"] for line in told.said] == ["settled", "resting"]


def test_an_environment_that_cannot_be_opened_is_told_and_the_run_goes_on(folder: RunFolder) -> None:
    told = Told(folder)({"what": "up", "instances": {}}, {"what": "done"})
    assert "the run is not watched: nothing is here" in told.said[0] and told.downs == 0
