"""Documents to token ids, fast: through gigatoken where it proves to agree with the tokenizer, else by the tokenizer.

Gigatoken (MIT, https://github.com/marcelroed/gigatoken) encodes English manuals with a sentencepiece model 20 times as
fast as ``tokenizers``, and with byte-level BPE 50 times; where most words are new (30 languages of 180 kB each), 7
and 17 times (tests/benchmarks/tokenising.py). It is young, so it is compared with the tokenizer itself: on texts that
tokenisers disagree on, and on a sample of each shard's documents. One difference, and the tokenizer encodes that shard.
"""

import functools
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import gigatoken
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from stages.core import arrays, fingerprint
from stages.core import documents as document_shards
from stages.core.progress import log
from stages.core.shards import Metrics
from stages.core.tokens import narrowest
from stages.text import conversion, parity, tokenizers
from stages.text.tokenizers import BEGIN, END, Tokenizer

Encode = Callable[[str], npt.ArrayLike]
"""A text to its ids, no control token among them."""

DOCUMENTS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),  # with <s> and </s>
        pa.field("bytes", pa.int64(), nullable=False),  # of its text in UTF-8
    ]
)

# What is compared: the first documents of a shard, then one of so many, by id; and so many characters of each.
_FIRST, _SAMPLED, _COMPARED = 8, 128, 20_000


# Characters that one gigatoken tokenizer encodes: 0.10 keeps every word it has seen, in ten bytes for one of real text.
_RENEWED = 20_000_000


class MismatchError(Exception):
    """Gigatoken refuses a tokenizer, or gives other ids than it."""


def encode_shard(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Encode a shard of documents; ``inputs`` are the shard and the file that decides a tokenizer's ids.

    Writes ``ids``, those of all documents one after the other, each as ``<s> ids </s>``, and ``documents``, a row of
    ``DOCUMENTS`` for each.
    """
    shard, file = inputs
    tokenizer = tokenizers.load(file.parent)
    try:
        compared = _encode(tokenizer, _prepared(file.parent, fingerprint.file_hash(file)), shard, outputs)
        encoder = "gigatoken"
    except MismatchError as difference:
        log(f"{shard.name}: {difference}; the tokenizer itself encodes this shard, which takes longer")
        compared = _encode(tokenizer, tokenizer.encode, shard, outputs)
        encoder = "tokenizer"
    count = pq.read_metadata(outputs["documents"]).num_rows
    return {"in": count, "out": count, "dropped": {}, "compared": compared, "encoder": {encoder: count}}


def fast(tokenizer: Tokenizer) -> Encode:
    """What encodes as the tokenizer does, through gigatoken.

    Raises:
        MismatchError: gigatoken does not know this kind of tokenizer, or differs on hostile text.
    """
    described = json.loads(conversion.convert(tokenizer).to_str())
    described["added_tokens"] = []  # a literal "<s>" is text
    described["post_processor"] = None
    try:
        encode = _Gigatoken(json.dumps(described))
    except (RuntimeError, ValueError) as error:
        raise MismatchError(f"gigatoken refuses the tokenizer: {str(error).splitlines()[0]}") from None
    for name, text in parity.hostile():
        agree(tokenizer, encode, name, text)
    return encode


class _Gigatoken:
    """Encodes by gigatoken, within bounded memory."""

    def __init__(self, described: str) -> None:
        self._described = described
        self._renew()

    def __call__(self, text: str) -> npt.NDArray[np.uint32]:
        if self._left < 0:
            self._renew()
        self._left -= len(text)
        return self._encode(text)

    def _renew(self) -> None:
        self._encode = gigatoken.Tokenizer.from_json(self._described).encode
        self._left = _RENEWED


@functools.lru_cache(maxsize=1)  # a worker process encodes many shards with one tokenizer
def _prepared(folder: Path, _content: str) -> Encode:
    return fast(tokenizers.load(folder))


def _encode(tokenizer: Tokenizer, encode: Encode, shard: Path, outputs: Mapping[str, Path]) -> int:
    """Encode a shard and write it; the number of documents on which ``encode`` was compared with the tokenizer."""
    dtype = narrowest(tokenizer.vocab_size)
    begin, end = np.array([BEGIN], dtype), np.array([END], dtype)
    parts = [np.empty(0, dtype)]
    names: list[str] = []
    lengths, sizes = [], []
    compared = 0
    for document in document_shards.read(shard, ("id", "text")):
        name, text = document["id"], document["text"]
        if encode != tokenizer.encode and (len(names) < _FIRST or zlib.crc32(name.encode()) % _SAMPLED == 0):
            agree(tokenizer, encode, f"document {name}", text[:_COMPARED])
            compared += 1
        ids = np.asarray(encode(text)).astype(dtype)
        parts += [begin, ids, end]
        names.append(name)
        lengths.append(len(ids) + 2)
        sizes.append(len(text.encode()))
    arrays.save(outputs["ids"], np.concatenate(parts))
    table = pa.table({"id": names, "tokens": lengths, "bytes": sizes}, schema=DOCUMENTS)
    pq.write_table(table, outputs["documents"], compression="zstd")
    return compared


def agree(tokenizer: Tokenizer, encode: Encode, name: str, text: str) -> None:
    """Compare on one text.

    Raises:
        MismatchError: the ids differ; names the text.
    """
    if tokenizer.encode(text) != np.asarray(encode(text)).tolist():
        raise MismatchError(f"gigatoken encodes {name} in another way")
