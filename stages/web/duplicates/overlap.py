"""An index of word n-grams, and where a document has one of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.core import arrays
from stages.web.duplicates.shingles import Hashes, WordHashes, members, ngrams

_PENDING = 10_000_000  # n-grams collected before repeated ones are removed, 80 MB


def distinct(texts: Iterable[str], n: int) -> Hashes:
    """The set of n-grams of ``texts``, sorted; a text of fewer than ``n`` words has none."""
    hashes = WordHashes()
    found = [np.zeros(0, np.uint64)]
    pending = 0
    for text in texts:
        found.append(ngrams(hashes.of(text), n))
        pending += len(found[-1])
        if pending > _PENDING:
            found, pending = [members(np.concatenate(found))], 0
    return members(np.concatenate(found))


@dataclass(frozen=True)
class Index:
    """The n-grams to look for, and the source that each comes from."""

    ngrams: Hashes
    """Sorted, without repetition."""
    sources: npt.NDArray[np.uint32]
    """Number of the source of each, the lowest where several have it."""

    @classmethod
    def merge(cls, sources: Sequence[Hashes]) -> "Index":
        """The index over the n-grams of several sources, numbered from 0."""
        numbers = np.repeat(np.arange(len(sources), dtype=np.uint32), [len(source) for source in sources])
        # np.unique names the first occurrence, which is that in the lowest source.
        found, first = np.unique(np.concatenate(sources), return_index=True)
        return cls(found, numbers[first])

    @classmethod
    def load(cls, path: Path) -> "Index":
        """An index as :meth:`save` wrote it."""
        table = np.load(path)
        return cls(np.ascontiguousarray(table["ngram"]), np.ascontiguousarray(table["source"]))

    def save(self, path: Path) -> None:
        """Write the index as one array."""
        table = np.empty(len(self.ngrams), [("ngram", "u8"), ("source", "u4")])
        table["ngram"], table["source"] = self.ngrams, self.sources
        arrays.save(path, table)

    def find(self, own: Hashes) -> npt.NDArray[np.int64]:
        """Positions in ``own``, the n-grams of a document in order, of those that the index has."""
        if not len(self.ngrams):
            return np.zeros(0, np.int64)
        places = np.minimum(np.searchsorted(self.ngrams, own), len(self.ngrams) - 1)
        return np.flatnonzero(self.ngrams[places] == own)

    def sources_of(self, found: Hashes) -> npt.NDArray[np.uint32]:
        """Numbers of the sources of n-grams that the index has."""
        return self.sources[np.searchsorted(self.ngrams, found)]
