import base64
import gzip
import hashlib
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from stages.core.errors import HeadwaterError
from stages.web.sources import commoncrawl, download, patience
from tests import warcs
from tests.crawled import records, run
from tests.loopback import ALLOWED, Answer, Server, serve

SNAPSHOT = "CC-MAIN-2025-33"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(patience, "FIRST_WAIT", 0.01)
    with serve() as running:
        yield running


def crawl(tmp_path: Path, server: Server, max_pages: int = 0, **changes: Any) -> Any:
    section = {"base": server.url, "index": server.url + "index", "snapshot": SNAPSHOT, **changes}
    return run(tmp_path, source="commoncrawl", max_pages=max_pages, allow_private=ALLOWED, commoncrawl=section)


def publish(server: Server, count: int) -> dict[str, bytes]:
    """A snapshot of files with three pages each; the files by path."""
    files = {}
    for number in range(count):
        path = f"crawl-data/{SNAPSHOT}/segments/1.{number % 3}/warc/CC-MAIN-{number:05}.warc.gz"
        found = [warcs.response(warcs.html(number * 3 + k), f"http://example.org/{number}/{k}") for k in range(3)]
        files[path] = b"".join(warcs.gz(found))
        server.add(f"/{path}", files[path])
    server.add(f"/crawl-data/{SNAPSHOT}/warc.paths.gz", gzip.compress("\n".join(files).encode()))
    return files


def test_files_of_a_snapshot_are_taken_as_they_are_and_more_files_hold_the_fewer(
    profile: Path, tmp_path: Path, server: Server
) -> None:
    files = publish(server, 8)
    by_name = {path.rpartition("/")[2]: data for path, data in files.items()}
    _, few, manifest = crawl(tmp_path, server, files=2)
    assert manifest["snapshot"] == SNAPSHOT
    assert {path.rpartition("/")[2] for path in manifest["files"]} == set(few)
    server.requests.clear()
    metrics, more, _ = crawl(tmp_path, server, files=5)
    assert metrics["in"] == metrics["out"] == 15
    assert few.items() < more.items() < by_name.items()
    # The listing is only asked whether it has changed, and what is here is not asked for.
    assert sum(method == "GET" for method, _, _ in server.requests) == 3


def test_a_listing_is_read_whole_and_each_file_taken_once(profile: Path, tmp_path: Path, server: Server) -> None:
    files = list(publish(server, 4))
    listing = b"".join(gzip.compress(f"{path}\r\n".encode()) for path in [*files, *files])
    server.add(f"/crawl-data/{SNAPSHOT}/warc.paths.gz", listing)
    _, written, manifest = crawl(tmp_path, server, files=0)
    assert manifest["files"] == files
    assert len(written) == 4


def test_what_a_proxy_says_in_place_of_a_file_is_not_kept(profile: Path, tmp_path: Path, server: Server) -> None:
    files = publish(server, 2)
    for path in (f"crawl-data/{SNAPSHOT}/warc.paths.gz", next(iter(files))):
        right = server.files["/" + path]
        server.files["/" + path] = Answer(b"<html>Sign in to the hotel's network</html>" + bytes(len(right.body) - 43))
        with pytest.raises(
            HeadwaterError, match=f"{path}: (no list of paths|what comes is no archive).*run again later"
        ):
            crawl(tmp_path, server, files=0)
        server.files["/" + path] = Answer(right.body)  # nothing but the content tells one from the other
    _, written, _ = crawl(tmp_path, server, files=0)
    assert sorted(written.values()) == sorted(files.values())


def test_where_one_file_is_refused_the_others_end_soon_and_go_on_later(
    profile: Path, tmp_path: Path, server: Server
) -> None:
    files = publish(server, 2)
    refused, slow = (f"/{path}" for path in files)
    right = server.files[refused]
    server.files[refused] = Answer(status=403, delay=1)  # by when the other has begun
    body = gzip.compress(random.Random(1).randbytes(40_000))
    server.files[slow] = Answer(body, headers={"ETag": '"1"'}, pause=0.25)
    start = time.monotonic()
    with pytest.raises(HeadwaterError, match="the server answers 403"):
        crawl(tmp_path, server, files=0)
    assert time.monotonic() - start < 5
    server.files[refused], server.files[slow] = right, Answer(body, headers={"ETag": '"1"'})
    crawl(tmp_path, server, files=0)
    assert server.asked(slow)[1].startswith("bytes=")


def test_a_sample_of_pages_is_taken_over_all_files(profile: Path, tmp_path: Path, server: Server) -> None:
    publish(server, 4)
    metrics, _, _ = crawl(tmp_path, server, max_pages=5, files=0)
    assert metrics["dropped"] == {"not_sampled": 7}
    assert len(records(tmp_path)) == 5


