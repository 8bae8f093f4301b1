"""Shared runs of words are found, with the source that comes first."""

from pathlib import Path

import numpy as np

from stages.web.duplicates.overlap import Index, distinct
from stages.web.duplicates.shingles import WordHashes, ngrams


def test_finds_shared_runs_and_names_the_first_source(tmp_path: Path) -> None:
    sources = [distinct(["one two three four"], 3), distinct(["Two, three: four! five", "too short"], 3)]
    Index.merge(sources).save(tmp_path / "index.npy")
    index = Index.load(tmp_path / "index.npy")
    own = ngrams(WordHashes().of("zero one two three four five"), 3)
    positions = index.find(own)
    assert positions.tolist() == [1, 2, 3]
    assert index.sources_of(own[positions]).tolist() == [0, 0, 1]


def test_an_empty_index_finds_nothing() -> None:
    index = Index.merge([np.zeros(0, np.uint64)])
    assert len(index.find(ngrams(WordHashes().of("one two three four"), 3))) == 0
