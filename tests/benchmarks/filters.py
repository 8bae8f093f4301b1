"""Do the rules decide as datatrove's filters do, and what do both cost?

    pip install -e '.[benchmarks]'
    python tests/benchmarks/filters.py [--documents data/extract/documents] [--languages en de] [--sample 500]

Takes documents of each language, evenly spread over the shards, and gives each text to datatrove's
GopherRepetitionFilter, GopherQualityFilter, C4QualityFilter and FineWebQualityFilter (as in its FineWeb recipe, with
its own tokenisers) and to the rules of the project with the same thresholds. Prints the share of equal decisions, every
difference with both reasons and the scores, and megabytes of text per second of one core. What FineWeb's rules see is
what C4's have left, on either side.
"""

import argparse
import functools
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
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
from stages.web.rules.words import Vocabulary

# The thresholds of datatrove's filters; sentences end lines in any case.
LIMITS = SimpleNamespace(
    repetition=repetition.Repetition(
        lines=0.3,
        line_characters=0.2,
        paragraphs=0.3,
        paragraph_characters=0.2,
        top_ngrams={2: 0.2, 3: 0.18, 4: 0.16},
        repeated_ngrams={5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.1},
    ),
    gopher=quality.Gopher(
        min_words=50,
        max_words=100_000,
        min_word_length=3,
        max_word_length=10,
        max_symbols=0.1,
        max_bullets=0.9,
        max_ellipses=0.3,
        min_alphabetic=0.8,
        min_stop_words=2,
    ),
    c4=c4.C4(min_sentences=5, lorem_ipsum=True, curly_bracket=True),
    fineweb=quality.FineWeb(min_punctuation=0.12, max_short_lines=0.67, max_repeated_characters=0.01, max_newlines=0.3),
)
CLEANING = c4.Cleaning(
    min_words=3,
    keep_structure=False,
    max_word_length=1000,
    end_punctuation=False,
    javascript=True,
    policy=True,
    citations=True,
)
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
        language = DATATROVE_CODES.get(language, language)
        self.filters = {
            "repetition": GopherRepetitionFilter(language=language),
            "gopher": GopherQualityFilter(language=language, stop_words=stop_words),
            "c4": C4QualityFilter(language=language, filter_no_terminal_punct=False),
            "fineweb": FineWebQualityFilter(language=language),
        }
        self.clock = Clock()

    def __call__(self, text: str) -> Iterator[tuple[str, Verdict]]:
        """The verdict of each filter; C4's changes the text for the one after it."""
        document = Document(text=text, id="")
        for name, one in self.filters.items():
            verdict = self.clock(name, functools.partial(one.filter, document))
            yield name, (None if verdict is True else verdict[1] if isinstance(verdict, tuple) else "dropped", {})


class Headwater:
    """The rules of the project for one language, with datatrove's thresholds."""

    def __init__(self, language: str, stop_words: list[str]) -> None:
        self.vocabulary = Vocabulary(language, stop_words)
        self.clock = Clock()

    def __call__(self, text: str) -> Iterator[tuple[str, Verdict]]:
        """The verdict of each group of rules."""
        page = Page(text, self.vocabulary)
        self.clock("words", lambda: page.words)
        lines = self.clock("c4", lambda: c4.clean(page, CLEANING))
        parts: dict[str, tuple[tuple[Rule, ...], Callable[[], dict[str, float]]]] = {
            "repetition": (repetition.RULES, lambda: repetition.scores(page)),
            "gopher": (quality.GOPHER, lambda: quality.gopher_scores(page)),
            "c4": (c4.RULES, lambda: c4.scores(lines)),
            "fineweb": (quality.FINEWEB, lambda: quality.fineweb_scores(lines.seen, lines.words, 30)),
        }
        for name, (rules, score) in parts.items():
            if name == "fineweb" and not lines.seen:
                yield name, ("empty", {})
                continue
            scores = self.clock(name, score)
            yield name, (first_broken(rules, scores, LIMITS), scores)


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
    for _ in theirs("Words to load the tokeniser with.\n" * 9):
        theirs.clock.seconds.clear()
    equal, judged, all_equal = Counter[str](), Counter[str](), 0
    for document in chosen:
        their, our = dict(theirs(document["text"])), dict(ours(document["text"]))
        # What C4's rules drop on either side has no text for FineWeb's.
        names = FILTERS if their["c4"][0] is None and our["c4"][0] is None else FILTERS[:-1]
        for name in names:
            judged[name] += 1
            same = (their[name][0] is None) == (our[name][0] is None)
            equal[name] += same
            if not same:
                scores = {key: round(float(value), 4) for key, value in our[name][1].items()}
                print(f"  {name}: datatrove {their[name][0]}, here {our[name][0]}: {document['url'][:80]} {scores}")
        all_equal += any(v[0] for v in their.values()) == any(v[0] for v in our.values())
    size = sum(len(document["text"].encode()) for document in chosen) / 1e6
    print(f"{language}: {len(chosen)} documents, {size:.1f} MB; kept or dropped alike {all_equal / len(chosen):.2%}")
    for name in FILTERS:
        print(
            f"  {name:<12}{equal[name] / max(1, judged[name]):8.2%} of {judged[name]:<6}"
            f"datatrove {size / theirs.clock.seconds[name]:7.2f} MB/s"
            + (f", here {size / ours.clock.seconds[name]:8.2f} MB/s" if ours.clock.seconds[name] else "")
        )
    print(f"  words, once for all of them: {size / ours.clock.seconds['words']:.2f} MB/s")
    their_all, our_all = sum(theirs.clock.seconds.values()), sum(ours.clock.seconds.values())
    print(
        f"  all: datatrove {size / their_all:.2f} MB/s, here {size / our_all:.2f} MB/s: {their_all / our_all:.1f} times"
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