def index(server: Server, rows: list[dict[str, Any]], pattern: str, per_page: int = 2) -> None:
    query = f"/index/{SNAPSHOT}-index?url={quote(pattern, safe='')}&output=json"
    pages = [rows[at : at + per_page] for at in range(0, len(rows), per_page)]
    server.add(f"{query}&showNumPages=true", json.dumps({"pages": len(pages), "pageSize": 5, "blocks": 9}).encode())
    for number, page in enumerate(pages):
        server.add(f"{query}&page={number}", b"\n".join(json.dumps(row).encode() for row in page))


def archive(server: Server, count: int) -> tuple[list[dict[str, Any]], list[bytes]]:
    """An archive of pages with digests, and the index's rows for them."""
    members, rows = [], []
    offset = 0
    for number in range(count):
        body = warcs.html(number)
        digest = base64.b32encode(hashlib.sha1(body).digest()).decode()
        url = f"http://example.org/{number}"
        record = warcs.response(body, url).replace(b"WARC-Date", b"WARC-Payload-Digest: sha1:%b\r\nWARC-Date"
                                                   % digest.encode(), 1)  # fmt: skip
        members += warcs.gz([record])
        rows.append({
            "urlkey": f"org,example)/{number}", "timestamp": "20250102030405", "url": url, "mime": "text/html",
            "mime-detected": "text/html", "status": "200", "digest": digest, "length": str(len(members[-1])),
            "offset": str(offset), "filename": f"crawl-data/{SNAPSHOT}/a.warc.gz",
        })  # fmt: skip
        offset += len(members[-1])
    server.add(f"/crawl-data/{SNAPSHOT}/a.warc.gz", b"".join(members))
    return rows, members


def test_captures_of_urls_are_fetched_by_range_and_only_those(profile: Path, tmp_path: Path, server: Server) -> None:
    rows, members = archive(server, 6)
    rows[1]["status"] = "404"
    rows[2]["mime-detected"] = "image/png"
    index(server, rows[:5], "example.org/*")
    index(server, rows[4:5], "http://example.org/4")
    metrics, written, manifest = crawl(tmp_path, server, urls=["example.org/*", "http://example.org/4"])
    assert metrics["dropped"] == {"no_page": 0, "not_html": 1, "not_sampled": 0, "status": 1, "too_large": 0}
    assert sorted(b"".join(written.values()).split(b"\x1f\x8b\x08")) == sorted(
        b"".join(members[number] for number in (0, 3, 4)).split(b"\x1f\x8b\x08")
    )
    assert manifest["captures"] == 3
    asked = server.asked(f"/crawl-data/{SNAPSHOT}/a.warc.gz")
    assert sorted(asked) == sorted(
        f"bytes={rows[n]['offset']}-{int(rows[n]['offset']) + int(rows[n]['length']) - 1}" for n in (0, 3, 4)
    )
    crawl(tmp_path, server, urls=["example.org/*", "http://example.org/4"])
    assert len(server.asked(f"/crawl-data/{SNAPSHOT}/a.warc.gz")) == 3


def test_captures_are_sampled_before_they_are_fetched(profile: Path, tmp_path: Path, server: Server) -> None:
    rows, _ = archive(server, 9)
    index(server, rows, "example.org/*")
    metrics, _, _ = crawl(tmp_path, server, max_pages=4, urls=["example.org/*"])
    assert metrics["out"] == 4
    assert metrics["dropped"]["not_sampled"] == 5
    assert len(server.asked(f"/crawl-data/{SNAPSHOT}/a.warc.gz")) == 4


