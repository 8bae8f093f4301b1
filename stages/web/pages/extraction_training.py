"""Train the model of text blocks and say how good it is on pages that it has not seen.

``python -m stages.web.pages.extraction_training --data ../shared/data --documentation FOLDER --cache FOLDER`` writes
``stages/web/pages/block_model.npz``. It needs the extra ``extraction-training``. Every figure that the file carries
comes from cross-validation by host. The same data, seed and versions give the same model.
"""

import argparse
import dataclasses
import importlib.metadata
import json
import random
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.progress import log
from stages.web.pages import block_model, blocks, extraction_labels, features, html, language, names
from stages.web.pages.block_network import Network, Scale
from stages.web.pages.blocks import Blocks, Places
from stages.web.pages.disguises import disguised
from stages.web.pages.extraction_lexicon import Counted, borne
from stages.web.pages.extraction_network import Example, learnt, scaled
from stages.web.pages.extraction_pages import JUDGED, Page, archived, documentation, extractions, judged
from stages.web.pages.extraction_scores import shingle_f1, snippet_f1, word_f1
from stages.web.pages.main_text import chances, chosen
from stages.web.pages.structure import written

Array = np.ndarray[Any, Any]

_SEED = 1
_FOLDS = 5
_WEIGHTS = {"wcxb_dev": 1.0, "articles": 1.5, "snippets": 0.7, "archived": 0.4, "documentation": 0.3}
_RARER = 2.0  # times as much for a page of WCXB that is no article: more than half of them are
_LONGEST = 200  # words from which a block counts no more
_NETWORKS = 2  # two more add .001, and a tenth to the time of a page
_FIRST = 2  # epochs of the network by which the features are chosen
_FEATURES = 160  # that are asked for
_EXPECTED = 0.35  # word-level F1 below which a page has no main text: extract.min_expected_f1


@dataclass(frozen=True)
class Sample:
    """One guise of a page: its tree, and how much of each block is main text."""

    page: int
    tree: str
    labels: Array  # (blocks,) 0-1
    weights: Array  # (blocks,)
    table: Array  # (features, blocks), all there are but what is known of names
    places: Places
    spans: Array  # (2, named) first block in each element that has names, and block behind its last
    plain: bool  # as the page is
    whole: bool  # all of its page's main text is known


def samples(pages: Sequence[Page], votes: dict[int, list[str]]) -> Iterator[Sample]:
    """Each page as it is and in disguise; those of which too little is known are left out.

    Args:
        pages: The pages.
        votes: What other extractors make of pages of which no text is known, by number.
    """
    for number, page in enumerate(pages):
        tree, refused = html.normalised(page.html, 100_000)
        found = None if refused else blocks.read(tree)
        if found is None:
            continue
        labels, sure = _labels(page, found, votes.get(number, []))
        counts = np.array([min(len(extraction_labels.words(text)), _LONGEST) for text in found.texts]) + 4
        rarer = _RARER if page.source == "wcxb_dev" and page.kind != "article" else 1.0
        weights = counts * sure / counts.sum() * _WEIGHTS[page.source] * rarer
        if not weights.any():
            continue
        for plain, guise in ((True, tree), (False, disguised(tree, random.Random(number)))):
            same = blocks.read(guise)
            if same is not None and len(same.texts) == len(found.texts):
                seen = features.columns(same, features.Everything())
                table = features.table(seen, list(seen), len(labels))
                yield Sample(
                    number, guise, labels, weights, table, same.places, _spans(same), plain, page.text is not None
                )


def _spans(found: Blocks) -> Array:
    tree, elements = found.tree, found.places.elements
    return found.before[np.array([tree.start[elements], tree.end[elements]])]


