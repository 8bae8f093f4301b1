"""The dedup stage: one of each group stays, whatever the shards and the workers."""

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stages import dedup as stage
from stages.core import documents, runtime
from stages.core.errors import HeadwaterError
from stages.core.params import load
from stages.core.stage import Metrics
from stages.web.duplicates.shingles import split

# What is cut out of documents has tests of its own.
PARAMS = load(stage.Params, "dedup")
PARAMS = replace(PARAMS, passages=replace(PARAMS.passages, paragraph_characters=0, run_words=0, min_words=50))
CUTTING = replace(PARAMS, passages=replace(PARAMS.passages, paragraph_characters=200))
TEXTS = Path("../shared/data/evaluation/wikitext2_test.txt")


def prose(seed: int, words: int = 200) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices("abcdefghijklmnop", k=6)) for _ in range(words)]


def document(number: int, text: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"{number:032x}",
        "url": f"https://site.example/{number}",
        "date": f"2026-01-{number % 28 + 1:02}T00:00:00Z",
        "source": "a.warc.gz",
        "offset": 1000 - number,
        "language": "en",
        "language_score": 1.0,
        "title": "",
        "published": "",
        "text": text,
        **changes,
    }


def run(
    folder: Path, shards: list[list[dict[str, Any]]], params: stage.Params = PARAMS, extra: Sequence[pa.Field] = ()
) -> Metrics:
    (folder / "documents").mkdir(parents=True)
    for number, rows in enumerate(shards):
        with documents.Writer(folder / "documents" / f"{number:05d}.parquet", extra) as writer:
            for row in rows:
                writer.write(row)
    return stage.run(params, documents=folder / "documents", kept=folder / "kept", dropped=folder / "dropped")


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for path in sorted(folder.iterdir()) for row in documents.read(path)}


def corpus() -> list[dict[str, Any]]:
    """Sixty documents in thirty groups: alone, with an exact twin, with an edited one."""
    texts = []
    for group in range(30):
        words = prose(group)
        texts.append(" ".join(words))
        if group % 3 == 1:
            texts += [" ".join(words).upper() + "!"] * 2
        if group % 3 == 2:
            texts.append(" ".join([*words[:-4], *prose(1000 + group, 3)]))
    return [document(number, text) for number, text in enumerate(texts)]


def test_keeps_one_of_each_group_and_says_which(profile: Path, tmp_path: Path) -> None:
    metrics = run(tmp_path, [corpus()])
    assert metrics == {
        "in": 60,
        "out": 30,
        "dropped": {"exact_duplicate": 20, "near_duplicate": 10, "too_short_after_cuts": 0},
        "groups": {"count": 20, "largest": 3},
        "cut": {"documents": 0, "characters": 0},
    }
    kept, dropped = rows(tmp_path / "kept"), rows(tmp_path / "dropped")
    assert set(kept) | set(dropped) == {row["id"] for row in corpus()}
    for row in dropped.values():
        original = kept[row["duplicate_of"]]
        same = row["text"].lower().rstrip("!") == original["text"].lower().rstrip("!")
        assert (row["stage"], row["reason"]) == ("dedup", "exact_duplicate" if same else "near_duplicate")
        assert row["similarity"] == 1.0 if same else 0.8 <= row["similarity"] < 1.0
        assert original["date"] < row["date"]