def test_captures_that_were_fetched_before_a_stop_are_not_fetched_again(
    profile: Path, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, members = archive(server, 6)
    index(server, rows, "example.org/*")
    monkeypatch.setattr(commoncrawl, "_CONNECTIONS", 1)
    path = f"/crawl-data/{SNAPSHOT}/a.warc.gz"
    whole = server.files[path]
    server.first[path] = [whole, whole, Answer(status=403)]
    with pytest.raises(HeadwaterError, match=r"a\.warc\.gz: the server answers 403"):
        crawl(tmp_path, server, urls=["example.org/*"])
    (partial,) = profile.rglob("partial")
    with partial.open("ab") as file:
        file.write(b"half a record")  # as a kill leaves it
    _, written, _ = crawl(tmp_path, server, urls=["example.org/*"])
    assert b"".join(written.values()) == b"".join(members)
    assert len(server.asked(path)) == 3 + 4


def test_a_capture_that_is_not_what_the_index_says_is_asked_for_again(
    profile: Path, tmp_path: Path, server: Server
) -> None:
    rows, members = archive(server, 1)
    index(server, rows, "example.org/*")
    path = f"/crawl-data/{SNAPSHOT}/a.warc.gz"
    server.first[path] = [Answer(warcs.flip(members[0], 60))]
    _, written, _ = crawl(tmp_path, server, urls=["example.org/*"])
    assert list(written.values()) == members


def test_captures_of_which_none_is_a_record_are_not_kept(profile: Path, tmp_path: Path, server: Server) -> None:
    rows, members = archive(server, 3)
    index(server, rows, "example.org/*")
    path = f"/crawl-data/{SNAPSHOT}/a.warc.gz"
    right = server.files[path]
    server.files[path] = Answer(b"x" * len(right.body))
    with pytest.raises(HeadwaterError, match=r"nothing that came of it is a record, where the index has 3; run again"):
        crawl(tmp_path, server, urls=["example.org/*"])
    server.files[path] = right
    assert b"".join(crawl(tmp_path, server, urls=["example.org/*"])[1].values()) == b"".join(members)


def test_captures_that_are_no_pages_are_counted_as_such(profile: Path, tmp_path: Path, server: Server) -> None:
    rows, _ = archive(server, 4)
    rows[2]["offset"] = "7"
    index(server, rows, "example.org/*")
    metrics, _, _ = crawl(tmp_path, server, urls=["example.org/*"])
    assert (metrics["out"], metrics["dropped"]["no_page"], metrics["dropped"]["not_sampled"]) == (3, 1, 0)


@pytest.mark.parametrize(
    "line",
    [b"[1]", b"[" * 100_000, b"{broken", b"<html>",
     b'{"filename": 5, "offset": 1, "length": 2}', b'{"filename": "a", "offset": "-1", "length": "2"}',
     b'{"filename": "a", "offset": "1", "length": "0"}', b'{"filename": "a", "offset": NaN, "length": "2"}'],
)  # fmt: skip
def test_a_line_of_the_index_that_is_none_is_one_clear_line(
    profile: Path, tmp_path: Path, server: Server, line: bytes
) -> None:
    query = f"/index/{SNAPSHOT}-index?url=example.org&output=json"
    server.add(f"{query}&showNumPages=true", b'{"pages": 1}')
    server.add(f"{query}&page=0", b"\n" + line)
    with pytest.raises(HeadwaterError, match=r"not what a CDX server answers: .*; run again later") as caught:
        crawl(tmp_path, server, urls=["example.org"])
    assert len(str(caught.value)) < 400


def test_what_does_not_exist_is_one_clear_line(
    profile: Path, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(server, 1)
    server.add("/index/collinfo.json", json.dumps([{"id": SNAPSHOT}, {"id": "CC-MAIN-2024-10"}]).encode())
    with pytest.raises(HeadwaterError, match=r"no such file .*did you mean 'CC-MAIN-2025-33'"):
        crawl(tmp_path, server, snapshot="CC-MAIN-2025-34")
    with pytest.raises(HeadwaterError, match=r"'\.\./x' is no name of a snapshot"):
        crawl(tmp_path, server, snapshot="../x")
    with pytest.raises(HeadwaterError, match=r"no captures of example\.net in CC-MAIN-2025-33"):
        crawl(tmp_path, server, urls=["example.net"])
    query = f"/index/{SNAPSHOT}-index?url=example.com&output=json"
    server.add(f"{query}&showNumPages=true", b'{"pages": 1}')
    server.add(f"{query}&page=0", b'{"message": "No Captures found for: example.com"}')
    with pytest.raises(HeadwaterError, match=r"no captures of example\.com in CC-MAIN-2025-33"):
        crawl(tmp_path, server, urls=["example.com"])
    with pytest.raises(HeadwaterError, match="kind must be warc"):
        crawl(tmp_path, server, urls=["example.net"], kind="wet")
    for listing in (b"no gzip", gzip.compress(b"../../etc/passwd\n"), gzip.compress(b"a\n" * 9999)[:-9]):
        server.add(f"/crawl-data/{SNAPSHOT}/warc.paths.gz", listing)
        with pytest.raises(HeadwaterError, match=r"warc\.paths\.gz: no list of paths"):
            crawl(tmp_path, server)
    index(server, [{"filename": "../../x", "offset": "1", "length": "2"}], "example.org")
    with pytest.raises(HeadwaterError, match="not what a CDX server answers"):
        crawl(tmp_path, server, urls=["example.org"])
    monkeypatch.setattr(download, "_TRIES", 2)
    with pytest.raises(HeadwaterError, match=r"127\.0\.0\.1:1/.*Connection refused"):
        crawl(tmp_path, server, base="http://127.0.0.1:1/", snapshot="CC-MAIN-2020-05")
