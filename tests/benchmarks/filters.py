"""Do the rules decide as datatrove's filters do, and what do both cost?

    pip install -e '.[benchmarks]'
    python -m tests.benchmarks.filters [--documents data/extract/documents] [--languages en de] [--sample 500]

Takes documents of each language, evenly spread over the shards, and gives each text to datatrove's
GopherRepetitionFilter, GopherQualityFilter, C4QualityFilter and FineWebQualityFilter (as in its FineWeb recipe, with
its own tokenisers) and to the rules of the project with the same thresholds. Prints the share of equal decisions of
each filter, every difference with both reasons and the scores, and megabytes of text per second of one core. Every
filter judges the same text on both sides; for FineWeb's that is what C4's rules here have left of it.

Two differences are meant and not counted. The marks of headings and the fences of code, which extract writes, count as
text on both sides here; the stage leaves them out (`filter.annotate.marks`). And datatrove's C4 filter takes what
stands between white space for a word, in every language: in Chinese, Japanese, Thai a whole sentence is then one word,
and a page of plain prose loses all of its lines as too short. Here a line's words are those of the segmenter, which all
the other filters of both take too. So for these languages lines of any length are judged on both sides, and how many
lines either minimum would take is printed.
"""

import argparse
import dataclasses
import functools
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)

from stages.core import documents, shards
from stages.core.params import load
from stages.filter import Params
from stages.web.rules import c4, quality, repetition
from stages.web.rules.page import Page
from stages.web.rules.rule import Rule, first_broken
from stages.web.rules.segmentation import UNSPACED
from stages.web.rules.words import Vocabulary
from tests.web.rules.datatrove_limits import CLEANING, LIMITS, SHORT_LINE

DATATROVE_CODES = {"zh": "cmn_Hani"}  # its "zh" is another Chinese language
FILTERS = ("repetition", "gopher", "c4", "fineweb")

Verdict = tuple[str | None, dict[str, float]]
"""Reason to drop a text, or None; and the scores behind it, where there are some."""


class Clock:
    """Adds up the processor time of named parts."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def __call__(self, name: str, function: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = function()
        self.seconds[name] += time.process_time() - start
        return result


class Datatrove:
    """datatrove's filters for one language."""

    def __init__(self, language: str, stop_words: list[str]) -> None:
        words = 1 if language in UNSPACED else CLEANING.min_words
        language = DATATROVE_CODES.get(language, language)
        self.filters = {
            "repetition": GopherRepetitionFilter(language=language),
            "gopher": GopherQualityFilter(language=language, stop_words=stop_words),
            "c4": C4QualityFilter(language=language, filter_no_terminal_punct=False, min_words_per_line=words),
            "fineweb": FineWebQualityFilter(language=language),
        }
        self.clock = Clock()

    def __call__(self, text: str, seen: str) -> Iterator[tuple[str, str | None]]:
        """The reason of each filter to drop ``text``, or None; FineWeb's judges ``seen``."""
        for name, one in self.filters.items():
            document = Document(text=seen if name == "fineweb" else text, id="")
            verdict = self.clock(name, functools.partial(one.filter, document))
            yield name, None if verdict is True else verdict[1] if isinstance(verdict, tuple) else "dropped"


