import base64
import bz2
import gzip
import hashlib
import lzma
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType

from stages.core.errors import HeadwaterError
from tests import warcs
from tests.crawled import run
from tests.loopback import ALLOWED, serve
from tests.site import write_site


def pages(folder: Path) -> dict[str, bytes]:
    """URL to body, with every digest checked."""
    found = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            for record in ArchiveIterator(file, record_types=WarcRecordType.response, parse_http=False):
                block = record.reader.read()
                body = block.partition(b"\r\n\r\n")[2]
                assert record.headers["WARC-Block-Digest"] == digest(block)
                assert record.headers["WARC-Payload-Digest"] == digest(body)
                found[record.headers["WARC-Target-URI"]] = body
    return found


def digest(data: bytes) -> str:
    return "sha1:" + base64.b32encode(hashlib.sha1(data).digest()).decode()


def test_a_folder_becomes_archives_of_the_same_bytes_each_time(profile: Path, tmp_path: Path) -> None:
    write_site(tmp_path / "incoming", 12)
    metrics, first, manifest = run(tmp_path, source="folder", shard_mb=0.02)
    assert metrics["in"] == metrics["out"] == manifest["pages"] == 19
    assert len(first) > 2
    assert [one["sha256"] for one in manifest["warcs"]] == [hashlib.sha256(data).hexdigest() for data in first.values()]
    found = pages(tmp_path / "out" / "warcs")
    assert found["http://folder.invalid/sailing/001.html"] == (tmp_path / "incoming/sailing/001.html").read_bytes()
    for file in profile.rglob("*.gz"):
        file.unlink()
    assert run(tmp_path, source="folder", shard_mb=0.02)[1] == first


def test_links_count_as_pages_but_lead_nowhere_else(profile: Path, tmp_path: Path) -> None:
    incoming = tmp_path / "incoming"
    warcs.write(tmp_path / "secret.html", b"<p>secret")
    warcs.write(incoming / "a page.html", warcs.html(1))
    warcs.write(incoming / "page.html.de", warcs.html(2))
    warcs.write(incoming / "notes.txt", b"no page")
    (incoming / "copy.html").symlink_to("a page.html")
    (incoming / "out.html").symlink_to(tmp_path / "secret.html")
    (incoming / "loop.html").symlink_to("loop.html")
    run(tmp_path, source="folder")
    assert pages(tmp_path / "out" / "warcs") == {
        "http://folder.invalid/a%20page.html": warcs.html(1),
        "http://folder.invalid/copy.html": warcs.html(1),
        "http://folder.invalid/page.html.de": warcs.html(2),
    }


