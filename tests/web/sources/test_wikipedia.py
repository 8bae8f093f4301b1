import bz2
import gzip
from html import escape
from pathlib import Path

import pytest

from stages.core.errors import HeadwaterError
from stages.web.sources import captures, wikipedia_dump
from tests import warcs
from tests.crawled import records, run, texts
from tests.loopback import ALLOWED, serve

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="de">
  <siteinfo><sitename>Wikipedia</sitename><dbname>testwiki</dbname><base>https://test.wikipedia.org/wiki/Main</base>
    <namespaces><namespace key="0" case="first-letter" /><namespace key="6">Datei</namespace></namespaces>
  </siteinfo>
"""
TAIL = "</mediawiki>\n"
DATE = "2024-05-06T07:08:09Z"


def page(title: str, text: str, ns: int = 0, extra: str = "", model: str = "wikitext") -> str:
    return f"""  <page><title>{escape(title)}</title><ns>{ns}</ns><id>1</id>{extra}
    <revision><id>2</id><timestamp>{DATE}</timestamp><contributor><username>x</username><id>3</id></contributor>
      <model>{model}</model><format>text/x-wiki</format><text bytes="9" xml:space="preserve">{escape(text)}</text>
    </revision></page>
"""


def pages(count: int) -> list[str]:
    return [page(f"Page {number}", f"Text of [[page]] {number}.") for number in range(count)]


def multistream(found: list[str], each: int) -> bytes:
    groups = ["".join(found[at : at + each]) for at in range(0, len(found), each)]
    return b"".join(bz2.compress(part.encode()) for part in [HEAD, *groups, TAIL])


def test_articles_are_taken_with_title_date_and_address(profile: Path, tmp_path: Path) -> None:
    found = [
        page("Äpfel & Birnen?", "'''Äpfel''' sind [[Obst]].[[Datei:x.jpg|mini]]\n\n== Art ==\n* rot"),
        page("Apfel", "#WEITERLEITUNG [[Äpfel]]", extra='<redirect title="Äpfel" />'),
        page("Datei:x.jpg", "Ein Bild.", ns=6),
        page("Leer", "{{Vorlage}}"),
        page("Modul", "return 1", model="Scribunto"),
    ]
    warcs.write(tmp_path / "incoming" / "testwiki-pages-articles.xml", (HEAD + "".join(found) + TAIL).encode())
    metrics, _, manifest = run(tmp_path, source="wikipedia")
    url = "https://test.wikipedia.org/wiki/%C3%84pfel_%26_Birnen%3F"
    assert texts(tmp_path) == {url: "# Äpfel & Birnen?\n\nÄpfel sind Obst.\n\n## Art\n\n- rot"}
    assert records(tmp_path)[url].date == DATE
    assert metrics["dropped"] == {"namespace": 1, "no_text": 1, "not_sampled": 0, "not_wikitext": 1, "redirect": 1}
    assert manifest["dumps"][0]["wiki"] == "testwiki"


@pytest.mark.parametrize("kind", ["multistream", "single", "parallel", "gzip", "plain"])
def test_every_way_to_compress_a_dump_gives_the_same_articles(profile: Path, tmp_path: Path, kind: str) -> None:
    found = pages(60)
    whole = (HEAD + "".join(found) + TAIL).encode()
    data, name = {
        "multistream": (multistream(found, 5), "a.xml.bz2"),
        "single": (bz2.compress(whole), "a.xml.bz2"),
        # As pbzip2 does it: many streams, which cut pages.
        "parallel": (b"".join(bz2.compress(whole[at : at + 1000]) for at in range(0, len(whole), 1000)), "a.xml.bz2"),
        "gzip": (gzip.compress(whole), "a.xml.gz"),
        "plain": (whole, "a.xml"),
    }[kind]
    warcs.write(tmp_path / "incoming" / name, data)
    metrics, written, _ = run(tmp_path, source="wikipedia", shard_mb=0.001)
    assert metrics["in"] == metrics["out"] == 60
    assert (len(written) > 3) == (kind == "multistream")
    assert list(texts(tmp_path).values()) == [f"# Page {number}\n\nText of page {number}." for number in range(60)]


def test_a_dump_behind_a_url_is_fetched_once_and_sampled(profile: Path, tmp_path: Path) -> None:
    with serve() as server:
        server.add("/simplewiki.xml.bz2", multistream(pages(30), 5))
        taken = []
        for count in (5, 11):
            changes = {"allow_private": ALLOWED, "wikipedia": {"paths": [server.url + "simplewiki.xml.bz2"]}}
            metrics, _, _ = run(tmp_path, source="wikipedia", max_pages=count, **changes)
            assert metrics["dropped"] == {"not_sampled": 30 - count}
            taken.append(set(texts(tmp_path)))
        assert taken[0] < taken[1]
        assert len(server.asked("/simplewiki.xml.bz2")) == 1


BOMB = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;'>]><mediawiki>&b;</mediawiki>"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no XML at all", "a.xml: no XML dump of a wiki: syntax error"),
        (b"<html><body/></html>", "it begins with <html>, not <mediawiki>"),
        (BOMB.encode(), "it has a DOCTYPE"),
        ((HEAD + pages(1)[0]).encode(), "a.xml: cut off: no element found.*; download it again"),
        ((HEAD + pages(1)[0]).encode()[:-5], "a.xml: cut off: unclosed token.*; download it again"),
        (b"", "no XML dump of a wiki: no element found"),
        (b'<?xml version="1.0" encoding="x-y"?><mediawiki/>', "no XML dump of a wiki: unknown encoding: x-y"),
        (multistream(pages(30), 5)[: -len(bz2.compress(TAIL.encode()))], "cut off: no element found"),
        (b"<mediawiki><siteinfo " + b"a" * (3 << 20), "a tag of more than 1,048,576 bytes"),
        (b"<mediawiki>" + b"<page>" * 50, "elements lie 8 deep"),
        (bz2.compress((HEAD + pages(1)[0]).encode())[:-20], "damaged or cut off: .*; download it again"),
        (multistream(pages(30), 5)[:-30], "damaged or cut off"),
    ],
)  # fmt: skip
def test_a_dump_that_is_none_is_one_clear_line(profile: Path, tmp_path: Path, data: bytes, message: str) -> None:
    warcs.write(tmp_path / "incoming" / "a.xml", data)
    with pytest.raises(HeadwaterError, match=message):
        run(tmp_path, source="wikipedia", shard_mb=0.001)


def test_a_page_too_large_is_counted_and_its_neighbours_are_taken(
    profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wikipedia_dump, "_MAX_TEXT", 10_000)
    large = page("Large", "word & " * 3000)
    first, last = pages(2)
    warcs.write(tmp_path / "incoming" / "a.xml.bz2", bz2.compress((HEAD + first + large + last + TAIL).encode(), 1))
    metrics, _, _ = run(tmp_path, source="wikipedia")
    assert metrics["dropped"] == {"not_sampled": 0, "too_large": 1}
    assert len(texts(tmp_path)) == 2


def test_a_page_without_a_date_gets_the_unknown_one(profile: Path, tmp_path: Path) -> None:
    odd = page("Odd", "Text.").replace(DATE, "yesterday\r\nX-Header: 1")
    warcs.write(tmp_path / "incoming" / "a.xml", (HEAD + odd + TAIL).encode())
    run(tmp_path, source="wikipedia")
    assert next(iter(records(tmp_path).values())).date == captures.UNKNOWN_DATE
