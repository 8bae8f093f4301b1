"""What a crawl has fetched is there again after it was stopped, whatever lies behind it in the file."""

import gzip
from pathlib import Path

import pytest

from stages.web.sources.capture_store import CaptureStore


@pytest.mark.parametrize(
    "tail",
    [
        b"",
        gzip.compress(b"WARC/1.1 half a record")[:-10],
        bytes(4096),
        gzip.compress(b"WARC/1.1\r\n")[:12] + bytes(4096),
    ],
    ids=["nothing", "half a record", "zeros, as after a loss of power", "a record that ends in zeros"],
)
def test_whole_responses_are_kept_and_the_rest_is_cut_off(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "captures.warc.gz"
    with CaptureStore(path) as store:
        for number in range(3):
            store.add(f"http://example.org/{number}", 200, [("Content-Type", "text/html")], b"<p>%d" % number, "")
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(tail)
    with CaptureStore(path) as store:
        assert (len(store.stored), path.stat().st_size) == (3, size)
        store.add("http://example.org/3", 200, [], b"<p>3", "")
    with CaptureStore(path) as store:
        records = [store.record(f"http://example.org/{number}") for number in range(5)]
    assert [record and record.body[-4:] for record in records] == [b"<p>0", b"<p>1", b"<p>2", b"<p>3", None]
