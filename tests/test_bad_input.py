"""Archives and pages made to break a reader: each is refused by name, its neighbours are whole, memory stays small."""

import gzip
import io
import itertools
import json
import random
import struct
import subprocess
import sys
import zlib
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
import zstandard
from fastwarc.stream_io import BrotliWriter

from stages import extract as extraction
from stages.core import documents as shard
from stages.core import params
from tests import warcs
from tests.conftest import ROOT
from tests.test_filter import GOOD, document

REAL = ROOT / ".." / "shared" / "data" / "warc"
MAX_MEMORY = 1 << 30  # of one worker, in bytes

MEGABYTE = 1 << 20
TWO_GIGABYTES = 2 << 30
GZIP_HEADER = gzip.compress(b"")[:10]


def deflated(block: bytes, total: int) -> bytes:
    """A raw deflate stream, without its end, of ``block`` over and over: packed once, for each part stands alone."""
    encoder = zlib.compressobj(9, wbits=-15)
    packed = encoder.compress(block) + encoder.flush(zlib.Z_FULL_FLUSH)
    return packed * (total // len(block))


def zstd_frame(head: bytes, total: int) -> bytes:
    """A zstd frame of ``head`` and then ``total`` zeros, four bytes for each 128 KiB of them (RFC 8878, 3.1.1.2)."""
    size = 128 << 10
    start = b"\x28\xb5\x2f\xfd\x00\x58" + struct.pack("<I", len(head) << 3)[:3] + head
    zeros = struct.pack("<I", size << 3 | 1 << 1)[:3] + b"\0"
    return start + zeros * (total // size) + b"\x01\0\0"


def brotli(data: bytes, times: int) -> bytes:
    target = io.BytesIO()
    encoder = BrotliWriter(target)
    for _ in range(times):
        encoder.write(data)
    encoder.close()
    return target.getvalue()


def encoded(encoding: str, body: bytes, name: str, more: str = "") -> bytes:
    """A response whose body is in an encoding."""
    headers = f"Content-Type: text/html\r\nContent-Encoding: {encoding}\r\n{more}"
    return warcs.response(body, f"http://bad.example/{name}", headers)


def head_of(length: int, name: str) -> bytes:
    """The start of a response record that says it has ``length`` bytes."""
    whole = warcs.response(b"<p>", f"http://bad.example/{name}")
    head, _, _ = whole.partition(b"Content-Length: ")
    return (
        head + f"Content-Length: {length}\r\n\r\n".encode() + b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>"
    )


def bad_records() -> dict[str, tuple[bytes, str]]:
    """Gzip members by what is wrong with their record, with the reason for which it is to be dropped; "" is kept."""
    zeros = deflated(b"\0" * MEGABYTE, TWO_GIGABYTES)
    bomb = GZIP_HEADER + zeros
    pages = {
        "gzip": (encoded("gzip", bomb, "gzip"), "too_large"),
        "deflate": (encoded("deflate", b"\x78\xda" + zeros, "deflate"), "too_large"),
        "raw-deflate": (encoded("deflate", zeros, "raw-deflate"), "too_large"),
        "brotli": (encoded("br", brotli(b"\0" * MEGABYTE, 64), "brotli"), "too_large"),
        "zstd": (encoded("zstd", zstd_frame(b"", TWO_GIGABYTES), "zstd"), "too_large"),
        "gzip-in-gzip": (encoded("gzip, gzip", gzip.compress(bomb), "gzip-in-gzip"), "too_large"),
        "gzip-in-brotli": (encoded("gzip, br", brotli(bomb, 1), "gzip-in-brotli"), "too_large"),
        "many-layers": (encoded("gzip," * 50 + "gzip", bomb, "many-layers"), "undecodable"),
        "chunked-bomb": (
            encoded("gzip", b"%x\r\n%s\r\n0\r\n\r\n" % (len(bomb), bomb), "chunked-bomb",
                    "Transfer-Encoding: chunked\r\n"), "too_large"),
        "chunk-lies": (
            warcs.response(b"ffffffff\r\n" + warcs.html(7), "http://bad.example/chunk-lies",
                           "Content-Type: text/html\r\nTransfer-Encoding: chunked\r\n"), ""),
        "chunks-of-one-byte": (
            warcs.response(b"1\r\n<\r\n" * 400_000 + b"0\r\n\r\n", "http://bad.example/chunks-of-one-byte",
                           "Content-Type: text/html\r\nTransfer-Encoding: chunked\r\n"), "too_many_nodes"),
        "large": (warcs.response(b"<p>" + b"x " * (9 * MEGABYTE), "http://bad.example/large"), "too_large"),
        "ampersands": (warcs.response(b"<p>" + b"&" * (15 * MEGABYTE), "http://bad.example/ampersands"), "too_long"),
        "deep": (warcs.response(b"<p>" + b"<div>" * 99_000 + b"deep", "http://bad.example/deep"), "too_deep"),
        "attributes": (
            warcs.response(b"<p " + b" ".join(b"a%d=1" % n for n in range(1_000_000)) + b">x",
                           "http://bad.example/attributes"), "too_many_attributes"),
        "nulls": (warcs.response(warcs.html(8).replace(b" ", b" \0"), "http://bad.example/nulls"), ""),
        "only-nulls": (warcs.response(b"\0" * MEGABYTE, "http://bad.example/only-nulls"), "no_text"),
        "only-nulls-in-utf-16": (
            warcs.response(b"\xff\xfe" + b"\0" * MEGABYTE, "http://bad.example/only-nulls-in-utf-16"), "no_text"),
        "only-nulls-in-a-paragraph": (
            warcs.response(b"<html><body><p>" + b"\0" * MEGABYTE, "http://bad.example/only-nulls-in-a-paragraph"),
            "no_text"),
        "only-blanks": (warcs.response(b" \r\n\t\f" * MEGABYTE, "http://bad.example/only-blanks"), "no_text"),
        "only-wide-blanks": (
            warcs.response("\u00a0\u2003 ".encode() * 9000, "http://bad.example/only-wide-blanks"), "no_text"),
        "endless-header": (
            warcs.record(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100_000, url="http://bad.example/endless-header"),
            "not_a_page"),
        "says-too-much": (head_of(4 << 30, "says-too-much") + warcs.html(9), "truncated"),
        "says-nonsense": (head_of(-1, "says-nonsense") + warcs.html(9), "damaged"),
    }  # fmt: skip
    members = {name: (gzip.compress(record, mtime=0), reason) for name, (record, reason) in pages.items()}
    encoder = zlib.compressobj(9, wbits=-15)
    head = encoder.compress(head_of(TWO_GIGABYTES, "record-bomb")) + encoder.flush(zlib.Z_FULL_FLUSH)
    members["record-bomb"] = (GZIP_HEADER + head + zeros, "too_large")
    page = gzip.compress(warcs.response(warcs.html(9), "http://bad.example/flipped"), mtime=0)
    members["flipped"] = (warcs.flip(page, len(page) - 6), "damaged")
    page = gzip.compress(warcs.response(warcs.html(9), "http://bad.example/cut-off"), mtime=0)
    members["cut-off"] = (page[:-30], "damaged")
    return members


# The peak of a process counts what its parent held when it was forked, so that a small one has to be its parent.
_MEASURED = """
import resource, subprocess, sys
status = subprocess.call([sys.executable, *sys.argv[1:]], stdout=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""


def peak(stage: str, **paths: Path) -> int:
    """Run a stage; the peak of its memory in bytes."""
    flags = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    command = [sys.executable, "-c", _MEASURED, "-m", f"stages.{stage}", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout) << 10


def extract(folder: Path, tmp_path: Path) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]], int]:
    """Run the stage over a folder: metrics, documents, dropped documents, and the peak of its memory in bytes."""
    paths = {name: tmp_path / name for name in ("documents", "dropped", "metrics")}
    memory = peak("extract", warcs=folder, **paths)
    documents, dropped = ([row for path in sorted(paths[name].iterdir()) for row in shard.read(path)]
                          for name in ("documents", "dropped"))  # fmt: skip
    return json.loads(paths["metrics"].read_text()), documents, dropped, memory


def test_every_bad_record_is_named_and_its_neighbours_are_whole(profile: Path, tmp_path: Path) -> None:
    bad = bad_records()
    page = warcs.gz(warcs.pages(1))[0]
    unreadable = [warcs.flip(page, 1), page[:20]]
    members = [member for member, _ in bad.values()] + unreadable
    good = warcs.gz(warcs.pages(len(members) + 1))
    archive = b"".join(itertools.chain.from_iterable(zip(good, members, strict=False))) + good[-1]
    path = warcs.write(tmp_path / "warcs" / "bad.warc.gz", archive)
    metrics, documents, dropped, memory = extract(path.parent, tmp_path)
    neighbours = [document for document in documents if document["url"].startswith("http://example.org/")]
    assert [document["url"].rpartition("/")[2] for document in neighbours] == [str(n) for n in range(len(good))]
    assert all(f"word{number} and the" in document["text"] for number, document in enumerate(neighbours))
    found = {row["url"].rpartition("/")[2]: row["reason"] for row in dropped}
    found |= {document["url"].rpartition("/")[2]: "" for document in documents if document not in neighbours}
    assert found == {name: reason for name, (_, reason) in bad.items()} | {"": "unreadable"}
    assert metrics["dropped"]["unreadable"] == len(unreadable)
    assert not any("\0" in document["text"] for document in documents)
    # Those two, and what of the others could not be read: the bomb, the flipped, the cut-off and the two that lie.
    assert metrics["lost"]["stretches"] == 7
    assert memory < MAX_MEMORY


def test_bombs_and_damage_among_zstd_frames_with_a_dictionary(profile: Path, tmp_path: Path) -> None:
    pages = warcs.pages(200)
    dictionary = zstandard.train_dictionary(4096, [*pages])
    compressor = zstandard.ZstdCompressor(dict_data=dictionary, write_checksum=True)
    first, second, third, fourth, fifth = (compressor.compress(page) for page in pages[:5])
    content = dictionary.as_bytes()
    skippable = struct.pack("<II", 0x184D2A5D, len(content)) + content
    bomb = zstd_frame(head_of(TWO_GIGABYTES, "bomb"), TWO_GIGABYTES)
    archive = skippable + first + bomb + second + warcs.flip(third, len(third) // 2) + fourth[:-9] + fourth
    archive += warcs.flip(fifth, len(fifth) - 1)  # of the checksum
    path = warcs.write(tmp_path / "warcs" / "bad.warc.zst", archive)
    metrics, documents, dropped, memory = extract(path.parent, tmp_path)
    assert [document["url"][-1] for document in documents] == ["0", "1", "3"]
    # The flipped one and the cut-off one lie side by side, in one stretch, and do not say which pages they were.
    assert [(row["url"].rpartition("/")[2], row["reason"]) for row in dropped] == [
        ("bomb", "too_large"),
        ("", "unreadable"),
        ("4", "damaged"),
    ]
    assert dropped[1]["offset"] == archive.index(second) + len(second)
    assert metrics["lost"]["stretches"] == 3
    assert memory < MAX_MEMORY


@pytest.mark.slow
@pytest.mark.parametrize("text", ["a ", "boat ", "a1@b.co 1.2.3.4 ", "a\n"])
def test_the_longest_text_stays_small_in_every_later_stage(profile: Path, tmp_path: Path, text: str) -> None:
    limit = params.load(extraction.Params, "extract").max_characters
    (tmp_path / "documents").mkdir()
    with shard.Writer(tmp_path / "documents" / "a.parquet") as writer:
        writer.write(document(0, GOOD))
        for number in range(1, 3):
            writer.write(document(number, f"{number} " + text * (limit // len(text))))
    paths = {name: tmp_path / name for name in ("documents", "kept", "dropped", "metrics")}
    assert peak("filter", examples=tmp_path, **paths) < MAX_MEMORY
    assert peak("dedup", **paths) < MAX_MEMORY


@pytest.mark.slow
def test_two_gigabytes_in_one_record_pass_by(profile: Path, tmp_path: Path) -> None:
    """A record that is just what it says, and no bomb: it packs to a hundredth."""
    first, last = warcs.gz(warcs.pages(2))
    mixed = random.Random(0).randbytes(10_000)
    block = mixed + b"\0" * (MEGABYTE - len(mixed))
    head = head_of(TWO_GIGABYTES, "huge")
    started = len(head.partition(b"\r\n\r\n")[2])
    ending = b"\0" * (MEGABYTE - started) + b"\r\n\r\n"
    times = TWO_GIGABYTES // MEGABYTE - 1
    encoder = zlib.compressobj(9, wbits=-15)
    start = encoder.compress(head) + encoder.flush(zlib.Z_FULL_FLUSH)
    encoder = zlib.compressobj(9, wbits=-15)
    checksum = zlib.crc32(head)
    for _ in range(times):
        checksum = zlib.crc32(block, checksum)
    trailer = struct.pack("<II", zlib.crc32(ending, checksum), (len(head) + times * MEGABYTE + len(ending)) % 2**32)
    packed = start + deflated(block, times * MEGABYTE) + encoder.compress(ending) + encoder.flush() + trailer
    path = warcs.write(tmp_path / "warcs" / "huge.warc.gz", first + GZIP_HEADER + packed + last)
    metrics, documents, dropped, memory = extract(path.parent, tmp_path)
    assert [document["url"][-1] for document in documents] == ["0", "1"]
    assert [row["reason"] for row in dropped] == ["too_large"]
    assert metrics["lost"]["stretches"] == 0
    assert memory < MAX_MEMORY


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data/warc is not here")
def test_every_real_archive_goes_through_and_says_what_it_gave(profile: Path, tmp_path: Path) -> None:
    """Files of other projects' own tests, all sizes, among them truncated, mislabelled and otherwise broken ones."""
    names = {}
    for path in sorted(REAL.rglob("*.*")):
        if path.is_file():
            names[f"{path.parent.name}-{path.name}"] = path
            warcs.write(tmp_path / "warcs" / f"{path.parent.name}-{path.name}", path.read_bytes())
    metrics, documents, dropped, memory = extract(tmp_path / "warcs", tmp_path)
    kept = Counter(document["source"] for document in documents)
    refused: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in dropped:
        refused[row["source"]][row["reason"]] += 1
    for name in names:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(refused[name].items()))
        print(f"{name:<80} {kept[name]:>5} documents; dropped: {reasons or 'none'}")
    print(f"lost: {metrics['lost']}; memory: {memory / 1e6:.0f} MB")
    assert metrics["in"] == len(documents) + len(dropped)
    assert len(documents) > 500
    assert memory < MAX_MEMORY
