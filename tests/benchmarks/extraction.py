"""Measure extraction beside trafilatura and resiliparse on the same pages, in one run.

``python -m tests.benchmarks.extraction [--data ../shared/data] [--pages N]`` prints the measure of each set, word-level
F1 by page type, and pages/s of one core. The project's model was trained on these sets, so what it reaches on them is
too good: the figures of cross-validation by host, which its file carries, are printed beside.

``--waddle FOLDER`` measures on pages that nothing was trained on or chosen by: 1,689 of news sites from 2011 and 2012,
in Chinese, English, Greek, Polish and Russian. FOLDER is a clone of github.com/rundimeco/waddle (Barbaresi and Lejeune,
"Out-of-the-Box and Into the Ditch?", 2020). Needs the extra ``extraction-training``.
"""

import argparse
import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from html import unescape
from pathlib import Path

import trafilatura
from resiliparse.extract.html2text import extract_plain_text

from stages import extract
from stages.core import params
from stages.core.errors import HeadwaterError
from stages.web.pages import block_model, charset, html, language
from stages.web.pages.extraction_pages import JUDGED, Page, judged
from stages.web.pages.extraction_scores import shingle_f1, snippet_f1, word_f1

# Pages that each extractor is given in turn, about as many as the stage looks at together: a busy machine is as busy
# for all.
_TOGETHER = 32

PARAMS = params.load(extract.Params, "extract")

_MARKUP = re.compile(r"<[^<>]*>")
_IDEOGRAPH = re.compile(r"(?=[\u3400-\u9fff])")


def older(clone: Path) -> list[Page]:
    """The news pages of a clone of github.com/rundimeco/waddle.

    Raises:
        HeadwaterError: they are not there.
    """
    folder = clone / "corpora" / "Corpus_daniel_v2.1"
    try:
        languages = json.loads((folder / "doc_lg.json").read_text("utf-8"))
    except OSError:
        raise HeadwaterError(f"{folder}: not here; --waddle names a clone of github.com/rundimeco/waddle") from None
    return [
        Page(
            source="waddle",
            kind=languages[path.name],
            host=path.name.split("_")[1],
            html=charset.decode(path.read_bytes(), ""),
            text=unescape(_MARKUP.sub(" ", (folder / "reference" / path.name).read_text("utf-8", "replace"))),
        )
        for path in sorted((folder / "html").iterdir())
    ]


def _f1(found: str, page: Page) -> float:
    """Word-level F1, with each ideograph as a word where a set has them."""
    wanted = page.text or ""
    if page.source == "waddle":
        found, wanted = (_IDEOGRAPH.sub(" ", text) for text in (found, wanted))
    return word_f1(found, wanted)


def ours(pages: Sequence[str]) -> list[str]:
    """The project's main text."""
    found = html.contents([html.Page(page, "", "") for page in pages], PARAMS.max_nodes, PARAMS.max_depth)
    return ["" if isinstance(one, str) or one.expected < PARAMS.min_expected_f1 else one.text for one in found]


def traf(pages: Sequence[str]) -> list[str]:
    """trafilatura as it comes."""
    return [trafilatura.extract(page) or "" for page in pages]


def resi(pages: Sequence[str]) -> list[str]:
    """resiliparse's main content."""
    return [extract_plain_text(page, main_content=True, alt_texts=False) for page in pages]


EXTRACTORS: dict[str, Callable[[Sequence[str]], list[str]]] = {
    "headwater": ours,
    "trafilatura": traf,
    "resiliparse": resi,
}


def measure(name: str, pages: list[Page]) -> None:
    """Print quality and speed of every extractor on one set."""
    seconds: dict[str, float] = defaultdict(float)
    texts: dict[str, list[str]] = defaultdict(list)
    for first in range(0, len(pages), _TOGETHER):
        together = [page.html for page in pages[first : first + _TOGETHER]]
        for who, extractor in EXTRACTORS.items():
            start = time.process_time()
            texts[who] += extractor(together)
            seconds[who] += time.process_time() - start
    for who, found in texts.items():
        if name in ("wcxb_dev", "waddle"):
            scores = [_f1(text, page) for text, page in zip(found, pages, strict=True)]
            score = sum(scores) / len(scores)
        elif name == "articles":
            score = shingle_f1((text, page.text or "") for text, page in zip(found, pages, strict=True))
        else:
            score = snippet_f1((text, page.present, page.absent) for text, page in zip(found, pages, strict=True))
        rate = len(pages) / seconds[who]
        ratio = seconds["trafilatura"] / seconds[who]
        print(f"{name:10} {who:12} {score:.4f}  {rate:6.1f} pages/s  {ratio:5.2f} times trafilatura")
    if name != "snippets":
        _by_group("page type", [page.kind for page in pages], texts, pages)
        _by_group(
            "language",
            [code for code, _ in language.Identifier()([page.text or " " for page in pages], 5, 300)],
            texts,
            pages,
        )


def _by_group(title: str, groups: list[str], texts: dict[str, list[str]], pages: list[Page]) -> None:
    for group in sorted(set(groups)):
        members = [at for at, own in enumerate(groups) if own == group]
        means = "  ".join(
            f"{who} {sum(_f1(found[at], pages[at]) for at in members) / len(members):.3f}"
            for who, found in texts.items()
        )
        print(f"  word-level F1, {title} {group} ({len(members)}): {means}")


def main() -> None:
    """Measure every set."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.extraction", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--pages", type=int, default=0, help="pages of each set; 0 takes all")
    parser.add_argument("--waddle", type=Path, help="measure on the pages of this clone instead")
    options = parser.parse_args()
    html.content("<p>warm", 100, 100)
    if options.waddle:
        measure("waddle", older(options.waddle)[: options.pages or None])
        return
    for name in JUDGED:
        measure(name, judged(options.data, name)[: options.pages or None])
    print("cross-validated by host:", block_model.load().about["figures"])


if __name__ == "__main__":
    main()