def _labels(page: Page, found: Blocks, votes: list[str]) -> tuple[Array, Array]:
    """Share of each block that is main text, and how sure that is; 0 for all where the page is no example."""
    if page.text is not None:
        own = [extraction_labels.words(text) for text in found.texts]
        wanted = extraction_labels.words(page.text)
        labels = extraction_labels.coverage(own, wanted)
        recalled = float(labels @ np.array([len(block) for block in own])) / max(len(wanted), 1)
        return labels, np.full(len(labels), float(recalled >= 0.5))  # else the text is not in the page as it came
    labels, sure = extraction_labels.agreement(found.texts, votes)
    snippets = {"present": page.present, "absent": page.absent}
    labels, sure = extraction_labels.marked(found.texts, labels, sure, snippets)
    return labels, np.where(sure > 1, sure, 0) if labels @ found.words < 20 else sure


def telling(examples: Sequence[Example]) -> Array:
    """Places of the features that tell most, ascending: the others cost every page time and change little."""
    importance = learnt(examples, _SEED, _FIRST).importance()
    return np.sort(np.argsort(-importance, kind="stable")[:_FEATURES])


def network(examples: Sequence[Example], seed: int) -> Network:
    """What one network learns from pages, in whole numbers."""
    return learnt(examples, seed).network()


def known(
    pages: Sequence[Page], data: Sequence[Sample], folds: Sequence[int]
) -> tuple[dict[int | None, names.Lexicon], dict[int | None, list[Array]]]:
    """What the names of templates tell, by the fold that it was not learnt from; under None what all tell.

    Returns:
        The lexicons, and what they tell of the blocks of each sample (features, blocks). A page that a lexicon was
        learnt from is told what the pages of other hosts tell: what its own do would be the answer.
    """
    hosts = [pages[sample.page].host for sample in data]
    counts = {at: borne(one.places, one.spans, one.labels, one.weights) for at, one in enumerate(data) if one.plain}
    of_host: dict[str, list[int]] = defaultdict(list)
    for at, host in enumerate(hosts):
        of_host[host].append(at)
    lexicons: dict[int | None, names.Lexicon] = {}
    told: dict[int | None, list[Array]] = {}
    for fold in (*range(_FOLDS), None):
        counted = Counted((hosts[at], count) for at, count in counts.items() if folds[at] != fold)
        lexicons[fold] = counted.lexicon()
        found: dict[int, Array] = {}
        for host, own in of_host.items():
            lexicon = lexicons[fold] if folds[own[0]] == fold else counted.lexicon(without=host)
            for at in own:
                columns = lexicon.columns(data[at].places)
                found[at] = features.table(columns, list(columns), len(data[at].labels))
        told[fold] = [found[at] for at in range(len(data))]
        log(f"all but fold {fold}: {len(lexicons[fold].shares):,} names")
    return lexicons, told


def train(pages: Sequence[Page], data: Sequence[Sample]) -> tuple[block_model.Model, dict[str, Any]]:
    """The model of all pages, and the figures of models that had not seen the pages they were measured on."""
    folds = [_fold(pages[sample.page].host) for sample in data]
    lexicons, told = known(pages, data, folds)
    scale = scaled([np.concatenate((sample.table, own)) for sample, own in zip(data, told[None], strict=True)])
    asked = telling(list(examples(data, told[None], scale)))
    every = _names(data[0])
    names, seen = tuple(every[at] for at in asked), Scale(scale.centre[asked], scale.slope[asked])
    learning = {}
    with ProcessPoolExecutor() as processes:
        for fold in (*range(_FOLDS), None):
            all_of_them = examples(data, told[fold], scale, asked)
            kept = [example for example, own in zip(all_of_them, folds, strict=True) if own != fold]
            learning[fold] = [processes.submit(network, kept, _SEED + number) for number in range(_NETWORKS)]
        models = {}
        for fold, futures in learning.items():
            networks = tuple(future.result() for future in futures)
            models[fold] = block_model.Model(names, seen, networks, lexicons[fold], {})
            log(f"all but fold {fold}: learnt")
    texts = {
        number: extracted(page, models[_fold(page.host)]) for number, page in enumerate(pages) if page.source in JUDGED
    }
    return models[None], measured(pages, texts)


