import shutil
import socket
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from stages.core.errors import HeadwaterError
from stages.web.sources import download, patience
from stages.web.sources.addresses import networks
from tests.loopback import ALLOWED, Answer, Server, serve

BODY = bytes(range(256)) * 40
ETAG = {"ETag": '"1"'}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(patience, "FIRST_WAIT", 0.01)
    with serve() as running:
        yield running


@pytest.fixture
def web(profile: Path) -> download.Web:
    return download.Web(networks(ALLOWED))


def test_a_download_that_is_cut_off_goes_on_behind_its_last_byte(server: Server, web: download.Web) -> None:
    server.files["/a.warc.gz"] = Answer(BODY, headers=ETAG)
    server.first["/a.warc.gz"] = [Answer(BODY, headers=ETAG, cut=100), Answer(BODY, headers=ETAG, cut=1000)]
    path = web.file(server.url + "a.warc.gz")
    assert path.name == "a.warc.gz"
    assert path.read_bytes() == BODY
    assert server.asked("/a.warc.gz") == ["", "bytes=100-", "bytes=1100-"]


def test_a_process_that_was_killed_is_continued_by_the_next(
    server: Server, web: download.Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["/a"] = Answer(BODY, headers=ETAG, cut=5000)
    monkeypatch.setattr(download, "_TRIES", 1)
    server.first["/a"] = [Answer(BODY, headers=ETAG, cut=5000), Answer(status=500)]
    with pytest.raises(HeadwaterError, match="answers 500, 1 times; the 5,000 bytes that have come are kept"):
        web.file(server.url + "a")
    server.files["/a"] = Answer(BODY, headers=ETAG)
    assert web.file(server.url + "a").read_bytes() == BODY
    assert server.asked("/a")[-1] == "bytes=5000-"


def test_a_file_that_was_replaced_meanwhile_is_begun_again(server: Server, web: download.Web) -> None:
    other = b"other" + BODY
    server.first["/a"] = [Answer(BODY, headers=ETAG, cut=100)]
    server.files["/a"] = Answer(other, headers={"ETag": '"2"'})
    assert web.file(server.url + "a").read_bytes() == other


def test_what_is_here_is_taken_until_it_changes(server: Server, web: download.Web) -> None:
    server.add("/a", BODY)
    for _ in range(2):
        assert web.file(server.url + "a").read_bytes() == BODY
    assert len(server.asked("/a")) == 1
    assert len(server.asked("/a", "HEAD")) == 1
    server.add("/a", b"new")
    assert web.file(server.url + "a").read_bytes() == b"new"
    assert web.file(server.url + "a", immutable=True).read_bytes() == b"new"
    assert len(server.requests) == 4
    del server.files["/a"]  # gone, or the network is
    assert web.file(server.url + "a").read_bytes() == b"new"


def test_a_busy_server_is_given_the_time_it_asks_for_by_all_downloads(server: Server, web: download.Web) -> None:
    server.add("/a", BODY)
    server.add("/b", BODY)
    server.first["/a"] = [Answer(status=503, headers={"Retry-After": "1"}), Answer(status=429), Answer(status=502)]
    start = time.monotonic()
    with ThreadPoolExecutor() as pool:
        first = pool.submit(web.file, server.url + "a")
        while not server.asked("/a"):
            time.sleep(0.01)
        time.sleep(0.1)
        assert web.file(server.url + "b").read_bytes() == BODY
        assert time.monotonic() - start > 1
        assert first.result().read_bytes() == BODY


def test_a_server_that_asks_for_hours_is_left_alone(server: Server, web: download.Web) -> None:
    server.files["/a"] = Answer(status=503, headers={"Retry-After": "86400"})
    with pytest.raises(
        HeadwaterError, match=r"answers 503 and asks to be left alone for 24\.0 hours; what has come is"
    ):
        web.file(server.url + "a")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("7", 7), (" 7 ", 7), ("²", 3), ("-5", 3), ("1.5", 3), ("soon", 3), ("", 3), ("Fri, 31 Dec 99999 23:59:59 GMT", 3),
     ("Mon, 01 Jan 2001 00:00:00 GMT", 0)],
)  # fmt: skip
def test_what_is_asked_for_in_an_odd_way_is_passed_over(retry_after: str, seconds: float) -> None:
    assert patience.seconds_asked(retry_after, 3) == seconds


def test_what_came_before_a_reset_is_kept(server: Server, web: download.Web) -> None:
    server.files["/a"] = Answer(BODY, headers=ETAG)
    server.first["/a"] = [Answer(BODY, headers=ETAG, cut=1000, reset=True) for _ in range(9)]
    assert web.file(server.url + "a").read_bytes() == BODY
    assert server.asked("/a") == ["", *(f"bytes={at}000-" for at in range(1, 10))]