def test_links_that_are_not_followed_are_named(
    profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    incoming, there = tmp_path / "incoming", tmp_path / "there"
    warcs.write(incoming / "a.html", warcs.html(1))
    warcs.write(incoming / "a.warc.gz", b"".join(warcs.gz(warcs.pages(2))))
    warcs.write(there / "b.html", warcs.html(2))
    warcs.write(there / "b.warc.gz", b"".join(warcs.gz(warcs.pages(3))))
    (incoming / "again").symlink_to(".")  # all that is behind it is found without it
    (incoming / "mine").symlink_to(there)
    run(tmp_path, source="warc")
    assert f"to folders are not followed (1), such as {incoming}/mine: name what" in capsys.readouterr().err
    (incoming / "c.html").symlink_to(there / "b.html")
    run(tmp_path, source="folder")
    assert f"lead out of {incoming} are not followed (2), such as {incoming}/c.html" in capsys.readouterr().err
    assert run(tmp_path, source="warc", warc={"paths": ["mine"]})[0]["out"] == 3
    assert "not followed" not in capsys.readouterr().err


@pytest.mark.parametrize("everywhere", [".", "**", "mine/**"])
def test_of_folders_only_archives_are_taken(profile: Path, tmp_path: Path, everywhere: str) -> None:
    incoming = tmp_path / "incoming"
    warcs.write(incoming / "mine" / "a.warc.gz", b"".join(warcs.gz(warcs.pages(2))))
    warcs.write(incoming / "mine" / "a.warc.gz.bak", b"".join(warcs.gz(warcs.pages(3))))
    assert run(tmp_path, source="warc", warc={"paths": [everywhere]})[0]["out"] == 2


@pytest.mark.parametrize("source", ["folder", "warc"])
def test_a_sample_is_part_of_every_larger_one(profile: Path, tmp_path: Path, source: str) -> None:
    incoming = tmp_path / "incoming"
    if source == "folder":
        write_site(incoming, 20)
    else:
        records = warcs.pages(20)
        image = warcs.response(b"\x89PNG", "http://example.org/image", "Content-Type: image/png\r\n")
        warcs.write(incoming / "a.warc.gz", b"".join(warcs.gz([*records[:9], image])))
        warcs.write(incoming / "b.warc", b"".join(records[9:]))
    taken = []
    for count in (5, 9):
        metrics, _, _ = run(tmp_path, source=source, max_pages=count)
        assert metrics["out"] == count
        assert metrics["dropped"] == {"not_sampled": metrics["in"] - count}
        taken.append(set(urls(tmp_path / "out" / "warcs")))
    assert taken[0] < taken[1]
    run(tmp_path, source=source, max_pages=5, seed=2)
    assert set(urls(tmp_path / "out" / "warcs")) != taken[0]


def urls(folder: Path) -> list[str]:
    found = []
    for path in folder.iterdir():
        with path.open("rb") as file:
            found += [record.headers["WARC-Target-URI"] for record in ArchiveIterator(file, WarcRecordType.response)]
    return found


def test_archives_are_copied_byte_for_byte_and_stay_the_users(profile: Path, tmp_path: Path) -> None:
    incoming = tmp_path / "incoming"
    whole = warcs.write(incoming / "one" / "a.warc.gz", b"".join(warcs.gz(warcs.pages(2))))
    cut = warcs.write(incoming / "two" / "a.warc.gz", whole.read_bytes()[:-30])
    warcs.write(incoming / "-odd name.warc", b"no archive")
    warcs.write(incoming / "README.md", b"not looked at")
    metrics, written, _ = run(tmp_path, source="warc")
    assert written == {
        "a.warc.gz": whole.read_bytes(),
        "a-2.warc.gz": cut.read_bytes(),
        "odd_name.warc": b"no archive",
    }
    assert metrics["out"] == 3
    assert metrics["lost"]["stretches"] == 2
    assert whole.stat().st_nlink == 1


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a b.warc.bz2", bz2.compress(warcs.pages(1)[0])),
        ("a b.warc.lz4", b"\x04\x22\x4d\x18\x64\x40\xa7"),
        ("a b.warc.xz", lzma.compress(warcs.pages(1)[0])),
    ],
)
def test_an_archive_in_a_compression_that_is_not_read_is_named_with_the_way_out(
    profile: Path, tmp_path: Path, name: str, data: bytes
) -> None:
    warcs.write(tmp_path / "incoming" / name, data)
    with pytest.raises(HeadwaterError, match=rf"{name}: archives compressed with .*gzip > 'a b\.warc\.gz'"):
        run(tmp_path, source="warc")


def test_names_of_archives_need_not_be_utf_8(profile: Path, tmp_path: Path) -> None:
    data = b"".join(warcs.gz(warcs.pages(3)))
    (tmp_path / "incoming").mkdir()
    Path(os.fsdecode(bytes(tmp_path / "incoming") + b"/a\xff.warc.gz")).write_bytes(data)
    for pages_wanted, count in ((0, 3), (2, 2)):
        metrics, written, _ = run(tmp_path, source="warc", max_pages=pages_wanted)
        assert (metrics["out"], len(written)) == (count, 1)


