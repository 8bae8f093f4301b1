"""How often documents are used: as their weights say, whatever shards they lie in, and no host beyond its limit."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.core import documents
from stages.core.errors import HeadwaterError
from stages.core.params import check
from stages.text import mixing

Rows = Sequence[Mapping[str, Any]]

BASE = {
    "url": "https://a.example/",
    "date": "",
    "source": "a.warc.gz",
    "offset": 0,
    "language": "en",
    "language_score": 1.0,
    "title": "",
    "published": "",
    "text": "",
}


def write(folder: Path, shards: Sequence[Rows], extra: Sequence[pa.Field] = ()) -> tuple[list[Path], list[Path]]:
    """Shards of documents, and their lengths in tokens."""
    folder.mkdir()
    written, lengths = [], []
    for number, rows in enumerate(shards):
        written.append(folder / f"{number}.parquet")
        with documents.Writer(written[-1], extra) as writer:
            for row in rows:
                writer.write({**BASE, **row})
        lengths.append(folder / f"{number}.lengths.parquet")
        pq.write_table(pa.table({"tokens": [row.get("tokens", 10) for row in rows]}), lengths[-1])
    return written, lengths


def use(folder: Path, shards: Sequence[Rows], extra: Sequence[pa.Field] = (), **mix: Any) -> dict[str, tuple[int, int]]:
    """Id to times drawn and times used."""
    values = {"weights": [], "max_tokens_per_host": 0, "seed": 1} | mix
    written, lengths = write(folder, shards, extra)
    outputs = {path.stem: folder / f"{path.stem}.uses.parquet" for path in written}
    mixing.uses(check(mixing.Mix, values, "params.yaml: pack.mix"), [*written, *lengths], outputs)
    found: dict[str, tuple[int, int]] = {}
    for rows, path in zip(shards, outputs.values(), strict=True):
        table = pq.read_table(path)
        counts = zip(table["drawn"].to_pylist(), table["used"].to_pylist(), strict=True)
        found |= dict(zip((row["id"] for row in rows), counts, strict=True))
    return found


def test_without_rules_every_document_is_used_once(tmp_path: Path) -> None:
    assert use(tmp_path / "a", [[{"id": "a"}, {"id": "b"}], []]) == {"a": (1, 1), "b": (1, 1)}


@pytest.mark.parametrize(("weight", "times"), [(0, {0}), (0.3, {0, 1}), (1, {1}), (2, {2}), (2.6, {2, 3})])
def test_a_weight_is_the_number_of_uses_to_expect(weight: float, times: set[int], tmp_path: Path) -> None:
    rows = [{"id": f"{number:032x}", "language": ("en", "de")[number % 2]} for number in range(2000)]
    found = use(tmp_path / "a", [rows], weights=[{"field": "language", "value": "de", "weight": weight}])
    german = [found[row["id"]][1] for row in rows if row["language"] == "de"]
    assert set(german) == times
    assert sum(german) / len(german) == pytest.approx(weight, abs=0.05)
    assert {found[row["id"]] for row in rows if row["language"] == "en"} == {(1, 1)}


def test_a_lower_weight_keeps_a_part_of_what_a_higher_one_keeps(tmp_path: Path) -> None:
    rows = [{"id": f"{number:032x}"} for number in range(200)]
    kept = []
    for weight in (0.2, 0.6):
        found = use(tmp_path / str(weight), [rows], weights=[{"field": "language", "value": "*", "weight": weight}])
        kept.append({name for name, (_, used) in found.items() if used})
    assert kept[0] < kept[1]


def test_rules_are_met_by_source_host_and_quality_and_multiply(tmp_path: Path) -> None:
    rows: Rows = [
        {"id": "a", "source": "wiki-1.warc.gz", "quality": 0.9},
        {"id": "b", "url": "https://docs.example.org/x", "quality": 0.5},
        {"id": "c", "url": "https://docs.example.org/y", "source": "wiki-2.warc.gz", "quality": 0.49},
        {"id": "d", "url": "https://[broken", "quality": None},
    ]
    rules = [
        {"field": "source", "value": "wiki-*", "weight": 2},
        {"field": "host", "value": "*.example.org", "weight": 3},
        {"field": "quality", "low": 0.5, "high": 0.9, "weight": 5},
        {"field": "quality", "low": 0.9, "high": None, "weight": 7},
    ]
    found = use(tmp_path / "a", [rows], [pa.field("quality", pa.float64())], weights=rules)
    assert {name: used for name, (_, used) in found.items()} == {"a": 14, "b": 15, "c": 6, "d": 1}


def test_a_host_gets_its_limit_and_first_uses_come_first(tmp_path: Path) -> None:
    hosts = ("https://a.example/", "https://b.example/")
    rows: list[dict[str, Any]] = [
        {"id": f"{number:032x}", "url": hosts[number % 2], "tokens": 7} for number in range(40)
    ]
    found = use(
        tmp_path / "a",
        [rows],
        weights=[{"field": "host", "value": "a.example", "weight": 2}],
        max_tokens_per_host=7 * 25,
    )
    first = [found[row["id"]] for row in rows[::2]]
    assert sorted(used for _, used in first) == [1] * 15 + [2] * 5
    assert {found[row["id"]] for row in rows[1::2]} == {(1, 1)}
    tight = use(tmp_path / "b", [rows], max_tokens_per_host=7 * 5 + 6)
    assert [sum(tight[row["id"]][1] for row in rows[start::2]) for start in (0, 1)] == [5, 5]
    assert {drawn for drawn, _ in tight.values()} == {1}


def test_shards_and_their_order_decide_nothing(tmp_path: Path) -> None:
    rows = [{"id": f"{number:032x}", "tokens": 5 + number % 7} for number in range(90)]
    mix: dict[str, Any] = {
        "weights": [{"field": "language", "value": "en", "weight": 1.7}],
        "max_tokens_per_host": 300,
    }
    one = use(tmp_path / "one", [rows], **mix)
    many = use(tmp_path / "many", [rows[60:], rows[:20], rows[20:60][::-1]], **mix)
    assert one == many
    assert use(tmp_path / "seed", [rows], **(mix | {"seed": 2})) != one


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"field": "langauge", "value": "de", "weight": 1}, "no field langauge; did you mean 'language'"),
        ({"field": "language", "low": 0, "high": 1, "weight": 1}, "language holds no numbers"),
        ({"field": "language", "value": "de", "weight": -1}, r"weights\.0\.match\.weight: Input should be greater"),
        ({"field": "language", "low": 0, "hihg": 1, "weight": 1}, r"0\.band\.hihg is not a parameter; .* 'high'"),
        (
            {"field": "language", "value": "de", "wieght": 1},
            r"0\.match\.wieght is not a parameter; .* 'weight'",
        ),
    ],
)
def test_a_rule_that_cannot_be_met_is_explained(rule: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(HeadwaterError, match=message):
        use(tmp_path / "a", [[{"id": "a"}]], weights=[rule])