def test_a_download_that_begins_again_each_time_is_given_up(server: Server, web: download.Web) -> None:
    cuts = [5000, 100, 6000, 200, 5900, 300, 5800, 6000]
    server.files["/a"] = Answer(status=403)
    server.first["/a"] = [Answer(BODY, cut=cut) for cut in cuts]  # nothing that a Range could be sure with
    with pytest.raises(HeadwaterError, match="the connection ended early, 5 times; the 6,000 bytes that have come"):
        web.file(server.url + "a")
    assert server.asked("/a") == [""] * len(cuts)


def test_the_body_of_a_redirect_is_not_read(server: Server, web: download.Web) -> None:
    server.add("/b", BODY)
    server.files["/a"] = Answer(bytes(64 << 20), status=302, headers={"Location": "/b"})
    tracemalloc.start()
    try:
        assert web.file(server.url + "a").read_bytes() == BODY
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(status=404), "there is no such file"),
        (Answer(status=403), "the server answers 403: it may refuse .*: run again later"),
        (
            Answer(BODY, status=206, headers={"Content-Range": "bytes 0-9/10"}),
            "a part of another file, or another part",
        ),
        (Answer(status=503), "the server answers 503, 5 times; the 0 bytes"),
        (
            Answer(BODY, headers={"Content-Length": "99999", **ETAG}, cut=None),
            "5 times; the 10,240 bytes that have come",
        ),
        (Answer(status=302, headers={"Location": "/a"}), "it redirects for ever"),
        (Answer(status=302, headers={"Location": "file:///etc/passwd"}), "no URL of http or https"),
        (Answer(status=302, headers={"Location": "http://10.0.0.1/"}), r"10\.0\.0\.1 is at 10\.0\.0\.1, which is not"),
        (Answer(status=302, headers={"Location": "http://[::ffff:10.0.0.1]/"}), "which is not public"),
    ],
)
def test_what_cannot_be_had_is_one_clear_line(server: Server, web: download.Web, answer: Answer, message: str) -> None:
    if "Content-Length" in answer.headers:
        answer.cut = len(BODY)
    server.files["/a"] = answer
    with pytest.raises(HeadwaterError, match=message):
        web.file(server.url + "a")


def test_only_public_addresses_are_connected_to(server: Server, profile: Path) -> None:
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(HeadwaterError, match=r"which is not public: crawl\.allow_private"):
            download.Web(()).file(f"http://{host}:{server.port}/a")
    assert server.requests == []
    with pytest.raises(HeadwaterError, match="no such host"):
        download.Web(()).file("http://nowhere.invalid/a")


def test_a_host_that_cannot_be_reached_is_named(
    server: Server, web: download.Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_TRIES", 2)
    with pytest.raises(HeadwaterError, match=r"http://127\.0\.0\.1:1/a: .*Connection refused, 2 times"):
        web.file("http://127.0.0.1:1/a")


def test_a_part_of_a_file_is_that_part(server: Server, web: download.Web) -> None:
    server.add("/a", BODY)
    assert web.part(server.url + "a", 10, 20) == BODY[10:30]
    server.first["/a"] = [Answer(BODY, headers={"Content-Range": "bytes 10-29/10240"}, status=206, cut=7)]
    assert web.part(server.url + "a", 10, 20) == BODY[10:30]
    with pytest.raises(HeadwaterError, match=r"/a: it ends before byte 10,244, up to which it was asked for"):
        web.part(server.url + "a", len(BODY) - 15, 20)
    server.files["/b"] = Answer(BODY[:20], headers={"Content-Range": "bytes 0-19/10240"}, status=206)
    with pytest.raises(HeadwaterError, match="another part of the file than was asked for, 5 times"):
        web.part(server.url + "b", 10, 20)
    server.files["/c"] = Answer(BODY, headers={"Content-Range": "bytes 10-29/10240"}, status=206)
    with pytest.raises(HeadwaterError, match="more than the 20 bytes that were asked for, 5 times"):
        web.part(server.url + "c", 10, 20)


def test_without_its_work_area_a_download_begins_anew(server: Server, web: download.Web, profile: Path) -> None:
    server.add("/a", BODY)
    web.file(server.url + "a")
    shutil.rmtree(profile)
    assert web.file(server.url + "a").read_bytes() == BODY


def test_a_name_that_resolves_to_something_else_the_second_time_is_not_asked_again(
    server: Server, profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_TRIES", 1)
    resolve = socket.getaddrinfo
    answers = iter(["127.0.0.2", "127.0.0.1", "127.0.0.1"])  # only the first is allowed; a server is at the second

    def rebinding(host: str, *arguments: Any, **settings: Any) -> Any:
        return resolve(next(answers) if host == "rebinding.example" else host, *arguments, **settings)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with pytest.raises(HeadwaterError, match="Connection refused"):
        download.Web(networks(["127.0.0.2/32"])).file(f"http://rebinding.example:{server.port}/a")
    assert server.requests == []