def test_archives_elsewhere_and_behind_urls_are_taken_with_a_word_about_dvc(
    profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = warcs.write(tmp_path / "elsewhere" / "a.warc.gz", b"".join(warcs.gz(warcs.pages(2))))
    for path in (str(there), f"{there.parent}/*.warc.gz", f"file://{there}"):
        _, written, _ = run(tmp_path, source="warc", warc={"paths": [path]})
        assert written == {"a.warc.gz": there.read_bytes()}
        assert "DVC does not watch it" in capsys.readouterr().err


def test_archives_behind_a_url_are_fetched_once_and_their_digests_are_checked(
    profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_site(tmp_path / "incoming", 4)
    _, made, _ = run(tmp_path, source="folder")
    (archive,) = made.values()
    wrong = archive[: archive.rindex(b"\x1f\x8b\x08")] + gzip.compress(
        gzip.decompress(archive[archive.rindex(b"\x1f\x8b\x08") :]).replace(b"<p>", b"<b>")
    )
    with serve() as server:
        server.add("/a.warc.gz", wrong)
        for _ in range(2):
            changes = {"allow_private": ALLOWED, "warc": {"paths": [server.url + "a.warc.gz"]}}
            metrics, written, _ = run(tmp_path, source="warc", **changes)
            assert written == {"a.warc.gz": wrong}
        assert len(server.asked("/a.warc.gz")) == 1
    assert metrics["digests"] == {"checked": metrics["out"] + 1, "wrong": 1}
    assert "a.warc.gz: 1 records are not what their digests say" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "warc"}, r"no pages in \S+/incoming that crawl\.source warc reads: crawl\.warc says"),
        ({"source": "warc", "warc": {"paths": ["a/*.warc"]}}, r"nothing at a/\*\.warc"),
        ({"source": "warc", "warc": {"paths": ["nonsense://a"]}}, "nonsense://a: could not be read"),
        ({"source": "warc", "warc": {"paths": ["http://[a"]}}, r"crawl\.warc\.paths: .http://\[a. is no path or glob"),
        ({"source": "folder"}, r"no pages in \S+/incoming that crawl\.source folder reads: crawl\.folder says"),
        ({"source": "folder", "folder": {"root": "x", "base_url": "http://x/"}}, "x is no folder"),
        (
            {"source": "folder", "max_pages": -1},
            "crawl.max_pages: Input should be greater than or equal to 0, got -1",
        ),
        ({"source": "folder", "shard_mb": 0}, "crawl.shard_mb: Input should be greater than 0, got 0"),
        (
            {"source": "internet"},
            r"crawl.source: Input should be 'debian-docs', 'warc', .* or 'w\w+', got \"internet\"",
        ),
    ],
)
def test_nothing_to_crawl_is_one_clear_line(profile: Path, tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(HeadwaterError, match=message):
        run(tmp_path, **changes)


@pytest.mark.parametrize("source", ["folder", "warc", "text", "wikipedia"])
def test_a_folder_that_may_not_be_read_is_not_passed_over(
    profile: Path, tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "incoming" / "mine" / "closed"
    closed.mkdir(parents=True)
    scandir = os.scandir

    def refusing(path: Any = ".") -> Any:  # root may read what others may not
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(PermissionError, match="closed"):
        run(tmp_path, source=source)


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Debian archive in a folder, with one package of two pages; apt is told of no other."""
    tree = tmp_path / "tree"
    warcs.write(tree / "DEBIAN/control", b"Package: small-doc\nVersion: 1:2.0\nArchitecture: all\nDescription: x\n"
                b"Maintainer: Nobody <nobody@example.org>\n")  # fmt: skip
    page = warcs.write(tree / "usr/share/doc/small-doc/index.html", warcs.html(1))
    os.utime(page, (1_700_000_000, 1_700_000_000))
    (page.parent / "copy.html").symlink_to("index.html")
    archive = tmp_path / "archive"
    archive.mkdir()
    deb = archive / "small-doc_2.0_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, deb], check=True, capture_output=True)
    control = (tree / "DEBIAN/control").read_text()
    sha256 = hashlib.sha256(deb.read_bytes()).hexdigest()
    entry = f"{control}Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {sha256}\n"
    (archive / "Packages").write_text(entry)
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] copy:{archive} ./\n")
    config = f'Dir::Etc::sourcelist "{tmp_path}/sources.list";\nDir::Etc::sourceparts "-";\n'
    (tmp_path / "apt.conf").write_text(config)
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    return archive


def has_apt() -> bool:
    return all(any(Path(folder, tool).exists() for folder in os.get_exec_path()) for tool in ("apt-get", "dpkg-deb"))


@pytest.mark.skipif(not has_apt(), reason="apt is not installed")
def test_packages_are_fetched_by_apt_once(profile: Path, tmp_path: Path, debian: Path) -> None:
    documents = {"packages": ["small-doc"]}
    metrics, first, manifest = run(tmp_path, debian_docs=documents)
    assert metrics["out"] == 2
    deb = debian / "small-doc_2.0_all.deb"
    sha256 = hashlib.sha256(deb.read_bytes()).hexdigest()
    assert manifest["packages"] == [{"name": "small-doc", "version": "1:2.0", "sha256": sha256}]
    root = "http://small-doc.debian.invalid/usr/share/doc/small-doc/"
    assert pages(tmp_path / "out" / "warcs") == {f"{root}copy.html": warcs.html(1), f"{root}index.html": warcs.html(1)}
    assert b"WARC-Date: 2023-11-14T22:13:20Z" in b"".join(map(_unpacked, first.values()))
    deb.unlink()  # what is here already is not fetched again
    assert run(tmp_path, debian_docs=documents)[1] == first


def _unpacked(data: bytes) -> bytes:
    return subprocess.run(["gzip", "-dc"], input=data, stdout=subprocess.PIPE, check=True).stdout


@pytest.mark.skipif(not has_apt(), reason="apt is not installed")
def test_a_package_that_apt_does_not_know_is_named_with_the_nearest(
    profile: Path, tmp_path: Path, debian: Path
) -> None:
    with pytest.raises(HeadwaterError, match=r"apt knows no package smal-doc .*did you mean small-doc\?"):
        run(tmp_path, debian_docs={"packages": ["smal-doc"]})
    with pytest.raises(HeadwaterError, match="'--help' is no name of a package"):
        run(tmp_path, debian_docs={"packages": ["--help"]})
    (debian / "small-doc_2.0_all.deb").unlink()
    with pytest.raises(HeadwaterError, match="apt could not download small-doc"):
        run(tmp_path, debian_docs={"packages": ["small-doc"]})


def test_a_machine_without_apt_is_told_what_to_do(
    profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HeadwaterError, match=r"apt-get is not installed: .* set crawl.source to warc or folder"):
        run(tmp_path)
