"""Tests of ownership on real runtimes: no command of another user or checkout changes or removes anything."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.support import ports
from tests.support.actor import OTHER_USER, Actor
from tests.support.box import Said, eventually
from tests.support.engines import Engine
from tests.support.relay import Relay

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.getuid() != 0, reason="two users are needed, and only root can be another one"),
]

RUNTIMES = [
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("podman", marks=pytest.mark.podman),
    "processes",
]

VERBS = (
    ("up", "--build"), ("restart", "web"), ("reset",), ("pause",), ("run", "--", "true"), ("down",),
)  # fmt: skip
"""Every command that changes or removes something.

`load` needs a cluster with nodes; the tests run `prune` separately.
"""


@dataclass
class Place:
    """An environment that is up, the user who brought it up, and methods to act as other users."""

    owner: Actor
    engine: Engine | None
    port: int
    image: str

    def seen(self) -> list[str]:
        """Return the ids of all running parts, as the engine or the kernel reports them."""
        if self.engine:
            return sorted(row["Id"] for row in self.engine.rows(self.owner.name) if row["State"]["Status"] == "running")
        return sorted(str(pid) for pid in leaders(self.owner.name))

    def actor(self, **changes: object) -> Actor:
        """Return another user or checkout with the same configuration."""
        return self.owner.other(**changes).write(self.port, self.image)

    def up(self) -> list[str]:
        """Bring the environment up as its owner and return the ids of its parts."""
        self.owner("up").ok()
        return self.seen()


def leaders(name: str) -> list[int]:
    """Return the running processes of the environment that lead a session."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("ENVKIT_ENV") == name and os.getsid(process.pid) == process.pid:
                found += [process.pid] if process.status() != psutil.STATUS_STOPPED else []
        except (psutil.Error, OSError):
            continue
    return found


