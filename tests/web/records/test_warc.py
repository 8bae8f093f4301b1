import time
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator

from stages.web.records import warc
from tests import warcs

REAL = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "warc"
MAX = 1 << 20


def read(path: Path, max_bytes: int = MAX) -> tuple[list[warc.Record], warc.Loss]:
    loss = warc.Loss()
    return list(warc.read(path, max_bytes, loss)), loss


def urls(records: list[warc.Record]) -> list[str]:
    return [record.url.rpartition("/")[2] for record in records if not record.problem]


@pytest.mark.parametrize("compress", [warcs.gz, warcs.zst, list], ids=["gzip", "zstd", "plain"])
def test_a_record_is_found_again_at_its_offset(tmp_path: Path, compress) -> None:  # type: ignore[no-untyped-def]
    path = warcs.write(tmp_path / "a.warc", b"".join(compress(warcs.pages(5))))
    records, loss = read(path)
    assert urls(records) == ["0", "1", "2", "3", "4"]
    assert loss.stretches == 0
    assert records[3].date == warcs.DATE
    assert next(warc.read_at(path, records[3].offset, MAX)) == records[3]


def test_a_record_is_the_same_however_its_archive_is_packed(tmp_path: Path) -> None:
    first, second, third = warcs.pages(3)
    odd = [
        third.replace(b"Content-Length", b"content-LENGTH"),
        third.replace(b"WARC-Date", b"X-Folded: a\r\n\tb\r\nWARC-Date"),
        third.replace(b"WARC-Type: response\r\n", b""),
        third.removesuffix(b"\r\n"),
        third + b"\r\n\r\n",
        third.replace(b"\r\n", b"\n"),
        warcs.record(b"", "metadata"),
    ]
    for one in odd:
        found = []
        for packed in (warcs.gz([first, one, second]), warcs.gz([first + one + second]), [first, one, second]):
            records, loss = read(warcs.write(tmp_path / "a.warc", b"".join(packed)))
            found.append([(*vars(record).values(),)[1:] for record in records])
            assert loss.stretches == 0
        assert found[0] == found[1] == found[2]
        assert len(found[0]) == 3