def examples(
    data: Sequence[Sample], told: Sequence[Array], scale: Scale, asked: Array | slice = slice(None)
) -> Iterator[Example]:
    """What networks learn from.

    Args:
        data: The samples.
        told: What the names of templates tell, (features, blocks) of each.
        scale: Of all features.
        asked: Places of those that are asked for.
    """
    for sample, own in zip(data, told, strict=True):
        seen = scale(np.concatenate((sample.table, own)))[asked].astype(np.int8)
        yield Example(seen, sample.labels, sample.weights, sample.whole)


def extracted(page: Page, model: block_model.Model) -> str:
    """The main text of a page as the project writes it, with a given model."""
    tree, refused = html.normalised(page.html, 100_000)
    found = None if refused else blocks.read(tree)
    if found is None:
        return ""
    kept, expected = chosen(found, chances(found, model))
    return written(found, kept)[0] if expected[0] >= _EXPECTED else ""


def measured(pages: Sequence[Page], texts: dict[int, str]) -> dict[str, Any]:
    """Every set's own measure, and word-level F1 by page type and by language."""
    whole = [number for number in sorted(texts) if pages[number].text is not None]
    spoken = language.Identifier()([pages[number].text or " " for number in whole], 5, 300)
    kinds: dict[str, list[float]] = defaultdict(list)
    languages: dict[str, list[float]] = defaultdict(list)
    for number, (code, _) in zip(whole, spoken, strict=True):
        score = word_f1(texts[number], pages[number].text or "")
        if pages[number].text:
            languages[code].append(score)
        if pages[number].source == "wcxb_dev":
            kinds[pages[number].kind].append(score)
    of = {name: [(pages[n], text) for n, text in sorted(texts.items()) if pages[n].source == name] for name in JUDGED}
    return {
        "wcxb_dev": round(float(np.mean([score for scores in kinds.values() for score in scores])), 4),
        "articles": round(shingle_f1((text, page.text or "") for page, text in of["articles"]), 4),
        "snippets": round(snippet_f1((text, page.present, page.absent) for page, text in of["snippets"]), 4),
        "kinds": {kind: round(float(np.mean(scores)), 4) for kind, scores in sorted(kinds.items())},
        "languages": {
            code: round(float(np.mean(scores)), 4) for code, scores in sorted(languages.items()) if len(scores) > 4
        },
    }


def _fold(host: str) -> int:
    return zlib.crc32(host.encode("utf-8", "replace")) % _FOLDS


def main() -> None:
    """Read the pages, train, measure, write the model."""
    parser = argparse.ArgumentParser(prog="python -m stages.web.pages.extraction_training", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with extraction/ and warc/")
    parser.add_argument("--documentation", type=Path, required=True, help="folder with unpacked documentation packages")
    parser.add_argument("--cache", type=Path, required=True, help="folder for what other extractors say")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("block_model.npz"))
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    pages = [page for name in JUDGED for page in judged(options.data, name)]
    pages += archived(options.data) + documentation(options.documentation)
    unknown = [number for number, page in enumerate(pages) if page.text is None]
    said = extractions([pages[number] for number in unknown], options.cache / "extractions.jsonl")
    data = list(samples(pages, dict(zip(unknown, said, strict=True))))
    log(f"{len(data):,} samples of {len(pages):,} pages")
    model, figures = train(pages, data)
    versions = {name: importlib.metadata.version(name) for name in ("numpy", "resiliparse", "torch", "trafilatura")}
    counts = {name: sum(page.source == name for page in pages) for name in _WEIGHTS}
    about = {
        "figures": figures,
        "folds": _FOLDS,
        "seed": _SEED,
        "pages": counts,
        "weights": _WEIGHTS,
        "versions": versions,
    }
    block_model.write(dataclasses.replace(model, about=about), options.out)
    print(json.dumps(about, indent=2, sort_keys=True))


def _names(sample: Sample) -> list[str]:
    """Of the features, those of what is known of names last."""
    found = blocks.read(sample.tree)
    assert found is not None
    return [*features.columns(found, features.Everything()), *names.Lexicon({}).columns(sample.places)]


if __name__ == "__main__":
    main()
