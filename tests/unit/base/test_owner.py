"""Tests of ownership: each answer of the one function that decides it, for containers and for processes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from envkit.base import labels
from envkit.base.errors import HolderError, UsageError
from envkit.base.owner import NOBODY, Claim, Owner, Relation, claim, here, of_data, relation_to
from envkit.base.paths import Paths
from envkit.config.load import Request, identify, load
from envkit.config.shipped import checkout_of, shipped_folder
from envkit.drivers.runtimes.process_table import Stamp, boot, start_time
from envkit.inventory import state
from envkit.operations.remove import claim_of_lost_checkout, held_by, known_engines

ME = Owner("1000", "laptop", "/home/me/state", "/home/a", "mnt1", "pid1")
ASKS = Claim(ME, "/home/a")
BEFORE = Owner(checkout="/home/a")
"""The owner of a container with labels of an earlier version; they contain only the checkout."""

CASES = [
    ("the same owner", ME, Relation.OURS, Relation.OURS),
    ("another checkout", replace(ME, checkout="/home/b"), Relation.CHECKOUT, Relation.CHECKOUT),
    ("no checkout", replace(ME, checkout=""), Relation.CHECKOUT, Relation.CHECKOUT),
    ("a checkout that is not said", replace(ME, checkout=None), Relation.OURS, Relation.OURS),
    ("another state directory", replace(ME, home="/tmp/state"), Relation.HOME, Relation.HOME),
    ("a state directory that is not said", replace(ME, home="", machine=""), Relation.OURS, Relation.UNKNOWN),
    ("another machine", replace(ME, machine="runner"), Relation.HOME, Relation.OURS),
    ("another user", replace(ME, user="1001"), Relation.USER, Relation.USER),
    ("root", replace(ME, user="0"), Relation.USER, Relation.USER),
    ("another mount namespace", replace(ME, mount="mnt2"), Relation.OURS, Relation.NAMESPACE),
    ("another PID namespace", replace(ME, pids="pid2"), Relation.OURS, Relation.NAMESPACE),
    ("a system without namespaces", replace(ME, mount="", pids=""), Relation.OURS, Relation.OURS),
    ("nothing said", Owner(), Relation.UNKNOWN, Relation.UNKNOWN),
    ("an earlier version's", BEFORE, Relation.OURS, Relation.UNKNOWN),
    ("an earlier version's, another checkout", replace(BEFORE, checkout="/b"), Relation.CHECKOUT, Relation.UNKNOWN),
    ("a stranger's with the bare marker", Owner(user="65534"), Relation.USER, Relation.USER),
    ("our user's with the bare marker", Owner(user="1000"), Relation.OURS, Relation.UNKNOWN),
]


@pytest.mark.parametrize(("found", "container", "process"), [case[1:] for case in CASES], ids=[it[0] for it in CASES])
def test_whose_it_is(found: Owner, container: Relation, process: Relation) -> None:
    assert (relation_to(found, ASKS).whose, relation_to(found, ASKS, process=True).whose) == (container, process)
    for kind, answer in ((False, container), (True, process)):
        verdict = ASKS.on(found, process=kind)
        assert verdict.ours == (answer is Relation.OURS)
        assert bool(verdict.reason) != verdict.ours, "what is not ours has a reason"


@pytest.mark.parametrize(("found", "_container", "process"), [case[1:] for case in CASES], ids=[it[0] for it in CASES])
def test_force_takes_all_that_is_labelled_but_other_users_processes(
    found: Owner, _container: Relation, process: Relation
) -> None:
    forced = replace(ASKS, force=True)
    assert forced.on(found).ours
    assert forced.on(found, process=True).ours == (found.user == "1000" or process is Relation.OURS)
    root = Claim(replace(ME, user="0"), force=True)
    assert root.on(found, process=True).ours


def test_what_is_not_ours_is_named_with_its_reason_and_the_next_step() -> None:
    with pytest.raises(HolderError, match=r"^the network x belongs to /home/b, and this is /home/a$") as caught:
        ASKS.check(replace(ME, checkout="/home/b"), "the network x")
    assert "down --force" in caught.value.hint and caught.value.same_home
    with pytest.raises(HolderError, match="belongs to user 1001, and this is user 1000") as caught:
        ASKS.check(replace(ME, user="1001", home="/theirs"), "it")
    assert not caught.value.same_home


def test_an_earlier_version_wrote_the_folder_as_the_checkout_of_a_shipped_profile() -> None:
    shipped_only = Claim(replace(ME, checkout=""), folder="/home/a")
    assert shipped_only.on(BEFORE).ours
    assert not shipped_only.on(replace(BEFORE, checkout="/home/b")).ours
    assert not shipped_only.on(ME).ours, "a label of this version says what it means"


def test_another_name_of_this_machine_is_vouched_for_by_its_record(tmp_path: Path) -> None:
    written = replace(here(tmp_path, "/a"), machine="before-the-network-changed")
    assert claim(tmp_path, "/a", written=written).on(written).ours
    assert not claim(tmp_path, "/a").on(written).ours
    elsewhere = replace(written, home="/elsewhere")
    assert not claim(tmp_path, "/a", written=elsewhere).on(written).ours


def test_nobody_has_anything() -> None:
    assert not NOBODY.on(ME).ours and not NOBODY.on(BEFORE).ours


# Labels that envkit writes


def test_labels_say_the_owner_and_are_read_back() -> None:
    marks = labels.owned("t", "service", ME)
    assert marks == {
        "envkit.env": "t", "envkit.schema": "2", "envkit.role": "service", "envkit.user": "1000",
        "envkit.root": "/home/a", "envkit.home": "laptop:/home/me/state", "envkit.mount": "mnt1",
    }  # fmt: skip
    assert labels.owner_of(marks) == replace(ME, pids="")
    assert labels.owner_of({"envkit.env": "t", "envkit.root": "/home/a"}) == BEFORE
    assert labels.owner_of({"envkit.env": "t"}) == Owner()


def test_variables_say_the_owner_of_a_process() -> None:
    marks = labels.marks_of("t", ME)
    assert marks == {"ENVKIT_ENV": "t", "ENVKIT_STATE_DIR": "/home/me/state", "ENVKIT_OWNER": "1000:/home/a"}
    assert labels.owner_of_marks(marks, "1000", "mnt1", "pid1") == replace(ME, machine="")
    assert labels.owner_of_marks(marks, "1001").user == "1001", "the kernel's word, not the variable's"
    assert labels.owner_of_marks(labels.marks_of("t", replace(ME, user="0")), "112").user == "0"
    assert labels.owner_of_marks({"ENVKIT_ENV": "t"}, "1000") == Owner("1000")


def test_the_folder_of_an_environment_says_the_owner_and_the_engine(tmp_path: Path) -> None:
    paths = Paths(tmp_path, "t")
    assert (state.read_begun(paths), held_by(paths), known_engines(paths)) == (None, None, None)
    state.begin(paths, state.Begun(ME, "docker", "unix:///a.sock"))
    assert state.read_begun(paths) == state.Begun(ME, "docker", "unix:///a.sock")
    assert held_by(paths) == ME
    assert known_engines(paths) == (("docker", "unix:///a.sock"),), "before anything was made"
    state.write(paths, state.Record("t", "/home/a", engine="podman", engine_url="unix:///b.sock", owner=ME))
    assert known_engines(paths) == (("podman", "unix:///b.sock"), ("docker", "unix:///a.sock"))
    for torn in ("", "[]", '{"owner": 3, "engine": "", "engine_url": ""}', '{"owner": {"home": 1}}'):
        paths.begun.write_text(torn)
        assert state.read_begun(paths) is None


def test_a_record_says_the_owner_and_one_of_an_earlier_version_the_checkout(tmp_path: Path) -> None:
    paths = Paths(tmp_path, "t")
    state.write(paths, state.Record("t", "/home/a", owner=ME))
    assert (record := state.read(paths)) and record.held_by == ME
    state.write(paths, state.Record("t", "/home/a"))
    assert (record := state.read(paths)) and record.held_by == BEFORE
    with pytest.raises(TypeError):
        of_data([])


def test_names_that_carry_no_label_differ_for_each_user_and_state_directory() -> None:
    keys = {one.key for one in (ME, replace(ME, user="0"), replace(ME, home="/b"), replace(ME, checkout="/b"))}
    assert len(keys) == 3
    assert all(len(key) == 8 for key in keys)


def test_what_a_checkout_held_that_is_gone_is_inherited_where_it_could_be_seen(tmp_path: Path) -> None:
    ours = Claim(here(tmp_path, "/home/b"))
    gone = here(tmp_path, str(tmp_path / "gone"))
    there = here(tmp_path, str(tmp_path))
    assert claim_of_lost_checkout(ours, gone).on(gone).ours
    assert not claim_of_lost_checkout(ours, there).on(there).ours
    hidden = replace(gone, mount="another")
    assert not claim_of_lost_checkout(ours, hidden).on(hidden).ours, (
        "a folder that is not seen from here proves nothing"
    )
    assert claim_of_lost_checkout(ours, None) == ours


# Ownership of a pid


def test_a_number_means_a_process_of_this_boot_and_namespace_alone() -> None:
    mine = Stamp.of(os.getpid())
    assert (mine.began, mine.boot) == (start_time(os.getpid()), boot())
    assert (mine.alive, mine.gone) == (True, False)
    for other, gone in (
        (replace(mine, boot="before"), True),
        (replace(mine, began=mine.began - 1), True),
        (replace(mine, pids="another"), False),
    ):
        assert (other.alive, other.gone) == (False, gone)
    assert replace(mine, boot="", pids="").alive, "as earlier versions wrote it"


def test_a_stamp_is_read_as_it_was_written() -> None:
    stamp = Stamp(7, 1.5, "boot", "pid")
    assert Stamp.read(stamp.written()) == stamp
    assert Stamp.read([7, 1.5]) == Stamp(7, 1.5)
    for wrong in (None, "ab", [], [1], [1, 2, 3], ["x", 1], [1, "y", "", ""]):
        assert Stamp.read(wrong) is None


# Ownership under shipped profiles


def test_a_shipped_profile_alone_belongs_to_no_checkout(tmp_path: Path) -> None:
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        request = Request.of({}, folder, name="t")
        assert identify(request).checkout == "" == load(request).checkout


def test_a_file_of_ones_own_makes_its_folder_the_checkout(tmp_path: Path) -> None:
    own = tmp_path / "repository"
    (own / "config").mkdir(parents=True)
    (own / "envkit.yaml").write_text("cluster: none\n")
    (own / "config" / "ci.yaml").write_text("cluster: none\n")
    (own / "below").mkdir()
    for flags in ({}, {"profile": "ci"}):
        request = Request.of({}, own / "below", **flags)
        assert identify(request).checkout == str(own) == load(request).checkout
    local = tmp_path / "envkit.local.yaml"
    gateway = str(shipped_folder("config") / "gateway.yaml")
    assert checkout_of((gateway, str(local)), str(tmp_path / "x")) == str(tmp_path)
    assert checkout_of((gateway, str(own / "over.yaml")), str(own)) == str(own)


# Blank names


@pytest.mark.parametrize("blank", ["", " ", "\t"])
@pytest.mark.parametrize("key", ["name", "file", "profile"])
def test_a_blank_choice_is_no_choice(tmp_path: Path, key: str, blank: str) -> None:
    with pytest.raises(UsageError, match="is blank"):
        Request.of({}, tmp_path, **{key: blank})
    with pytest.raises(UsageError, match=f"ENVKIT_{key.upper()} is blank"):
        Request.of({f"ENVKIT_{key.upper()}": blank}, tmp_path)
    if key == "name":
        assert Request.of({"ENVKIT_NAME": blank}, tmp_path, name="given").name == "given"