class Headwater:
    """The rules of the project for one language, with datatrove's thresholds."""

    def __init__(self, language: str, stop_words: list[str]) -> None:
        self.vocabulary = Vocabulary(language, stop_words)
        self.cleaning = dataclasses.replace(CLEANING, min_words=1) if language in UNSPACED else CLEANING
        self.clock = Clock()
        self.lines = Counter[str]()

    def __call__(self, text: str) -> tuple[str, dict[str, Verdict]]:
        """The lines that FineWeb's rules see, and the verdict of each group of rules."""
        page = Page(text, self.vocabulary)
        self.clock("words", lambda: page.words)
        lines = self.clock("c4", lambda: c4.clean(page, self.cleaning))
        parts: dict[str, tuple[tuple[Rule, ...], Callable[[], dict[str, float]]]] = {
            "repetition": (repetition.RULES, lambda: repetition.scores(page)),
            "gopher": (quality.GOPHER, lambda: quality.gopher_scores(page)),
            "c4": (c4.RULES, lambda: c4.scores(lines)),
            "fineweb": (quality.FINEWEB, lambda: quality.fineweb_scores(lines.seen, lines.words, SHORT_LINE)),
        }
        verdicts: dict[str, Verdict] = {}
        for name, (rules, score) in parts.items():
            scores = self.clock(name, score) if lines.seen or name != "fineweb" else {}
            verdicts[name] = (first_broken(rules, scores, LIMITS) if scores else "empty", scores)
        for line, pieces in zip(page.lines, page.pieces, strict=True):
            self.lines["here"] += 0 < len(pieces) < CLEANING.min_words
            self.lines["there"] += 0 < len(line.split()) < CLEANING.min_words
            self.lines["all"] += len(pieces) > 0
        return "\n".join(lines.seen), verdicts


def sample(folder: Path, language: str, count: int) -> list[dict[str, Any]]:
    """Up to ``count`` documents of a language, evenly spread over the shards."""
    found = [
        document
        for path in shards.files(folder, "*.parquet")
        for document in documents.read(path, ("url", "language", "text"))
        if document["language"] == language and document["text"].strip()
    ]
    return [found[len(found) * number // min(count, len(found))] for number in range(min(count, len(found)))]


def compare(language: str, chosen: list[dict[str, Any]], stop_words: list[str]) -> None:
    """Print agreement, differences and speed over ``chosen``."""
    theirs, ours = Datatrove(language, stop_words), Headwater(language, stop_words)
    for _ in theirs("Words to load the tokeniser with.\n" * 9, "And once more.\n" * 9):
        theirs.clock.seconds.clear()
    equal, all_equal = Counter[str](), 0
    for document in chosen:
        seen, our = ours(document["text"])
        their = dict(theirs(document["text"], seen))
        for name in FILTERS:
            same = (their[name] is None) == (our[name][0] is None)
            equal[name] += same
            if not same:
                scores = {key: round(float(value), 4) for key, value in our[name][1].items()}
                print(f"  {name}: datatrove {their[name]}, here {our[name][0]}: {document['url'][:80]} {scores}")
        all_equal += any(their.values()) == any(reason for reason, _ in our.values())
    size = sum(len(document["text"].encode()) for document in chosen) / 1e6
    print(f"{language}: {len(chosen)} documents, {size:.1f} MB; kept or dropped alike {all_equal / len(chosen):.2%}")
    for name in FILTERS:
        print(
            f"  {name:<12}{equal[name] / len(chosen):8.2%}  "
            f"datatrove {size / theirs.clock.seconds[name]:7.2f} MB/s, here {size / ours.clock.seconds[name]:8.2f} MB/s"
        )
    print(f"  words, once for all of them: {size / ours.clock.seconds['words']:.2f} MB/s")
    their_all, our_all = sum(theirs.clock.seconds.values()), sum(ours.clock.seconds.values())
    print(
        f"  all: datatrove {size / their_all:.2f} MB/s, here {size / our_all:.2f} MB/s: {their_all / our_all:.1f} times"
    )
    if language in UNSPACED:
        print(
            f"  lines of fewer than {CLEANING.min_words} words, of {ours.lines['all']:,}: "
            f"as datatrove counts {ours.lines['there']:,}, as here {ours.lines['here']:,}"
        )


def main() -> None:
    """Compare language by language."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=Path, default=Path("data/extract/documents"))
    parser.add_argument("--languages", nargs="+", default=["en", "de", "fr", "es", "ru", "zh", "ar"])
    parser.add_argument("--sample", type=int, default=500)
    arguments = parser.parse_args()
    stop_words = load(Params, "filter").annotate.stop_words
    for language in arguments.languages:
        chosen = sample(arguments.documents, language, arguments.sample)
        if chosen:
            compare(language, chosen, stop_words[language])
        else:
            print(f"{language}: no document in {arguments.documents}")


if __name__ == "__main__":
    main()
