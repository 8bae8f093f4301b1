"""The filter stage: what it keeps, why it drops, and that it decides as datatrove does."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stages import filter as stage
from stages.core import documents
from stages.core.errors import HeadwaterError
from stages.core.params import load
from stages.core.stage import Metrics

PARAMS = load(stage.Params, "filter")
# Without the list of millions of hosts, which takes seconds to prepare; tests/web/test_blocklist.py has one of its own.
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
    return stage.run(params, documents=tmp_path / "documents", kept=tmp_path / "kept", dropped=tmp_path / "dropped")


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.iterdir()):
        yield from documents.read(path)


def test_keeps_prose_with_its_structure_and_without_addresses(profile: Path, tmp_path: Path) -> None:
    text = GOOD + "\n\n```\nboat --mend\n```\n\nAsk the owner at owner@boats.example about the price of it."
    metrics = run(tmp_path, [document(1, text)])
    (kept,) = rows(tmp_path / "kept")
    assert kept == document(1, text.replace("owner@boats.example", "[email]"), language_score=pytest.approx(0.99))
    assert metrics["personal_data"] == {"email": 1, "ip": 0}


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
    }
    metrics = run(tmp_path, [document(1, GOOD), *bad.values()])
    assert metrics["in"] == 9
    assert metrics["out"] == 1
    assert metrics["dropped"] == dict.fromkeys(sorted(bad), 1)
    dropped = {row["reason"]: row for row in rows(tmp_path / "dropped")}
    assert {reason: row["text"] for reason, row in dropped.items()} == {k: v["text"] for k, v in bad.items()}
    assert {row["stage"] for row in dropped.values()} == {"filter"}


def test_no_document_left_names_the_rules(profile: Path, tmp_path: Path) -> None:
    with pytest.raises(HeadwaterError, match="no document is left of 3; dropped: language 2, gopher_too_few_words 1"):
        run(
            tmp_path,
            [document(1, GOOD, language="de"), document(2, GOOD, language="fr"), document(3, " ".join(SENTENCES[:2]))],
        )


def test_the_lists_of_datatrove_are_used(profile: Path, tmp_path: Path) -> None:
    adult = document(2, GOOD, url="https://www.pornhub.com/a")
    metrics = run(tmp_path, [document(1, GOOD), adult], PARAMS)
    assert metrics["dropped"] == {"url_listed": 1}
