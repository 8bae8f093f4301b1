import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stages.core.errors import HeadwaterError
from tests.core.test_engines import settle
from tests.crawled import records, run
from tests.loopback import ALLOWED, Answer, Server, serve


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


def page(*targets: str) -> bytes:
    words = "Some words of a page that says what it has to say. " * 3
    return f"<html><body><p>{words}</p>{' '.join(f'<a href={t!r}>x</a>' for t in targets)}</body></html>".encode()


def crawl(tmp_path: Path, server: Server, max_pages: int = 0, delay: float = 0.01, **changes: Any) -> Any:
    settle(crawl={"delay": delay, "timeout": 1})
    section = {"seeds": [server.url], "scope": "host", **changes}
    return run(tmp_path, source="web", max_pages=max_pages, allow_private=ALLOWED, web=section)


def paths(tmp_path: Path, server: Server) -> list[str]:
    return sorted(url.removeprefix(server.url) for url in records(tmp_path))


def test_a_site_is_crawled_within_its_bounds_and_kept(profile: Path, tmp_path: Path, server: Server) -> None:
    server.add("/robots.txt", b"User-agent: *\nDisallow: /secret\n", "text/plain")
    server.add(
        "/",
        page("a", "secret/x", "image.png", "loop", "chain", "gone", "away", "huge", "slow", "http://other.invalid/"),
    )
    server.add("/a", page("b", "/", "a?x=1#part"))
    server.files["/a?x=1"] = server.files["/b"] = Answer(page("c"), headers={"Content-Type": "text/html"})
    server.add("/c", page("d"))  # three links from the seed
    packed = gzip.compress(page())
    server.add("/d", packed, **{"Content-Encoding": "gzip"})
    server.add("/secret/x", page())
    server.add("/image.png", b"x" * 100_000, "image/png")
    server.files["/loop"] = Answer(status=302, headers={"Location": "/loop"})
    for number in range(7):
        server.files[f"/chain{number or ''}"] = Answer(status=302, headers={"Location": f"/chain{number + 1}"})
    server.files["/away"] = Answer(status=302, headers={"Location": "http://169.254.169.254/latest"})
    server.add("/huge", page() + b" " * 3_000_000)
    server.files["/slow"] = Answer(page(), headers={"Content-Length": "99999", "Content-Type": "text/html"})
    metrics, written, manifest = crawl(tmp_path, server, max_depth=3, max_bytes=1_000_000)
    assert paths(tmp_path, server) == ["", "a", "a?x=1", "b", "c"]
    assert not server.asked("/secret/x")
    assert not server.asked("/d")
    dropped = {name: count for name, count in metrics["dropped"].items() if count}
    assert dropped == {"not_html": 1, "redirects": 1, "robots": 1, "status": 1, "too_large": 1, "unreachable": 1}
    assert metrics["out"] == 5
    assert manifest["visit"] == "first"
    first = records(tmp_path)[server.url]
    assert first.headers["warc-ip-address"] == "127.0.0.1"
    assert first.body.endswith(page("a", "secret/x", "image.png", "loop", "chain", "gone", "away", "huge", "slow",
                                    "http://other.invalid/"))  # fmt: skip
    asked = len(server.requests)
    assert crawl(tmp_path, server, max_depth=3, max_bytes=1_000_000, delay=5)[1] == written
    sampled, _, _ = crawl(tmp_path, server, max_pages=2, max_depth=3, max_bytes=1_000_000)
    assert sampled["out"] == 2
    assert len(server.requests) == asked


