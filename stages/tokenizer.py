"""Learn a vocabulary from the training documents: sentencepiece BPE or byte-level BPE, in the form of transformers.

The stage proves on the documents themselves and on hostile text that two implementations give the same ids and the text
back: of sentencepiece its own and ``tokenizers``, of byte-level BPE ``tokenizers`` and gigatoken.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, PositiveInt

from stages.core import documents as document_shards
from stages.core import shards
from stages.core.errors import HeadwaterError
from stages.core.params import params
from stages.core.progress import log
from stages.core.stage import Metrics, main
from stages.text import byte_level, conversion, encoding, parity, tokenizers, vocabulary
from stages.text.encoding import Encode
from stages.text.tokenizers import Tokenizer


@params
class Params:
    kind: Literal["sentencepiece", "byte_level"]
    """sentencepiece: BPE over characters with byte fallback, which every runtime of GGUF reads. byte_level: BPE over
    bytes within GPT-4's kind of words, which keeps every character and is the faster one to encode with."""
    vocab_size: Annotated[int, Field(ge=1, le=1 << 24)]
    """Tokens in the vocabulary: 8 control tokens, 256 bytes, the rest learned."""
    max_bytes: PositiveInt
    """Bytes of text the vocabulary is learned from: whole documents, drawn by seed. Memory is about ten times that."""
    character_coverage: Annotated[float, Field(ge=0.98, le=1)]
    """Share of the text's characters that get a piece of their own, 0.98–1; rarer ones are spelled in bytes. Of the
    sentencepiece kind."""
    max_piece_length: Annotated[int, Field(ge=1, le=512)]
    """Characters of the longest piece; of the byte-level kind, bytes."""
    checked_bytes: PositiveInt
    """Bytes of text, out of that above, on which both tokenizers are compared and measured."""
    seed: int
    """Draws the documents."""


def run(params: Params, *, documents: Path, tokenizer: Path) -> Metrics:
    """Learn, convert, prove and measure the tokenizer.

    Args:
        documents: training documents
        tokenizer: folder for the tokenizer: tokenizer.model (sentencepiece), tokenizer.json, chat template
    """
    units = [shards.Unit(inputs=tuple(document_shards.files(documents)), outputs={"tokenizer": "tokenizer"})]
    (built,) = shards.build(make, params, units, label="tokenizer")
    shards.publish_file(built.outputs["tokenizer"], tokenizer)
    return built.metrics


def make(params: Params, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Make the tokenizer's folder from all document shards."""
    total = document_shards.count(inputs)
    if not total:
        raise HeadwaterError("no training document: the stages before dropped all of them; see metrics/*.json")
    drawn = vocabulary.draw(inputs, params.seed, params.max_bytes)
    chosen = vocabulary.within(drawn, params.max_bytes)
    folder = outputs["tokenizer"]
    folder.mkdir()
    learn = _sentencepiece if params.kind == "sentencepiece" else _byte_level
    learn(params, (document["text"] for document in _read(inputs, chosen)), folder)
    tokenizer = tokenizers.load(folder)
    checked = list(_read(inputs, vocabulary.within(drawn, min(params.checked_bytes, params.max_bytes))))
    texts = [*parity.hostile(), *((f"document {document['id']}", document["text"]) for document in checked)]
    parity.prove(tokenizer, conversion.load(folder), texts)
    encode, agreeing = _fastest(tokenizer, texts)
    counts = {"in": total, "out": len(chosen), "dropped": {"not_sampled": total - len(chosen)}}
    counts |= {"vocab_size": tokenizer.vocab_size, "gigatoken_agrees": agreeing}
    return counts | _figures(tokenizer, encode, checked)


def _sentencepiece(params: Params, texts: Iterable[str], folder: Path) -> None:
    model = vocabulary.learn(texts, params.vocab_size, params.character_coverage, params.max_piece_length)
    (folder / tokenizers.MODEL).write_bytes(model)
    conversion.save(conversion.convert(tokenizers.parse(model)), folder)


def _byte_level(params: Params, texts: Iterable[str], folder: Path) -> None:
    conversion.save(byte_level.learn(texts, params.vocab_size, params.max_piece_length), folder)


def _read(inputs: Sequence[Path], chosen: set[str]) -> Iterator[dict[str, Any]]:
    for path in inputs:
        for document in document_shards.read(path, ("id", "language", "text")):
            if document["id"] in chosen:
                yield document


def _fastest(tokenizer: Tokenizer, texts: Sequence[tuple[str, str]]) -> tuple[Encode, int]:
    """What encodes as the tokenizer does, the fastest there is, and on how many texts gigatoken was seen to agree."""
    try:
        encode = encoding.fast(tokenizer)
        for name, text in texts:
            encoding.agree(tokenizer, encode, name, text)
    except encoding.MismatchError as difference:
        log(f"tokenizer: {difference}; packing will use the tokenizer itself, which takes longer")
        return tokenizer.encode, 0
    return encode, len(texts)


def _figures(tokenizer: Tokenizer, encode: Encode, checked: Sequence[Mapping[str, Any]]) -> Metrics:
    """Bytes per token of the checked documents, in all and by language, and what the vocabulary is made of."""
    used = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    size: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    for document in checked:
        ids = np.asarray(encode(document["text"]), dtype=np.int64)
        used += np.bincount(ids, minlength=len(used))
        size[document["language"]] += len(document["text"].encode())
        tokens[document["language"]] += len(ids)
    first = tokenizers.FIRST_LEARNED
    return {
        "checked": {"documents": len(checked), "bytes": size.total(), "tokens": tokens.total()},
        "bytes_per_token": round(size.total() / max(tokens.total(), 1), 4),
        "bytes_per_token_by_language": {
            language: round(size[language] / max(tokens[language], 1), 4)
            for language, _ in sorted(size.items(), key=lambda entry: (-entry[1], entry[0]))[:10]
        },
        "byte_tokens": int(used[len(tokenizers.CONTROL) : first].sum()),
        "unused_pieces": int((used[first:] == 0).sum()),
        "longest_piece": max((len(tokenizer.piece(token)) for token in range(first, len(used))), default=0),
    }


if __name__ == "__main__":
    main(run)
