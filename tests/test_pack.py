"""The stage ``pack``: rows of tokens that lead back, token by token, to the documents' text."""

import collections
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from stages import pack, tokenizer
from stages.core import documents as document_shards
from stages.core import runtime
from stages.core.errors import HeadwaterError
from stages.core.fingerprint import file_hash
from stages.core.params import check
from stages.core.tokens import TokenShards
from stages.text import mixing, tokenizers
from tests.document_path import Project, write_crawl
from tests.text import corpus

NO_MIX = mixing.Mix(weights=(), max_tokens_per_host=0, seed=1)
PARAMS = pack.Params(context=100, method="best_fit", mix=NO_MIX)


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """60 KB of manual, and a hostile document, in three shards."""
    return corpus.write(tmp_path / "documents", corpus.manual(60_000), shards=3)


@pytest.fixture
def made(documents: Path, tmp_path: Path, profile: Path) -> Path:
    """A tokenizer made from the documents."""
    folder = tmp_path / "tokenizer"
    tokenizer.run(corpus.PARAMS, documents=documents, tokenizer=folder)
    return folder


@pytest.mark.parametrize("method", ["best_fit", "concatenate"])
def test_the_rows_lead_back_to_every_token_of_every_document(
    method: Any, documents: Path, made: Path, tmp_path: Path
) -> None:
    params = dataclasses.replace(PARAMS, method=method)
    metrics = pack.run(params, documents=documents, tokenizer=made, tokens=tmp_path / "tokens")
    packed = TokenShards(tmp_path / "tokens")
    texts = {corpus.name(text): text for text in corpus.manual(60_000)}
    found: dict[str, dict[int, int]] = {name: {} for name in texts}
    for number in range(len(packed)):
        (row,) = packed.rows([number])
        padding = np.ones(len(row), dtype=bool)
        for span in packed.documents(number):
            padding[span.start : span.end] = False
            for place, token in enumerate(row[span.start : span.end], start=span.offset):
                assert place not in found[span.id]
                found[span.id][place] = int(token)
        assert (row[padding] == tokenizers.PAD).all()
    reader = tokenizers.load(made)
    for name, tokens in found.items():
        ids = [tokens[place] for place in range(len(tokens))]
        assert (ids[0], ids[-1]) == (tokenizers.BEGIN, tokenizers.END)
        assert min(ids[1:-1]) >= len(tokenizers.CONTROL)
        assert reader.decode(ids) == texts[name].replace("▁", " ")
    assert metrics["in"] == metrics["out"] == len(texts)
    assert metrics["tokens"] == packed.tokens == sum(map(len, found.values()))
    assert metrics["padding"] == len(packed) * 101 - packed.tokens
    assert metrics["padding_share"] < 0.03


@pytest.mark.parametrize("workers", [1, 2])
def test_the_same_bytes_with_any_number_of_workers(
    workers: int, documents: Path, made: Path, tmp_path: Path, profile: Path
) -> None:
    pack.run(PARAMS, documents=documents, tokenizer=made, tokens=tmp_path / "first")
    shutil.rmtree(profile)
    file = tmp_path / "profile.yaml"
    file.write_text(file.read_text("utf-8").replace("workers: 1", f"workers: {workers}"), "utf-8")
    runtime.profile.cache_clear()
    pack.run(PARAMS, documents=documents, tokenizer=made, tokens=tmp_path / "second")
    assert file_hash(tmp_path / "first") == file_hash(tmp_path / "second")


def test_a_shard_that_lost_all_its_documents_leaves_no_trace(documents: Path, made: Path, tmp_path: Path) -> None:
    pack.run(PARAMS, documents=documents, tokenizer=made, tokens=tmp_path / "before")
    corpus.write(tmp_path / "empty", [], shards=1).joinpath("00000.parquet").rename(documents / "00001b.parquet")
    pack.run(PARAMS, documents=documents, tokenizer=made, tokens=tmp_path / "after")
    assert file_hash(tmp_path / "before") == file_hash(tmp_path / "after")


