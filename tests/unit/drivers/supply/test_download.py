"""Tests of downloads from a faulty server on 127.0.0.1."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from envkit.base.errors import Cancelled
from envkit.base.waiting import Cancel
from envkit.drivers.supply.binaries.download import Digest, Http
from envkit.drivers.supply.binaries.models import Rejected
from envkit.drivers.supply.binaries.web import is_spared
from tests.unit.drivers.supply.test_fake_supply import Site, serving, sha256

CONTENT = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site(files={"/etcd": CONTENT})) as it:
        yield it


def client(seconds: float = 5.0) -> Http:
    return Http({}, patience=seconds, first_pause=0.01)


def download(
    site: Site, work: Path, *, http: Http | None = None, said: list[str] | None = None, digest: str = "",
    cancel: Cancel | None = None, path: str = "/etcd",
) -> bytes:  # fmt: skip
    report = said.append if said is not None else print
    wanted = Digest("sha256", digest or sha256(CONTENT))
    got = (http or client()).file(
        f"{site.base}{path}", wanted, work, what="etcd 3.5", report=report, cancel=cancel or Cancel()
    )
    return got.read_bytes()


def test_a_file_arrives_whole_with_progress(site: Site, tmp_path: Path) -> None:
    said: list[str] = []
    assert download(site, tmp_path, said=said) == CONTENT
    assert said[0] == "etcd 3.5: downloading 0.0 of 1 MiB"
    assert [path.suffix for path in tmp_path.iterdir()] == [""]


def test_a_file_that_is_here_is_not_fetched_again(site: Site, tmp_path: Path) -> None:
    download(site, tmp_path)
    download(site, tmp_path)
    assert len(site.asked) == 1


def test_a_cut_line_is_gone_on_from_where_it_was_cut(site: Site, tmp_path: Path) -> None:
    site.cut_after = [600_000, 300_000]
    said: list[str] = []
    assert download(site, tmp_path, said=said) == CONTENT
    ranges = [wanted for _, wanted in site.asked]
    assert len(ranges) == 3 and ranges[0] == ""
    starts = [int(wanted.removeprefix("bytes=").removesuffix("-")) for wanted in ranges[1:]]
    assert 0 < starts[0] <= 600_000 < starts[1] <= 900_000
    assert any(line.startswith("the connection to 127.0.0.1 broke") and "; trying again in " in line for line in said)


def test_a_server_without_ranges_is_asked_for_everything_again(site: Site, tmp_path: Path) -> None:
    site.cut_after, site.ranges = [600_000], False
    assert download(site, tmp_path) == CONTENT


def test_the_next_run_goes_on_as_well(site: Site, tmp_path: Path) -> None:
    partial = tmp_path / f"{sha256(CONTENT)[:40]}.part"
    partial.write_bytes(CONTENT[:1000])
    said: list[str] = []
    assert download(site, tmp_path, said=said) == CONTENT
    assert site.asked == [("/etcd", "bytes=1000-")]
    assert said[0].startswith("etcd 3.5: continuing")


@pytest.mark.parametrize("left", [b"something else", CONTENT, CONTENT + b"more"])
def test_a_partial_file_of_something_else_does_no_harm(site: Site, tmp_path: Path, left: bytes) -> None:
    (tmp_path / f"{sha256(CONTENT)[:40]}.part").write_bytes(left)
    assert download(site, tmp_path) == CONTENT


def test_busy_servers_are_asked_again(site: Site, tmp_path: Path) -> None:
    site.answers = [503, 429, 500]
    assert download(site, tmp_path) == CONTENT


def test_a_server_that_stays_busy_is_given_up_with_its_answer(site: Site, tmp_path: Path) -> None:
    site.answers = [503] * 1000
    with pytest.raises(Rejected, match=r"the server answers 503 \(tried for 0\.3 s\)"):
        download(site, tmp_path, http=client(0.3))


def test_another_content_than_published_is_never_kept(site: Site, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="does not have the known digest: expected sha256 0000"):
        download(site, tmp_path, http=client(0.3), digest="0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_is_not_asked_for_again(site: Site, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="the server answers 404"):
        download(site, tmp_path, path="/nothing")
    assert len(site.asked) == 1


def test_moved_files_are_followed(site: Site, tmp_path: Path) -> None:
    site.moved["/old"] = f"{site.base}/etcd"
    assert download(site, tmp_path, path="/old") == CONTENT


def test_nobody_there_is_said_at_once(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, but not listening: the kernel refuses connections
        nowhere = Site(base=f"http://127.0.0.1:{held.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(Rejected, match=r"127\.0\.0\.1 cannot be reached: .*refused"):
            download(nowhere, tmp_path)
    assert time.monotonic() - began < 1


def test_a_name_that_does_not_resolve_is_said_in_plain_words() -> None:
    with pytest.raises(
        Rejected, match=r"^envkit\.invalid cannot be reached: its name does not resolve \(no network\?\)$"
    ):
        client().text("http://envkit.invalid/SHA256SUMS", Cancel())


def test_cancelling_ends_a_download_and_keeps_what_arrived(site: Site, tmp_path: Path) -> None:
    cancel = Cancel()
    site.answers = [503] * 1000
    threading.Timer(0.2, cancel.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        download(site, tmp_path, cancel=cancel, http=client(30))
    assert time.monotonic() - began < 2


def test_the_proxy_of_the_environment_is_used(site: Site) -> None:
    http = Http({"http_proxy": site.base}, patience=1)
    site.files["http://far.invalid/sums"] = b"through the proxy"
    assert http.text("http://far.invalid/sums", Cancel()) == "through the proxy"


def test_a_proxy_that_is_not_there_is_named_as_the_reason() -> None:
    http = Http({"https_proxy": "http://proxy.invalid:3128"}, patience=1)
    with pytest.raises(Rejected, match=r"^far\.invalid cannot be reached: the proxy failed: its name does not resolve"):
        http.text("https://far.invalid/sums", Cancel())


def test_what_no_proxy_names_is_asked_directly(site: Site) -> None:
    site.files["/sums"] = b"directly"
    http = Http({"http_proxy": "http://proxy.invalid:3128", "NO_PROXY": "localhost, 127.0.0.1"}, patience=1)
    assert http.text(f"{site.base}/sums", Cancel()) == "directly"


@pytest.mark.parametrize(
    ("host", "spared", "expected"),
    [
        ("a.example.org", ".example.org", True), ("a.example.org", "example.org", True), ("example.org", "*", True),
        ("notexample.org", "example.org", False), ("example.org", "", False), ("example.org", "org.example", False),
    ],
)  # fmt: skip
def test_names_and_domains_in_no_proxy(host: str, spared: str, expected: bool) -> None:
    assert is_spared(host, spared) is expected