def test_a_redirect_of_a_seed_moves_its_bounds_but_nothing_leads_to_an_address_that_is_not_permitted(
    profile: Path, tmp_path: Path, server: Server
) -> None:
    with serve("127.0.0.2") as private:
        server.files["/"] = Answer(status=301, headers={"Location": f"http://localhost:{server.port}/home"})
        server.add("/home", page("more", private.url, "hop", "//127.2:80/", "//0x7f000002/"))
        server.files["/hop"] = Answer(status=302, headers={"Location": private.url + "secret"})
        server.add("/more", page())
        settle(crawl={"delay": 0.01, "timeout": 1})
        section = {"seeds": [server.url], "scope": "any"}
        metrics, _, _ = run(tmp_path, source="web", allow_private=["127.0.0.1/32"], web=section)
        assert private.requests == []
    assert sorted(records(tmp_path)) == [f"http://localhost:{server.port}/{name}" for name in ("home", "more")]
    assert metrics["dropped"]["robots"] == 4  # of which there is none to be had


def test_what_robots_cannot_be_asked_about_is_not_fetched_and_a_busy_server_is_given_time(
    profile: Path, tmp_path: Path, server: Server
) -> None:
    server.add("/robots.txt", b"User-agent: Headwater\nCrawl-delay: 0.3\n", "text/plain")
    server.add("/", page("a"))
    server.add("/a", page())
    server.first["/a"] = [Answer(status=503, headers={"Retry-After": "1"})]
    with serve("127.0.0.2") as broken:
        broken.add("/", page())
        broken.files["/robots.txt"] = Answer(status=500)
        start = time.monotonic()
        metrics, _, _ = crawl(tmp_path, server, seeds=[server.url, broken.url])
        assert not broken.asked("/")
    assert time.monotonic() - start > 1.3
    assert metrics["out"] == 2
    assert metrics["dropped"]["robots"] == 1
    assert len(server.asked("/a")) == 2


def test_a_robots_txt_counts_by_its_beginning_however_large_it_is(
    profile: Path, tmp_path: Path, server: Server
) -> None:
    rules = b"User-agent: *\nDisallow: /a\n"
    server.add("/robots.txt", rules + b"# padding\n" * 300_000, "text/plain")
    for name in ("", "a", "b"):
        server.add(f"/{name}", page("a", "b"))
    crawl(tmp_path, server, max_bytes=100_000)
    assert paths(tmp_path, server) == ["", "b"]
    server.add("/robots.txt", gzip.compress(rules + b" " * 50_000_000), "text/plain", **{"Content-Encoding": "gzip"})
    crawl(tmp_path, server, visit="packed", max_bytes=100_000)
    assert paths(tmp_path, server) == ["", "b"]
    server.add("/robots.txt", b"unknown", "text/plain", **{"Content-Encoding": "zstd"})
    with pytest.raises(HeadwaterError, match=r"no page came from .* \(robots 1\)"):
        crawl(tmp_path, server, visit="unknown")