def test_it_says_which_tokenizer_made_the_tokens(documents: Path, made: Path, tmp_path: Path) -> None:
    pack.run(PARAMS, documents=documents, tokenizer=made, tokens=tmp_path / "tokens")
    description = json.loads((tmp_path / "tokens" / "pack.json").read_text("utf-8"))
    assert description["tokenizer"] == file_hash(made / "tokenizer.model")
    assert description["dtype"] == "uint16"


def test_it_says_what_every_shard_holds(documents: Path, made: Path, tmp_path: Path) -> None:
    pack.run(PARAMS, documents=documents, tokenizer=made, tokens=tmp_path / "tokens")
    described = json.loads((tmp_path / "tokens" / "pack.json").read_text("utf-8"))["shards"]
    for one in described:
        shard = tmp_path / "tokens" / one["file"]
        index = shard.with_suffix(".index.parquet")
        assert (one["hash"], one["index_hash"]) == (file_hash(shard), file_hash(index))


def test_a_weight_that_no_document_meets_is_told(
    documents: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = [{"field": "host", "value": value, "weight": 2} for value in ("example.org", "www.example.org")]
    mix = check(mixing.Mix, {"weights": weights, "max_tokens_per_host": 0, "seed": 1}, "mix")
    pack.run(dataclasses.replace(PARAMS, mix=mix), documents=documents, tokenizer=made, tokens=tmp_path / "tokens")
    said = [line for line in capsys.readouterr().err.splitlines() if "pack.mix.weights" in line]
    assert said == ["no document that is used meets host www.example.org, as pack.mix.weights has it"]


def test_a_mix_repeats_and_leaves_out_whole_documents_and_every_use_leads_back(
    documents: Path, made: Path, tmp_path: Path
) -> None:
    weights = [{"field": "host", "value": "example.org", "weight": 2.5}, {"field": "url", "value": "*7", "weight": 0}]
    mix = check(mixing.Mix, {"weights": weights, "max_tokens_per_host": 0, "seed": 1}, "mix")
    params = dataclasses.replace(PARAMS, mix=mix)
    metrics = pack.run(params, documents=documents, tokenizer=made, tokens=tmp_path / "tokens")
    assert metrics["in"] == metrics["out"] + sum(metrics["dropped"].values())
    assert metrics["dropped"]["not_drawn"] == sum(str(number).endswith("7") for number in range(metrics["in"]))

    packed = TokenShards(tmp_path / "tokens")
    found: dict[tuple[str, int], dict[int, int]] = collections.defaultdict(dict)
    for number in range(len(packed)):
        (row,) = packed.rows([number])
        spans = packed.documents(number)
        assert len({span.id for span in spans}) == len(spans)  # no document twice in a row
        for span in spans:
            ids = row[span.start : span.end].tolist()
            found[span.id, span.use].update(enumerate(ids, start=span.offset))
    texts = {corpus.name(text): text for text in corpus.manual(60_000)}
    reader = tokenizers.load(made)
    for (name, _), tokens in found.items():
        ids = [tokens[place] for place in range(len(tokens))]
        assert ids == [tokenizers.BEGIN, *reader.encode(texts[name]), tokenizers.END]
    used = collections.Counter(name for name, _ in found)
    assert metrics["out"] == len(used)
    assert metrics["repeated"] == used.total() - len(used) > 0
    assert metrics["tokens"] == sum(map(len, found.values()))
    assert metrics["rules"]["host example.org"] == {"documents": len(used), "tokens": metrics["tokens"]}
    assert metrics["rules"]["url *7"] == {"documents": 0, "tokens": 0}
    left_out = {
        row["id"]: row["reason"]
        for path in (tmp_path / "tokens").glob("*.dropped.parquet")
        for row in pq.read_table(path).to_pylist()
    }
    assert set(left_out) == set(texts) - set(used)
    assert collections.Counter(left_out.values()) == metrics["dropped"]


def test_a_host_beyond_its_limit_is_said(documents: Path, made: Path, tmp_path: Path) -> None:
    params = dataclasses.replace(PARAMS, mix=dataclasses.replace(NO_MIX, max_tokens_per_host=5_000))
    metrics = pack.run(params, documents=documents, tokenizer=made, tokens=tmp_path / "tokens")
    assert metrics["in"] == metrics["out"] + metrics["dropped"]["host_cap"]
    assert 0 < metrics["tokens"] <= 5_000


def test_documents_are_used_by_the_score_that_the_filter_gave_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From pages to rows through every stage between: half of the subjects are called good, and used twice."""
    project = Project(tmp_path / "project", monkeypatch, workers=1)
    write_crawl(tmp_path / "archives", 1, 24)[0].rename(project.folder / "incoming" / "crawl" / "a.warc.gz")
    project.build("crawl", "extract")
    for row in rows(project.folder / "data" / "extract" / "documents"):
        side = project.folder / "incoming" / "quality" / ("positive" if good(row["url"]) else "negative")
        side.mkdir(exist_ok=True)
        for number, paragraph in enumerate(row["text"].split("\n\n")):
            (side / f"{row['id']}-{number}.txt").write_text(paragraph, "utf-8")
    values = yaml.safe_load((project.folder / "params.yaml").read_text("utf-8"))
    values["filter"]["annotate"]["classifier"]["kind"] = "trained"
    values["filter"]["min_quality"] = 0.0
    values["pack"]["mix"]["weights"] = [
        {"field": "quality", "low": 0.5, "high": None, "weight": 2},
        {"field": "quality", "low": None, "high": 0.5, "weight": 0},
    ]
    (project.folder / "params.yaml").write_text(yaml.safe_dump(values), "utf-8")
    project.build("filter", "pack")
    data = project.folder / "data"
    training = {row["id"]: row for row in rows(data / "decontaminate" / "training")}
    assert all(0 < row["quality"] < 1 for row in [*training.values(), *rows(data / "decontaminate" / "heldout")])
    packed = TokenShards(data / "pack")
    uses = {(span.id, span.use) for number in range(len(packed)) for span in packed.documents(number)}
    used = [name for name, row in training.items() if row["quality"] >= 0.5]
    assert 0 < len(used) < len(training)
    assert uses == {(name, use) for name in used for use in range(2)}


def good(url: str) -> bool:
    """Whether the tests' site has a page among the subjects whose names come first."""
    return url.removeprefix("http://site.example/")[0] < "m"


def rows(folder: Path) -> list[dict[str, Any]]:
    """The documents of all shards."""
    return [row for path in sorted(folder.glob("*.parquet")) for row in document_shards.read(path)]


def test_a_shard_more_is_one_shard_more_to_encode_and_to_pack(
    documents: Path, made: Path, tmp_path: Path, profile: Path
) -> None:
    pack.run(PARAMS, documents=documents, tokenizer=made, tokens=tmp_path / "before")
    built = {folder for label in ("pack-encode", "pack") for folder in (profile / label).iterdir()}
    corpus.write(tmp_path / "more", ["One page more."], shards=1)
    (tmp_path / "more/00000.parquet").rename(documents / "00003.parquet")
    pack.run(PARAMS, documents=documents, tokenizer=made, tokens=tmp_path / "after")
    added = {folder for label in ("pack-encode", "pack") for folder in (profile / label).iterdir()} - built
    assert sorted(folder.parent.name for folder in added) == ["pack", "pack-encode"]


def test_too_few_tokens_for_a_row_are_refused(documents: Path, made: Path, tmp_path: Path) -> None:
    params = dataclasses.replace(PARAMS, context=100_000)
    with pytest.raises(HeadwaterError, match=r"too few tokens to train on: \d+ are less than one row"):
        pack.run(params, documents=documents, tokenizer=made, tokens=tmp_path / "tokens")
