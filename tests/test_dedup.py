"""The dedup stage: one of each group stays, whatever the shards and the workers."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stages import dedup as stage
from stages.core import documents, runtime
from stages.core.params import load
from stages.core.stage import Metrics

PARAMS = load(stage.Params, "dedup")


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


def run(folder: Path, shards: list[list[dict[str, Any]]], params: stage.Params = PARAMS) -> Metrics:
    (folder / "documents").mkdir(parents=True)
    for number, rows in enumerate(shards):
        with documents.Writer(folder / "documents" / f"{number:05d}.parquet") as writer:
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
        assert len(original["text"].split()) >= len(row["text"].split())


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