@pytest.fixture(scope="module", params=RUNTIMES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Yield one environment for each runtime; each case leaves it up or brings it up again."""
    folder = Path(tempfile.mkdtemp(prefix="envkit-owner-", dir="/var/tmp"))
    folder.chmod(0o755)
    name = f"own-{request.param[0]}{uuid.uuid4().hex[:6]}"
    (port,) = ports.free()
    engine = Engine(request.param) if request.param != "processes" else None
    relay = Relay(Path(urlsplit(engine.url).path), folder / "engine.sock") if engine else None
    lane = "containers" if engine else "embedded"
    variables = {"DOCKER_HOST": relay.url, "ENVKIT_ENGINE": request.param} if relay else {}
    image = engine.python if engine else "none"
    owner = Actor(name, folder, lane, variables).write(port, image)
    try:
        yield Place(owner, engine, port, image)
        owner("down", "--force")
    finally:
        if engine:
            engine.sweep(name)
            engine.close()
        if relay:
            relay.die()
        for pid in leaders(name):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder)


def refused(place: Place, stranger: Actor, because: str) -> None:
    """Check that no command changes anything, and that each command states the reason."""
    before = place.up()
    for verb in VERBS:
        said = stranger(*verb)
        assert place.seen() == before, f"{verb}: {said}"
        assert said.code != 0, said
        assert because in said.err, said
        assert "internal error" not in said.err, said
    said = stranger("prune", place.owner.name, "--yes")
    assert place.seen() == before, said
    assert place.owner("status").code == 0, "the owner's files are whole"


def test_another_checkout_changes_nothing(place: Place) -> None:
    refused(place, place.actor(checkout="other"), f"belongs to {place.owner.folder}/checkout, and this is")


def test_another_state_directory_changes_nothing(place: Place) -> None:
    stranger = place.actor(state="elsewhere")
    refused(place, stranger, f"belongs to the state directory {place.owner.home}")


def test_another_user_changes_nothing(place: Place) -> None:
    stranger = place.actor(user=OTHER_USER, state="theirs", checkout="theirs-too")
    before = place.up()
    for verb in VERBS:
        said = stranger(*verb)
        assert place.seen() == before, f"{verb}: {said}"
        if place.engine:  # a user cannot inspect other users' processes, only containers
            assert said.code == 2 or verb[0] == "run", said
            assert f"belongs to user 0, and this is user {OTHER_USER}" in said.err, said
    assert stranger("up").code != 0
    stranger("prune", place.owner.name, "--yes")
    assert place.seen() == before
    assert place.owner("status").code == 0


def test_another_mount_namespace_counts_where_there_is_no_engine(place: Place) -> None:
    inside = place.actor(before=("unshare", "--mount"))
    if place.engine:
        place.up()
        inside("restart", "web").ok()
        return
    refused(place, inside, "runs in another mount namespace")


def test_what_was_brought_up_where_its_folder_is_not_seen_from_here_stays(place: Place) -> None:
    """An example is a job's container that shares the PID namespace but has a separate checkout and state directory."""
    place.owner("down").ok()
    hidden = Path(tempfile.mkdtemp(prefix="envkit-hidden-", dir="/var/tmp"))
    mounted = ("unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {hidden} && cp -r "$0" {hidden}/x && "$@"')
    words = (*mounted, str(place.owner.folder / "checkout"))
    inside = place.owner.other(before=words, variables={**place.owner.variables, "ENVKIT_STATE_DIR": f"{hidden}/state"})
    try:
        inside("up", "-f", f"{hidden}/x/envkit.yaml").ok()
        before = place.seen()
        assert before
        for name in (place.owner.name, ""):
            said = place.owner("prune", *filter(None, [name]), "--yes")
            assert place.seen() == before, said
    finally:
        place.owner("down", "--force")
        hidden.rmdir()
    assert place.seen() == []


def test_all_is_found_by_its_labels_where_the_record_is_lost(place: Place) -> None:
    place.up()
    shutil.rmtree(place.owner.home)
    place.owner.home.mkdir()
    assert "web" in place.owner("down").ok().err
    assert place.seen() == []


def test_a_name_that_somebody_else_uses_now_is_theirs(place: Place) -> None:
    place.up()
    kept = place.owner.folder / "kept"
    shutil.copytree(place.owner.home, kept)
    place.owner("down").ok()
    second = place.actor(state="elsewhere", checkout="other")
    try:
        second("up").ok()
        before = place.seen()
        shutil.rmtree(place.owner.home)
        kept.rename(place.owner.home)
        for verb in VERBS:
            said = place.owner(*verb)
            assert place.seen() == before, said
            assert said.code in (2, 3, 4, 125), said
        assert not (place.owner.home / place.owner.name).exists(), "its own files went all the same"
    finally:
        second("down").ok()


def test_a_reboot_leaves_containers_ours_and_makes_numbers_meaningless(place: Place) -> None:
    before = place.up()
    if place.engine:
        for identity in before:  # an engine does this when the machine starts
            place.engine.api.restart(identity, timeout=1)
        place.owner("up").ok()
        assert place.seen() == before
        place.owner("down").ok()
        return
    record = Path(f"/var/tmp/envkit-{place.owner.name}/web/instance.json")
    bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        place.owner("down").ok()
        raw = {**instance_of(place), "id": str(bystander.pid), "boot": "an earlier one"}
        record.write_text(json.dumps({**raw, "began": began(bystander.pid)}))
        assert place.owner("status").code == 4
        place.owner("down").ok()
        assert bystander.poll() is None
        assert not record.exists()
    finally:
        bystander.kill()
        bystander.wait()


def instance_of(place: Place) -> dict[str, object]:
    """Return a record of this environment's service; kill the service, but leave its folder."""
    place.owner("up").ok()
    folder = Path(f"/var/tmp/envkit-{place.owner.name}/web")
    raw: dict[str, object] = json.loads((folder / "instance.json").read_text())
    for pid in leaders(place.owner.name):
        os.killpg(pid, signal.SIGKILL)
    assert eventually(lambda: not leaders(place.owner.name), 10)
    return raw


def began(pid: int) -> float:
    from envkit.drivers.runtimes.process_table import start_time

    return start_time(pid)


def test_force_takes_what_somebody_else_brought_up(place: Place) -> None:
    place.up()
    stranger = place.actor(state="elsewhere", checkout="other")
    stranger("down", "--force").ok()
    assert place.seen() == []
    said: Said = place.owner("down")
    assert said.code == 0, said