@pytest.mark.parametrize("compress", [warcs.gz, warcs.zst], ids=["gzip", "zstd"])
def test_a_flipped_byte_costs_one_record(tmp_path: Path, compress) -> None:  # type: ignore[no-untyped-def]
    members = compress(warcs.pages(5))
    for at in (0, 3, len(members[2]) // 2, len(members[2]) - 5):  # magic, header, content, checksum
        damaged = [*members[:2], warcs.flip(members[2], at), *members[3:]]
        records, loss = read(warcs.write(tmp_path / "a.warc", b"".join(damaged)))
        assert urls(records) == ["0", "1", "3", "4"]
        assert (loss.stretches, loss.bytes) == (1, len(members[2]))
        (lost,) = [record for record in records if record.problem]
        assert lost.offset == len(members[0] + members[1])
        # What is before the damage may tell which page is lost.
        assert (lost.url, lost.problem) in (("http://example.org/2", "damaged"), ("", "unreadable"))
        if compress is warcs.gz:  # a zstd block is decoded as a whole or not at all
            assert (lost.problem == "damaged") == (at > len(members[2]) // 2)


@pytest.mark.parametrize("compress", [warcs.gz, warcs.zst], ids=["gzip", "zstd"])
def test_a_truncated_archive_keeps_what_is_before(tmp_path: Path, compress) -> None:  # type: ignore[no-untyped-def]
    members = compress(warcs.pages(3))
    for cut in (1, 6, len(members[2]) - 8):
        records, loss = read(warcs.write(tmp_path / "a.warc", b"".join(members)[:-cut]))
        assert urls(records) == ["0", "1"]
        assert loss.bytes == len(members[2]) - cut


def test_a_plain_archive_goes_on_behind_garbage_and_ends_where_it_is_cut(tmp_path: Path) -> None:
    first, second, third = warcs.pages(3)
    path = warcs.write(tmp_path / "a.warc", first + b"x" * 100 + b"\n" + second + third[:-50])
    records, loss = read(path)
    assert urls(records) == ["0", "1"]
    assert records[-1].problem == "truncated"
    assert loss.stretches == 2
    assert loss.bytes >= 101


def test_records_too_large_are_named_and_not_kept(tmp_path: Path) -> None:
    large = warcs.response(b"<p>" + b"x" * 5000, "http://example.org/large")
    path = warcs.write(tmp_path / "a.warc.gz", b"".join(warcs.gz([*warcs.pages(1), large, *warcs.pages(1)])))
    records, loss = read(path, 2000)
    assert [record.problem for record in records] == ["", "too_large", ""]
    assert records[1].body == b""
    assert records[1].url == "http://example.org/large"
    assert loss.stretches == 0


def test_a_bomb_is_given_up_and_its_neighbours_are_kept(tmp_path: Path) -> None:
    first, last = warcs.gz(warcs.pages(2))
    encoder = zlib.compressobj(9, wbits=31)
    zeros = b"\0" * (1 << 20)
    bomb = encoder.compress(warcs.record(b"")[:-4].replace(b"Length: 0", b"Length: 4000000000") + b"\r\n\r\n")
    bomb += b"".join(encoder.compress(zeros) for _ in range(100)) + encoder.flush()
    records, loss = read(warcs.write(tmp_path / "a.warc.gz", first + bomb + last))
    assert urls(records) == ["0", "1"]
    assert loss.bytes == len(bomb)


def test_what_is_no_archive_is_lost_as_a_whole(tmp_path: Path) -> None:
    for data in (
        b"",
        b"\0" * 5000,
        b"<html>no archive</html>\n" * 100,
        b"\x1f\x8b\x08\x00garbage",
        b"WARC/1.0\r\n\r\n",
    ):
        records, loss = read(warcs.write(tmp_path / "a.warc.gz", data))
        assert [(record.offset, record.problem) for record in records] == [(0, "unreadable")][: len(data)]
        assert loss.bytes == len(data)


def lying(record: bytes, length: object) -> bytes:
    """The record with another Content-Length than its own."""
    head, _, block = record.partition(b"\r\n\r\n")
    fields, _, _ = head.rpartition(b"Content-Length: ")
    return fields + f"Content-Length: {length}\r\n\r\n".encode() + block


@pytest.mark.parametrize("length", [0, 40, 5000, 10**9, 10**17, -1, "1e3", "", "9" * 40])
@pytest.mark.parametrize("compress", [warcs.gz, warcs.zst, list, lambda them: warcs.gz([b"".join(them)])],
                         ids=["gzip", "zstd", "plain", "one member"])  # fmt: skip
def test_a_record_that_lies_about_its_length_costs_no_other(tmp_path: Path, compress, length: object) -> None:  # type: ignore[no-untyped-def]
    pages = warcs.pages(5)
    records, loss = read(
        warcs.write(tmp_path / "a", b"".join(compress([*pages[:2], lying(pages[2], length), *pages[3:]])))
    )
    if compress not in (warcs.gz, warcs.zst, list) and length in (10**9, 10**17):
        # Within one member nothing but the length says where a record ends, and this one cannot be looked at again.
        assert urls(records) == ["0", "1"]
        assert records[2].problem == "truncated"
        return
    assert [record.url[-1] for record in records] == ["0", "1", "2", "3", "4"]
    assert urls(records)[-2:] == ["3", "4"]
    lost = loss.bytes > 0
    assert lost != (length == 5000)  # which ends, whole, where the next record begins


def test_a_record_whose_lines_lost_their_carriage_returns_is_whole(tmp_path: Path) -> None:
    plain = b"".join(warcs.pages(4)).replace(b"\r", b"")
    records, _ = read(warcs.write(tmp_path / "a.warc", plain))
    assert urls(records) == ["0", "1", "2"]
    assert all(record.body.endswith(b"</html>") for record in records[:3])
    assert records[3].problem == "truncated"  # the last cannot be told from one that was cut off


@pytest.mark.parametrize("start", [b"WARC/1.0\n", b"WARC/1.0\n\n", b"a: 192.0.2.1 20080430204826 x\n"])
def test_starts_without_records_cost_time_in_proportion(tmp_path: Path, start: bytes) -> None:
    data = b"x\n" + start * ((1 << 18) // len(start)) + b"\r\n\r\n" + warcs.pages(1)[0]
    began = time.process_time()
    records, _ = read(warcs.write(tmp_path / "a.warc", data))
    assert time.process_time() - began < 5  # each start tried to the next blank line, this takes minutes
    assert urls(records) == ["0"]


def test_arc_records_are_read(tmp_path: Path) -> None:
    body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + warcs.html(1)
    version = b"1 0 Somebody\nURL IP-address Archive-date Content-type Archive-length\n"
    arc = b"filedesc://a.arc 0.0.0.0 20080430204825 text/plain %d\n%s\n" % (len(version), version)
    arc += b"http://example.org/1 192.0.2.1 20080430204826 text/html %d\n%s\n" % (len(body), body)
    _, page = read(warcs.write(tmp_path / "a.arc", arc))[0]
    assert (page.kind, page.url, page.date) == ("response", "http://example.org/1", "2008-04-30T20:48:26Z")
    assert page.body == body


@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data/warc is not here")
def test_real_archives_give_at_least_what_fastwarc_finds() -> None:
    # bzip2 and LZ4 are not read here.
    skipped = {"warcfile.warc.lz4", "test.warc.bz2"}
    paths = [path for path in sorted(REAL.rglob("*.*")) if path.is_file() and path.name not in skipped]
    assert len(paths) > 80
    for path in paths:
        records, _ = read(path, 16 << 20)
        assert records, path
        if "warc-record-id" in records[0].headers:
            ours = [record.headers.get("warc-record-id", "").strip("<>") for record in records]
            theirs = fastwarc_ids(path)
            assert ours[: len(theirs)] == theirs, path


def fastwarc_ids(path: Path) -> list[str]:
    """Identifiers of the records up to where FastWARC gives up."""
    found = []
    with path.open("rb") as file, suppress(OSError):
        for record in ArchiveIterator(file, parse_http=False):
            if record.record_id is None:  # a header that it could not read
                break
            found.append(record.record_id.strip("<>"))
    return found