def test_a_host_that_asks_to_be_left_alone_for_hours_is(
    profile: Path, tmp_path: Path, server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    server.add("/", page("a", "b", "c", "d"))
    server.add("/a", page())
    busy = Answer(status=503, headers={"Retry-After": "7200"})
    server.first["/a"] = [busy]
    with serve("127.0.0.2") as other:
        other.add("/", page())
        metrics, _, _ = crawl(tmp_path, server, seeds=[server.url, other.url], delay=0.3)
    assert (
        "127.0.0.1 answers 503 and asks to be left alone for 2.0 hours, the last 1 times: no more"
        in capfd.readouterr().err
    )
    assert metrics["out"] == 2
    # On a machine that is slower than the delay, one more is under way when the answer comes.
    assert metrics["dropped"]["busy"] >= 2
    asked = len(server.requests)
    assert asked <= 4
    server.first["/robots.txt"] = [busy]
    with pytest.raises(HeadwaterError, match=r"no page came from .* \(robots 1\)"):
        crawl(tmp_path, server, visit="again")
    assert len(server.requests) == asked + 1


@pytest.mark.slow
def test_a_host_that_is_always_busy_is_given_up(profile: Path, tmp_path: Path, server: Server) -> None:
    names = [str(number) for number in range(40)]
    server.add("/", page(*names))
    for name in names:
        server.files[f"/{name}"] = Answer(status=503, headers={"Retry-After": "0"})
    metrics, _, _ = crawl(tmp_path, server)
    assert metrics["out"] == 1
    assert metrics["dropped"]["busy"] + metrics["dropped"]["status"] == 40
    assert 32 <= len(server.requests) - 2 <= 33
    for name in names[:-1]:
        server.files[f"/{name}"] = Answer(status=500)
    server.add(f"/{names[-1]}", page())
    metrics, _, _ = crawl(tmp_path, server, visit="broken")
    assert (metrics["out"], metrics["dropped"]["status"]) == (2, 39)


def test_a_page_that_is_a_bomb_is_counted_and_links_are_remembered_within_bounds(
    profile: Path, tmp_path: Path, server: Server
) -> None:
    server.add("/", page("bomb", *(f"x{number}" for number in range(1000))))
    server.add("/bomb", gzip.compress(bytes(9_000_000)), **{"Content-Encoding": "gzip"})
    metrics, _, _ = crawl(tmp_path, server, max_host_pages=2)
    assert metrics["dropped"]["too_large"] == 1
    assert metrics["dropped"]["status"] == 39


@pytest.mark.slow
def test_limits_of_pages_hold_exactly(profile: Path, tmp_path: Path, server: Server) -> None:
    for number in range(30):
        server.add(f"/{number or ''}", page(*(str(other) for other in range(1, 30))))
    metrics, _, _ = crawl(tmp_path, server, visit="a", max_depth=9, max_host_pages=7)
    assert metrics["out"] == 7
    section = {"seeds": [server.url], "scope": "host", "max_pages": 12}
    metrics, _, _ = run(tmp_path, source="web", allow_private=ALLOWED, web=section)
    assert metrics["out"] == 12


CRAWL = """
import sys
from pathlib import Path
from tests.crawled import run
from tests.loopback import ALLOWED
run(Path(sys.argv[1]), source="web", allow_private=ALLOWED,
    web={"seeds": [sys.argv[2]], "scope": "host", "max_depth": 99})
"""


@pytest.mark.slow
def test_a_crawl_that_was_killed_goes_on_where_it_was(profile: Path, tmp_path: Path, server: Server) -> None:
    server.add("/robots.txt", b"", "text/plain")
    for number in range(12):
        server.add(f"/{number or ''}", page(str(number + 1)))
    settle(crawl={"delay": 0.05})
    process = subprocess.Popen([sys.executable, "-c", CRAWL, str(tmp_path), server.url], start_new_session=True)
    while not server.asked("/6"):
        time.sleep(0.01)
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)  # the crawler itself notices
    process.wait()
    (store,) = profile.rglob("captures.warc.gz")
    size = -1
    while size != store.stat().st_size:
        size = store.stat().st_size
        time.sleep(0.3)
    with store.open("ab") as file:
        file.write(gzip.compress(b"WARC/1.1 half a record")[:-10])
    metrics, _, _ = crawl(tmp_path, server, delay=0.05, max_depth=99)
    assert metrics["out"] == 12
    assert metrics["dropped"]["status"] == 1
    assert all(len(server.asked(f"/{number or ''}")) == 1 for number in range(5))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": []}, "crawl.web.seeds is empty"),
        ({"seeds": ["example.org"]}, r"'example\.org' is no URL; write https"),
        ({"seeds": ["ftp://example.org/"]}, "is no URL"),
        ({"seeds": ["http://example.org:port/"]}, "is no URL"),
        ({"delay": 0}, r"crawl\.delay: Input should be greater than 0, got 0"),
    ],
)
def test_a_crawl_that_cannot_begin_is_one_clear_line(
    profile: Path, tmp_path: Path, server: Server, changes: Any, message: str
) -> None:
    with pytest.raises(HeadwaterError, match=message):
        crawl(tmp_path, server, **changes)
