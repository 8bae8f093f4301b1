"""ROUGE of a text beside a reference."""

import functools
import re

from rouge_score.rouge_scorer import RougeScorer

NAMES = ("rouge1", "rouge2", "rougeL")


class _Words:
    """Lower-cased words of any script; rouge_score's own takes all but a–z and 0–9 for spaces."""

    def tokenize(self, text: str) -> list[str]:
        return re.findall(r"\w+", text.lower())


@functools.cache
def _scorer(name: str) -> RougeScorer:
    return RougeScorer([name], tokenizer=_Words())


def score(name: str, reference: str, text: str) -> float:
    """F measure of a ROUGE (Lin 2004, https://aclanthology.org/W04-1013/), 0–1, without stemming."""
    return float(_scorer(name).score(reference, text)[name].fmeasure)
