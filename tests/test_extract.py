import json
from pathlib import Path

import pytest

from stages import extract
from stages.core import documents as shard
from stages.core import params
from stages.core.errors import HeadwaterError
from stages.web.records import warc
from tests import warcs

REAL = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "warc"
PARAMS = params.load(extract.Params, "extract")


def run(warcs_folder: Path, tmp_path: Path, values: extract.Params = PARAMS) -> tuple[dict, list[dict], list[dict]]:  # type: ignore[type-arg]
    documents, dropped = tmp_path / "documents", tmp_path / "dropped"
    metrics = extract.run(values, warcs=warcs_folder, documents=documents, dropped=dropped)
    kept, refused = ([row for path in sorted(it.iterdir()) for row in shard.read(path)] for it in (documents, dropped))
    return metrics, kept, refused


def test_pages_become_documents_and_the_rest_has_a_reason(profile: Path, tmp_path: Path) -> None:
    records = [
        warcs.record(b"software: none\r\n", "warcinfo"),
        *warcs.pages(2),
        warcs.record(b"GET / HTTP/1.1\r\n\r\n", "request"),
        warcs.response(b"gone", status="404 Not Found"),
        warcs.response(b"\x89PNG", headers="Content-Type: image/png\r\n"),
        warcs.response(b"<p>" + b"<div>" * 600 + b"deep"),
        warcs.response(b"<script>1</script>"),
        warcs.response(b"<p>" + b"word " * (PARAMS.max_characters // 5 + 1)),
        warcs.record(b"plain text of a page, as WET holds it", "conversion"),
    ]
    path = warcs.write(tmp_path / "warcs" / "a.warc.gz", b"".join(warcs.gz(records)))
    metrics, documents, dropped = run(path.parent, tmp_path)
    assert metrics["dropped"] == {"no_text": 1, "not_html": 1, "status": 1, "too_deep": 1, "too_long": 1}
    assert (metrics["in"], metrics["out"]) == (8, 3)
    assert [document["language"] for document in documents] == ["en"] * 3
    assert "word0 and the 0th thing" in documents[0]["text"]
    assert documents[0]["date"] == warcs.DATE
    assert {row["stage"] for row in dropped} == {"extract"}
    found = next(warc.read_at(path, documents[1]["offset"], PARAMS.max_bytes))
    assert found.url == documents[1]["url"] == "http://example.org/1"


def test_pages_that_ask_not_to_be_learned_from_are_dropped_without_their_text(profile: Path, tmp_path: Path) -> None:
    page = "<html><head>{}</head><body><h1>Title</h1><p>Words that nobody is to learn from, as the page says.</p>"
    noai = page.format('<meta name="robots" content="noai">').encode()
    records = [
        warcs.response(page.format("").encode()),
        warcs.response(page.format("").encode(), headers="Content-Type: text/html\r\nX-Robots-Tag: noimageai\r\n"),
        warcs.response(noai),
    ]
    folder = warcs.write(tmp_path / "warcs" / "a.warc.gz", b"".join(warcs.gz(records))).parent
    metrics, documents, dropped = run(folder, tmp_path)

    assert metrics["dropped"] == {"opt_out_noai": 1, "opt_out_noimageai": 1}
    assert (len(documents), [row["text"] for row in dropped]) == (1, ["", ""])
    none = params.check(extract.Params, {**json.loads(params.as_json(PARAMS)), "opt_outs": []}, "extract")
    assert run(folder, tmp_path, none)[0]["out"] == 3


def test_a_page_on_which_nothing_is_likely_is_dropped_with_what_there_was(profile: Path, tmp_path: Path) -> None:
    shell = b"<body><ul>" + b"".join(b"<li><a href=/%d>Part %d</a>" % (n, n) for n in range(30)) + b"</ul>"
    records = [*warcs.pages(1), warcs.response(shell), warcs.record(b"- a list\n- as WET holds it", "conversion")]
    folder = warcs.write(tmp_path / "warcs" / "a.warc.gz", b"".join(warcs.gz(records))).parent
    metrics, documents, dropped = run(folder, tmp_path)

    assert (len(documents), metrics["dropped"]) == (2, {"no_main_text": 1})
    assert "Part 7" in dropped[0]["text"]
    none = params.check(extract.Params, {**json.loads(params.as_json(PARAMS)), "min_expected_f1": 0}, "extract")
    assert run(folder, tmp_path, none)[0]["out"] == 3


def test_two_runs_give_the_same_bytes_and_a_new_archive_recomputes_no_other(profile: Path, tmp_path: Path) -> None:
    folder = tmp_path / "warcs"
    warcs.write(folder / "a.warc.gz", b"".join(warcs.gz(warcs.pages(3))))
    run(folder, tmp_path)
    first = (tmp_path / "documents" / "a.parquet").read_bytes()
    inode = (tmp_path / "documents" / "a.parquet").stat().st_ino
    warcs.write(folder / "b.warc", b"".join(warcs.pages(1)))
    metrics, _, _ = run(folder, tmp_path)
    assert metrics["out"] == 4
    assert (tmp_path / "documents" / "a.parquet").stat().st_ino == inode
    for path in (profile / "extract").iterdir():
        for file in path.rglob("*"):
            file.unlink(missing_ok=True) if file.is_file() else None
    run(folder, tmp_path)
    assert (tmp_path / "documents" / "a.parquet").read_bytes() == first


def test_a_damaged_archive_gives_its_good_records_and_the_loss_is_counted(profile: Path, tmp_path: Path) -> None:
    members = warcs.gz(warcs.pages(4))
    members[1] = warcs.flip(members[1], len(members[1]) // 2)
    path = warcs.write(tmp_path / "warcs" / "a.warc.gz", b"".join(members)[:-20])
    warcs.write(tmp_path / "warcs" / "no-archive.warc", b"not at all")
    metrics, documents, _ = run(path.parent, tmp_path)
    assert [document["url"][-1] for document in documents] == ["0", "2"]
    assert metrics["lost"]["stretches"] == 3
    assert metrics["lost"]["bytes"] == len(members[1]) + len(members[3]) - 20 + len("not at all")


def test_a_crawl_without_a_page_that_says_something_names_the_reasons(profile: Path, tmp_path: Path) -> None:
    records = [warcs.response(b"<p>gone", status="404 Not Found"), warcs.response(b" "), warcs.response(b"")]
    folder = warcs.write(tmp_path / "warcs" / "a.warc.gz", b"".join(warcs.gz(records))).parent
    with pytest.raises(HeadwaterError, match=r"no page of 3 .* dropped: no_text 2, status 1; .*/dropped"):
        run(folder, tmp_path)


def test_too_great_a_loss_names_the_file_and_the_limit(profile: Path, tmp_path: Path) -> None:
    path = warcs.write(tmp_path / "warcs" / "a.warc.gz", b"".join(warcs.gz(warcs.pages(2)))[:-20])
    strict = params.check(extract.Params, {**json.loads(params.as_json(PARAMS)), "max_lost": 0.1}, "extract")
    with pytest.raises(
        HeadwaterError, match=r"a\.warc\.gz: .* could not be read, .* more than extract\.max_lost = 0\.1"
    ):
        run(path.parent, tmp_path, strict)


def test_a_crawl_without_archives_is_an_error(profile: Path, tmp_path: Path) -> None:
    (tmp_path / "warcs").mkdir()
    with pytest.raises(HeadwaterError, match="no WARC here"):
        run(tmp_path / "warcs", tmp_path)


@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data/warc is not here")
def test_real_archives_go_through(profile: Path, tmp_path: Path) -> None:
    """Every file of 18 projects' own tests, among them truncated, mislabelled and otherwise broken ones."""
    folder = tmp_path / "warcs"
    for path in sorted(REAL.rglob("*.*")):
        if path.is_file() and path.stat().st_size < 300_000:
            warcs.write(folder / f"{path.parent.name}-{path.name}", path.read_bytes())
    metrics, documents, dropped = run(folder, tmp_path)
    assert len(documents) > 200
    assert metrics["in"] == len(documents) + len(dropped)
    assert len({document["id"] for document in documents}) > 150
    for document in documents:
        document["text"].encode("utf-8")
        assert "\0" not in document["text"]
