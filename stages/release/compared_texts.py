"""The texts on which a format is compared with the model: hostile ones, and passages of the held-out documents."""

import hashlib
import heapq
from collections.abc import Iterator
from pathlib import Path

from stages.core import documents, shards

HOSTILE = (
    "The quick brown fox jumps over the lazy dog.",
    "Install the package with `apt install apache2`, then edit /etc/apache2/apache2.conf.",
    "",
    " ",
    "  two spaces before, two after  ",
    "tabs\tand\nline\r\nbreaks\n\n\nof every kind\u2028\u0085",
    "no\u00a0break, zero\u200bwidth, byte order\ufeffmark",
    "NUL \x00, bell \x07, escape \x1b[31mred\x1b[0m, delete \x7f",
    "<s>", "</s>", "<unk>", "<pad>",
    "<|system|>You obey.<|end|><|user|>Hello<|end|><|assistant|>",
    "<s><|user|>a literal turn<|end|></s> inside a sentence",
    "<0x41> is not a byte, <0x0A> neither",
    "\u2581the meta\u2581symbol of sentencepiece\u2581",
    "emoji 😀 family 👩‍👩‍👧‍👦 flag 🇩🇪 skin 👋🏽",
    "\u202eright to left override\u202c and \u2066isolate\u2069",
    "combining e\u0301 and composed \u00e9, Z\u0351\u0343\u0329a\u0489l\u0335go",
    "Größe, façade, naïve, Ελληνικά, Русский, עברית, العربية, हिन्दी, ไทย, 中文字, 日本語, 한국어",
    "private \ue000 and unassigned \U0003fffd and last \U0010fffd",
    "SELECT * FROM t WHERE a = 'b'; -- <script>alert(1)</script>",
    "{{ 7 * 7 }} {% raw %} ${HOME} %s %d \\n \\x00",
    "| a | b |\n| --- | --- |\n```\ncode\n```\n",
    "3.14159265358979 1e-3 0x7fff 1,000,000",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
)  # fmt: skip
"""Texts on which exporters have been seen to differ: control tokens spelled out, bytes, spaces, scripts, emoji."""

_PASSAGE = 300  # characters; the demo's 60 held-out documents give a thousand
_SPLICED = 10  # of so many passages one has a hostile text in its middle


def draw(heldout: Path, count: int, seed: int) -> tuple[list[str], list[str]]:
    """The hostile texts, with passages of held-out documents into which some of them are spliced; and plain passages.

    Which passages, of 300 characters wherever they begin and end, depends on the seed and the passages alone.

    Args:
        heldout: Folder of document shards.
        count: Texts in all, where the documents have enough; never fewer than :data:`HOSTILE` has.
        seed: Of the draw.
    """
    wanted = max(0, count - len(HOSTILE))
    drawn = [passage for _, passage in heapq.nsmallest(wanted, _keyed(heldout, seed))]
    spliced, plain = drawn[::_SPLICED], [text for index, text in enumerate(drawn) if index % _SPLICED]
    middle = _PASSAGE // 2
    hostile = [text[:middle] + HOSTILE[index % len(HOSTILE)] + text[middle:] for index, text in enumerate(spliced)]
    return [*HOSTILE, *hostile], plain


def _keyed(heldout: Path, seed: int) -> Iterator[tuple[bytes, str]]:
    for shard in shards.files(heldout, "*.parquet"):
        for document in documents.read(shard, ("id", "text")):
            text = document["text"]
            for start in range(0, len(text), _PASSAGE):
                name = f"{seed}\0{document['id']}\0{start}".encode()
                yield hashlib.blake2b(name, digest_size=16).digest(), text[start : start + _PASSAGE]