def test_shards_and_workers_do_not_matter(profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = corpus()
    run(tmp_path / "one", [everything])
    random.Random(0).shuffle(everything)
    several = [everything[:7], [], everything[7:40], everything[40:]]
    run(tmp_path / "several", several)
    text = (tmp_path / "profile.yaml").read_text("utf-8").replace("workers: 1", "workers: 2")
    (tmp_path / "two.yaml").write_text(text.replace(str(profile), str(tmp_path / "other")), "utf-8")
    monkeypatch.setenv("HEADWATER_PROFILE", str(tmp_path / "two.yaml"))
    runtime.profile.cache_clear()
    run(tmp_path / "parallel", several)
    for output in ("kept", "dropped"):
        assert rows(tmp_path / "one" / output) == rows(tmp_path / "several" / output)
        for path in (tmp_path / "several" / output).iterdir():
            assert path.read_bytes() == (tmp_path / "parallel" / output / path.name).read_bytes()


@pytest.mark.parametrize(("keep", "expected"), [("longest", 2), ("earliest", 1), ("first", 3)])
def test_which_one_stays(keep: Any, expected: int, profile: Path, tmp_path: Path) -> None:
    words = prose(0)
    group = [
        document(1, " ".join(words[:-1]), date="2025-01-01T00:00:00Z"),
        document(2, " ".join(words)),
        document(3, " ".join(words[:-2]), offset=0),
    ]
    run(tmp_path, [group], replace(PARAMS, keep=keep))
    assert [int(number, 16) for number in rows(tmp_path / "kept")] == [expected]


def test_one_page_captured_in_two_files_is_not_lost(profile: Path, tmp_path: Path) -> None:
    page = document(1, " ".join(prose(0)))
    metrics = run(tmp_path, [[page], [{**page, "source": "b.warc.gz"}]])
    assert (metrics["out"], metrics["dropped"]["exact_duplicate"]) == (1, 1)


def test_the_highest_score_of_a_column_stays_and_columns_are_carried(profile: Path, tmp_path: Path) -> None:
    words = prose(0)
    group = [
        document(number, " ".join(words[number:])) | {"quality": number % 3, "note": f"n{number}"}
        for number in range(5)
    ]
    extra = [pa.field("quality", pa.float32()), pa.field("note", pa.string())]
    run(tmp_path, [group[:2], group[2:]], replace(PARAMS, keep="quality"), extra)
    kept, dropped = (list(rows(tmp_path / name).values()) for name in ("kept", "dropped"))
    assert [(int(row["id"], 16), row["note"]) for row in kept] == [(2, "n2")]
    assert sorted(row["note"] for row in dropped) == ["n0", "n1", "n3", "n4"]
    with pytest.raises(
        HeadwaterError, match=r"keep is neither a rule nor a column of scores; did you mean 'quality'\?"
    ):
        run(tmp_path / "misspelt", [group], replace(PARAMS, keep="qualty"), extra)


def test_a_column_that_holds_no_score_is_refused(profile: Path, tmp_path: Path) -> None:
    shards = [[document(1, " ".join(prose(0))) | {"quality": None}], [document(2, " ".join(prose(1))) | {"quality": 1}]]
    asked, extra = replace(PARAMS, keep="quality"), [pa.field("quality", pa.float32())]
    assert run(tmp_path / "some", shards, asked, extra)["out"] == 2
    with pytest.raises(HeadwaterError, match=r"dedup\.keep: no document has a score in the column quality"):
        run(tmp_path / "none", shards[:1], asked, extra)


def paragraphs(names: Sequence[str]) -> str:
    """A paragraph of prose for each name, the same for the same name."""
    return "\n\n".join(" ".join(prose(hash_of(name), 60)) for name in names)


def hash_of(name: str) -> int:
    return int.from_bytes(name.encode(), "big")


def manuals() -> list[dict[str, Any]]:
    """Documents that share paragraphs but are no duplicates; the first is the earliest."""
    texts = [["a", "b", "c", "d", "e"], ["a", "f", "g", "h"], ["b", "i", "j"], ["b", "a"]]
    return [document(number, paragraphs(names)) for number, names in enumerate(texts, 1000)]


def test_later_documents_lose_paragraphs_that_one_before_them_has(profile: Path, tmp_path: Path) -> None:
    metrics = run(tmp_path, [manuals()[:2], manuals()[2:]], CUTTING)
    kept, dropped = rows(tmp_path / "kept"), rows(tmp_path / "dropped")
    texts = [row["text"] for row in manuals()]
    assert [row["text"] for row in kept.values()] == [texts[0], paragraphs(["f", "g", "h"]), paragraphs(["i", "j"])]
    assert [(row["reason"], row["duplicate_of"], row["text"]) for row in dropped.values()] == [
        ("too_short_after_cuts", "", texts[3])
    ]
    lost = len(texts[1]) + len(texts[2]) - len(paragraphs(["f", "g", "h"])) - len(paragraphs(["i", "j"]))
    assert metrics["cut"] == {"documents": 2, "characters": lost}


def test_a_paragraph_may_stay_in_several_documents(profile: Path, tmp_path: Path) -> None:
    params = replace(CUTTING, passages=replace(CUTTING.passages, paragraph_documents=2))
    run(tmp_path, [manuals()], params)
    texts = [row["text"] for row in manuals()]
    assert [row["text"] for row in rows(tmp_path / "kept").values()] == texts[:3]


def test_later_documents_lose_runs_of_words(profile: Path, tmp_path: Path) -> None:
    first, second, shared = prose(1, 120), prose(2, 80), prose(3, 50)
    group = [
        document(1, " ".join([*first, *shared, *prose(4, 40)])),
        document(2, " ".join([*second, *shared, *prose(5, 30)])),
        document(3, " ".join([*prose(6, 60), *shared[1:], *prose(7, 30)])),
    ]
    params = replace(PARAMS, passages=replace(PARAMS.passages, run_words=50))
    run(tmp_path, [group], params)
    texts = [row["text"] for row in rows(tmp_path / "kept").values()]
    assert texts == [group[0]["text"], " ".join([*second, *prose(5, 30)]), group[2]["text"]]


def test_what_is_cut_depends_neither_on_shards_nor_on_their_names(profile: Path, tmp_path: Path) -> None:
    everything = manuals() + corpus()
    params = replace(CUTTING, passages=replace(CUTTING.passages, run_words=30))
    run(tmp_path / "one", [everything], params)
    random.Random(1).shuffle(everything)
    run(tmp_path / "several", [everything[:9], everything[9:20], everything[20:]], params)
    for output in ("kept", "dropped"):
        assert rows(tmp_path / "one" / output) == rows(tmp_path / "several" / output)


def test_a_new_shard_is_signed_and_the_others_are_not_signed_again(profile: Path, tmp_path: Path) -> None:
    everything = corpus()
    run(tmp_path / "before", [everything[:30], everything[30:50]])
    built = {path: (path / "commit.json").stat().st_mtime_ns for path in (profile / "dedup-signatures").iterdir()}
    run(tmp_path / "after", [everything[:30], everything[30:50], everything[50:]])
    after = {path: (path / "commit.json").stat().st_mtime_ns for path in (profile / "dedup-signatures").iterdir()}
    assert len(built) == 2
    assert len(after) == 3
    assert built.items() < after.items()


@pytest.mark.skipif(not TEXTS.exists(), reason="../shared/data is not there")
def test_near_duplicates_of_real_texts_are_found_and_nothing_else(profile: Path, tmp_path: Path) -> None:
    draw = random.Random(0)
    articles = [text.split() for text in TEXTS.read_text("utf-8").split("\n") if len(text.split()) > 150][:120]
    texts = {}
    for number, words in enumerate(articles):
        for copy in range(4):
            changed = list(words)
            for _ in range(draw.randrange(4)):  # a passage goes, or comes from elsewhere
                place, length = draw.randrange(len(changed)), draw.randrange(12)
                changed[place : place + length] = draw.choice(articles)[:length] if draw.random() < 0.5 else []
            texts[f"{4 * number + copy:032x}"] = " ".join(changed)
    run(tmp_path, [[document(int(name, 16), text) for name, text in texts.items()]])
    kept, dropped = rows(tmp_path / "kept"), rows(tmp_path / "dropped")
    sets = {
        name: {tuple(words[n : n + 5]) for n in range(len(words) - 4)}
        for name, words in zip(texts, map(split, texts.values()), strict=True)
    }
    pairs = {
        pair: len(sets[pair[0]] & sets[pair[1]]) / len(sets[pair[0]] | sets[pair[1]])
        for pair in itertools.combinations(texts, 2)
        if int(pair[0], 16) // 4 == int(pair[1], 16) // 4
    }
    surely = [pair for pair, similarity in pairs.items() if similarity >= PARAMS.similarity + 0.1]
    missed = [pair for pair in surely if set(pair) <= set(kept)]
    assert len(surely) > 100
    assert len(missed) <= 0.01 * len(surely)
    for name, row in dropped.items():
        one, other = sets[name], sets[row["duplicate_of"]]
        assert len(one & other) / len(one | other) == pytest.approx(row["similarity"])
        assert row["duplicate_of"] in kept
        assert row["similarity"] >= PARAMS.similarity


@pytest.mark.parametrize(
    ("keep", "date", "more"),
    [
        ("earliest", "2026-01-01T00:00:00Z", " at greater length"),
        ("earliest", "2026-02-01T00:00:00Z", " at greater length"),
        ("first", "2025-01-01T00:00:00Z", " at greater length"),
        ("longest", "2026-01-01T00:00:00Z", ""),
    ],
)
def test_what_a_later_archive_brings_again_takes_no_ones_place(
    keep: str, date: str, more: str, profile: Path, tmp_path: Path
) -> None:
    texts = [" ".join(prose(seed)) for seed in range(3)]
    known = [document(9 - number, text, date="2026-01-01T00:00:00Z") for number, text in enumerate(texts)]
    again = [document(number, text + more, date=date, source="b.warc.gz") for number, text in enumerate(texts)]
    run(tmp_path / "known", [known], replace(PARAMS, keep=keep))
    run(tmp_path / "grown", [known, again], replace(PARAMS, keep=keep))
    first = "00000.parquet"  # taken as it is: the same file of the work area
    assert (tmp_path / "known/kept" / first).samefile(tmp_path / "grown/kept" / first)
    assert list(rows(tmp_path / "grown" / "kept")) == [row["id"] for row in known]
