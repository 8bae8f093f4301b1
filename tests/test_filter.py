"""The filter stage: what it keeps, why it drops, and that it decides as datatrove does."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stages import filter as stage
from stages.core import documents
from stages.core.errors import HeadwaterError
from stages.core.params import load
from stages.core.stage import Metrics
from tests.web.rules import fasttext_file

PARAMS = load(stage.Params, "filter")
# Without the list of millions of hosts, which takes seconds to prepare; its own tests are in tests/web/rules.
QUICK = replace(PARAMS, urls=replace(PARAMS.urls, blocklists=False, hosts=["refused.example"]))

SENTENCES = [
    "The gardener walked down to the river to see whether the boat was still there.",
    "She had left it the evening before, tied to a post with a piece of old rope.",
    "Nobody in the village would have taken it, but the water had been rising for days.",
    "When she came around the last bend, the post stood alone in the brown current.",
    "It took her most of the morning to find the boat, caught in the branches of a willow.",
    "The oars were gone, and one of the planks had come loose, yet it could be mended.",
]
GOOD = "# The boat\n\n" + "\n\n".join(SENTENCES)


def document(number: int, text: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"{number:032x}",
        "url": f"https://site.example/{number}",
        "date": "2026-01-01T00:00:00Z",
        "source": "a.warc.gz",
        "offset": number,
        "language": "en",
        "language_score": 0.99,
        "title": "",
        "published": "",
        "text": text,
        **changes,
    }


def shard(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with documents.Writer(path) as writer:
        for row in rows:
            writer.write(row)


def run(tmp_path: Path, rows: list[dict[str, Any]], params: stage.Params = QUICK) -> Metrics:
    shard(tmp_path / "documents" / "00000.parquet", rows)
    paths = {name: tmp_path / name for name in ("documents", "examples", "kept", "dropped")}
    return stage.run(params, **paths)


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.iterdir()):
        yield from documents.read(path)


def test_keeps_prose_with_its_structure_and_without_addresses(profile: Path, tmp_path: Path) -> None:
    text = GOOD + "\n\n```\nboat --mend\n```\n\nAsk the owner at owner@boats.example about the price of it."
    metrics = run(tmp_path, [document(1, text)])
    (kept,) = rows(tmp_path / "kept")
    expected = document(1, text.replace("owner@boats.example", "[email]"), language_score=pytest.approx(0.99))
    assert {name: kept[name] for name in expected} == expected
    assert {kind: count for kind, count in metrics["personal_data"].items() if count} == {"email": 1}


def test_every_drop_has_its_reason_and_its_text(profile: Path, tmp_path: Path) -> None:
    bad = {
        "url_host": document(2, GOOD, url="https://www.refused.example/"),
        "language": document(3, GOOD, language="de"),
        "language_score": document(4, GOOD, language_score=0.3),
        "empty": document(5, " \n"),
        "gopher_repeated_paragraphs": document(6, "\n\n".join([SENTENCES[0]] * 9)),
        "gopher_too_few_words": document(7, SENTENCES[0] + " " + SENTENCES[1]),
        "c4_lorem_ipsum": document(8, GOOD + "\nAnd so lorem ipsum goes."),
        "fineweb_line_punctuation": document(9, "\n".join(line.rstrip(".") + " and" for line in SENTENCES)),
        "listed_words": document(10, GOOD.replace("boat", "anus")),
    }
    metrics = run(tmp_path, [document(1, GOOD), *bad.values()])
    assert metrics["in"] == 10
    assert metrics["out"] == 1
    assert metrics["dropped"] == dict.fromkeys(sorted(bad), 1)
    dropped = {row["reason"]: row for row in rows(tmp_path / "dropped")}
    assert {reason: row["text"] for reason, row in dropped.items()} == {k: v["text"] for k, v in bad.items()}
    assert {row["stage"] for row in dropped.values()} == {"filter"}


@pytest.mark.parametrize("text", ["```\n```", "```\n```\n\n```\n\n```", "# \n## ", "\x1c"])
def test_marks_without_a_text_are_no_text(profile: Path, tmp_path: Path, text: str) -> None:
    loose = replace(
        QUICK,
        gopher=replace(QUICK.gopher, min_words=0, min_stop_words=0),
        annotate=replace(QUICK.annotate, marks=False),
    )
    assert run(tmp_path, [document(1, GOOD), document(2, text)], loose)["dropped"] == {"empty": 1}


def test_no_document_left_names_the_rules(profile: Path, tmp_path: Path) -> None:
    with pytest.raises(
        HeadwaterError,
        match="no document is left of 3; dropped: language 2, gopher_too_few_words 1; languages: de 1, en 1, fr 1;",
    ):
        run(
            tmp_path,
            [document(1, GOOD, language="de"), document(2, GOOD, language="fr"), document(3, " ".join(SENTENCES[:2]))],
        )


def test_the_lists_of_datatrove_are_used(profile: Path, tmp_path: Path) -> None:
    adult = document(2, GOOD, url="https://www.pornhub.com/a")
    metrics = run(tmp_path, [document(1, GOOD), adult], PARAMS)
    assert metrics["dropped"] == {"url_listed": 1}


def test_another_threshold_reads_no_text_again(profile: Path, tmp_path: Path) -> None:
    texts = [document(1, GOOD), document(2, GOOD.replace("boat", "ship") + "\n\nIt was not the first time.")]
    run(tmp_path, texts)
    scored = {path.name: path.stat().st_mtime_ns for path in (profile / "filter-scores").rglob("*.parquet")}
    before = {row["id"]: row["words"] for row in rows(tmp_path / "kept")}
    least = 1 + int(min(before.values()))
    strict = replace(QUICK, gopher=replace(QUICK.gopher, min_words=least))
    assert run(tmp_path, texts, strict)["dropped"] == {"gopher_too_few_words": 1}
    (dropped,) = rows(tmp_path / "dropped")
    assert dropped["words"] == before[dropped["id"]] < least
    assert {path.name: path.stat().st_mtime_ns for path in (profile / "filter-scores").rglob("*.parquet")} == scored
    (field,) = (field for field in pq.read_schema(tmp_path / "kept" / "00000.parquet") if field.name == "words")
    assert field.metadata == {b"at_least": str(least).encode(), b"at_most": b"100000"}


def test_thresholds_may_differ_by_language(profile: Path, tmp_path: Path) -> None:
    sentence = (
        "Donaudampfschifffahrtsgesellschaften und Bundesverfassungsgerichtsentscheidungen begrüßen den Landrat {}."
    )
    names = ("Arndt", "Bauer", "Conrad", "Dietz", "Ernst", "Frey", "Graf", "Hahn", "Iven", "Jung", "Kern", "Lang")
    text = "\n\n".join(sentence.format(name) for name in names)
    both = replace(
        QUICK, languages=["en", "de"], repetition=replace(QUICK.repetition, top_ngrams={}, repeated_ngrams={})
    )
    texts = [document(1, GOOD), document(2, text, language="de"), document(3, text)]
    metrics = run(tmp_path, texts, replace(both, by_language={"de": {"gopher": {"max_word_length": 20}}}))
    assert metrics["dropped"] == {"gopher_long_words": 1}
    assert [row["id"] for row in rows(tmp_path / "kept")] == [f"{number:032x}" for number in (1, 2)]


@pytest.mark.parametrize(
    ("differing", "message"),
    [
        ({"de": {"goper": {}}}, r"filter\.by_language\.de\.goper cannot differ by language; did you mean 'gopher'\?"),
        ({"de": {"gopher": {"min_wrds": 3}}}, r"filter\.by_language\.de\.gopher\.min_wrds is not a parameter"),
        ({"de": {"min_language_score": 85}}, r"filter\.by_language\.de\.min_language_score: Input should be less"),
        ({"de": {"min_language_score": "high"}}, r"filter\.by_language\.de\.min_language_score must be a number"),
    ],
)
def test_a_wrong_value_for_a_language_is_named(
    profile: Path, tmp_path: Path, differing: dict[str, Any], message: str
) -> None:
    with pytest.raises(HeadwaterError, match=message):
        run(tmp_path, [document(1, GOOD)], replace(QUICK, by_language=differing))


def test_a_language_without_stop_words_is_named(profile: Path, tmp_path: Path) -> None:
    with pytest.raises(HeadwaterError, match="stop_words has no list for eo, xx"):
        run(tmp_path, [document(1, GOOD)], replace(QUICK, languages=["en", "xx", "eo"]))


def test_all_languages(profile: Path, tmp_path: Path) -> None:
    texts = [document(1, GOOD), document(2, GOOD, language="xx")]
    assert run(tmp_path, texts, replace(QUICK, languages=[]))["out"] == 2


def test_a_classifier_learns_from_examples(profile: Path, tmp_path: Path) -> None:
    examples = tmp_path / "examples"
    for side, nouns in (("positive", "boat river rope post bend"), ("negative", "casino bonus jackpot offer prize")):
        (examples / side).mkdir(parents=True)
        lines = [
            f"The {a} is near the {b} number {n} today." for n in range(3) for a in nouns.split() for b in nouns.split()
        ]
        (examples / side / "texts.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    learnt = replace(PARAMS.annotate.classifier, kind="trained")
    params = replace(QUICK, annotate=replace(QUICK.annotate, classifier=learnt))
    bad = GOOD.replace("boat", "casino").replace("river", "jackpot").replace("post", "bonus").replace("rope", "prize")
    metrics = run(tmp_path, [document(1, GOOD), document(2, bad)], params)
    assert metrics["classifier"]["held_out_auc"] > 0.95
    assert metrics["dropped"] == {"quality": 1}
    (kept,), (dropped,) = rows(tmp_path / "kept"), rows(tmp_path / "dropped")
    assert kept["quality"] > 0.5 > dropped["quality"]


def test_a_fasttext_model_gives_the_score(profile: Path, tmp_path: Path) -> None:
    pytest.importorskip("fasttext", reason="needs a module fasttext: pip install '.[fasttext]'")
    (tmp_path / "examples").mkdir()
    fasttext_file.write(tmp_path / "examples" / "boats.bin", {"boats": "boat", "ships": "ship"}, 40.0)
    given = replace(PARAMS.annotate.classifier, kind="fasttext", model="boats.bin", label="boats")
    params = replace(QUICK, annotate=replace(QUICK.annotate, classifier=given))
    metrics = run(tmp_path, [document(1, GOOD), document(2, GOOD.replace("boat", "ship"))], params)
    assert metrics["dropped"] == {"quality": 1}
    (kept,), (dropped,) = rows(tmp_path / "kept"), rows(tmp_path / "dropped")
    assert kept["quality"] > 0.99
    assert dropped["quality"] < 0.01


def test_a_missing_model_is_named(profile: Path, tmp_path: Path) -> None:
    given = replace(PARAMS.annotate.classifier, kind="fasttext", model="best.bin")
    with pytest.raises(HeadwaterError, match=r"best\.bin: no model here"):
        run(tmp_path, [document(1, GOOD)], replace(QUICK, annotate=replace(QUICK.annotate, classifier=given)))
