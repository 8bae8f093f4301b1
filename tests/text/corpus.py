"""Document shards and a tokenizer for the tests: Python's own manual as text, some of it hostile."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from pydoc_data.topics import topics

from stages import tokenizer
from stages.core import documents

HOSTILE = (
    "Type <s> or </s>, <|user|> and <|end|>;\r\n\tNUL \0, ▁, a family \U0001f469\u200d\U0001f469\u200d\U0001f467, "
    "a lone \u0301 mark,\u202e \u05e9\u05dc\u05d5\u05dd   <0x0A>\n\n\n```\n    x\n```"
)

PARAMS = tokenizer.Params(
    kind="sentencepiece",
    vocab_size=600,
    max_bytes=100_000,
    character_coverage=0.9995,
    max_piece_length=16,
    checked_bytes=50_000,
    seed=1,
)


def manual(size: int) -> list[str]:
    """The first topics of Python's manual, ``size`` characters or a little more, and one hostile text."""
    texts = [HOSTILE]
    for name in sorted(topics):
        if sum(map(len, texts)) >= size:
            break
        texts.append(topics[name])
    return texts


def name(text: str) -> str:
    """Id of the document with that text."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def write(folder: Path, texts: Iterable[str], shards: int = 2, languages: Sequence[str] = ("en",)) -> Path:
    """Deal the texts out to document shards; gives the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    dealt = list(texts)
    for shard in range(shards):
        with documents.Writer(folder / f"{shard:05d}.parquet") as writer:
            for number, text in list(enumerate(dealt))[shard::shards]:
                writer.write(
                    {
                        "id": name(text),
                        "url": f"https://example.org/{number}",
                        "date": "2026-01-02T03:04:05Z",
                        "source": "a.warc.gz",
                        "offset": number,
                        "language": languages[number % len(languages)],
                        "language_score": 1.0,
                        "title": "",
                        "published": "",
                        "text": text,
                    }
                )
    return folder
