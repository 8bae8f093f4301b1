"""Train the model of text blocks and say how good it is on pages that it has not seen.

``python -m stages.web.pages.extraction_training --data ../shared/data --documentation FOLDER --cache FOLDER`` writes
``stages/web/pages/block_model.npz``. It needs the extra ``extraction-training``. Every figure that the file carries
comes from cross-validation by host. The same data, seed and versions give the same model.
"""

import argparse
import importlib.metadata
import json
import random
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from catboost import CatBoost, Pool

from stages.core.progress import log
from stages.web.pages import block_model, blocks, extraction_labels, features, html, language, regions
from stages.web.pages.blocks import Blocks
from stages.web.pages.disguises import disguised
from stages.web.pages.extraction_pages import JUDGED, Page, archived, documentation, extractions, judged
from stages.web.pages.extraction_scores import shingle_f1, snippet_f1, word_f1
from stages.web.pages.main_text import chances, chosen
from stages.web.pages.structure import written

Array = np.ndarray[Any, Any]

_SEED = 1
_FOLDS = 3
_ROWS = 130  # blocks of a page that are learnt from, the rest stand for by weight: pages of thousands add little
_WEIGHTS = {"wcxb_dev": 1.0, "articles": 1.5, "snippets": 0.7, "archived": 0.4, "documentation": 0.3}
_LONGEST = 200  # words from which a block counts no more
_LEARNING = {
    "loss_function": "CrossEntropy",
    "depth": 6,
    "learning_rate": 0.12,
    "l2_leaf_reg": 5,
    "border_count": 24,
    "bootstrap_type": "Bernoulli",
    "subsample": 0.6,
    "rsm": 0.35,
    "random_seed": _SEED,
    "boosting_type": "Plain",
    "allow_writing_files": False,
    "verbose": False,
}
_CHOICE = 60  # trees from which the features are chosen
_TREES = {"first": 200, "second": 450}
_FEATURES = {"first": 110, "second": 130}  # that each look asks for


@dataclass(frozen=True)
class Sample:
    """One guise of a page: its tree, and how much of each block is main text."""

    page: int
    tree: str
    labels: Array  # (blocks,) 0-1
    weights: Array  # (blocks,)
    table: Array  # (features, blocks), all that the first look can see


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
        weights = counts * sure / counts.sum() * _WEIGHTS[page.source]
        if not weights.any():
            continue
        for guise in (tree, disguised(tree, random.Random(number))):
            same = blocks.read(guise)
            if same is not None and len(same.texts) == len(found.texts):
                seen = features.first_look(same, regions.around(same), features.Everything())
                yield Sample(number, guise, labels, weights, features.table(seen, list(seen), len(labels)))


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


def fit(tables: Sequence[Array], chosen_samples: Sequence[Sample], trees: int) -> CatBoost:
    """Trees from the blocks of some samples.

    Args:
        tables: (features, blocks) of each sample.
        chosen_samples: The samples.
        trees: How many.
    """
    rng = np.random.default_rng(_SEED)
    rows, labels, weights = [], [], []
    for table, sample in zip(tables, chosen_samples, strict=True):
        share = min(1.0, _ROWS / table.shape[1])
        kept = (rng.random(table.shape[1]) < share) & (sample.weights > 0)
        rows.append(table[:, kept].T)
        labels.append(sample.labels[kept])
        weights.append(sample.weights[kept] / share)
    learner = CatBoost({**_LEARNING, "iterations": trees})
    learner.fit(Pool(np.concatenate(rows), np.concatenate(labels), weight=np.concatenate(weights)))
    return learner


def telling(tables: Sequence[Array], data: Sequence[Sample], number: int) -> Array:
    """Places of the features that tell most, ascending: the others cost every page time and change little."""
    importance = fit(tables, data, _CHOICE).get_feature_importance()
    return np.sort(np.argsort(-importance, kind="stable")[:number])


def exported(learner: CatBoost, names: Sequence[str]) -> block_model.Trees:
    """What a learner has learnt, in whole numbers.

    Args:
        learner: Fitted.
        names: Of its features.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        learner.save_model(str(path), format="json")
        stored = json.loads(path.read_text("utf-8"))
    found = stored["oblivious_trees"]
    scale, (bias,) = stored["scale_and_bias"]
    depth = max(len(tree["splits"]) for tree in found)
    questions = np.zeros((depth, len(found)), np.int16)
    borders = np.full((depth, len(found)), np.inf, np.float32)  # no feature is above: a tree with fewer levels
    leaves = np.zeros((len(found), 1 << depth), np.int32)
    for number, tree in enumerate(found):
        for level, split in enumerate(tree["splits"]):
            questions[level, number] = split["float_feature_index"]
            borders[level, number] = split["border"]
        values = np.round(np.array(tree["leaf_values"]) * scale * block_model.UNIT)
        leaves[number, : len(values)] = values
    return block_model.Trees(tuple(names), questions, borders, leaves.ravel(), round(bias * block_model.UNIT))


def second_table(sample: Sample, first: Array) -> tuple[Array, list[str]]:
    """Features of the second look, behind those of the first, given what the first came to; and the added names."""
    found = blocks.read(sample.tree)
    assert found is not None
    added = features.second_look(found, regions.around(found), first)
    names = list(added)
    return np.concatenate((sample.table, features.table(added, names, len(first)))), names


def look(
    which: str, tables: Sequence[Array], names: Sequence[str], data: Sequence[Sample], folds: Sequence[int]
) -> dict[int | None, block_model.Trees]:
    """Trees by the fold that they have not seen; under None those that have seen all.

    Args:
        which: "first" or "second".
        tables: (features, blocks) of each sample.
        names: Of the features.
        data: The samples.
        folds: The fold of each.
    """
    chosen_features = telling(tables, data, _FEATURES[which])
    tables, names = [table[chosen_features] for table in tables], [names[at] for at in chosen_features]
    found = {}
    for fold in (*range(_FOLDS), None):
        kept = [at for at, own in enumerate(folds) if own != fold]
        found[fold] = exported(fit([tables[at] for at in kept], [data[at] for at in kept], _TREES[which]), names)
        log(f"{which} look, all but fold {fold}: fitted on {len(kept):,} samples")
    return found


def train(pages: Sequence[Page], data: list[Sample], names: list[str]) -> tuple[block_model.Model, dict[str, Any]]:
    """The model of all pages, and the figures of models that had not seen the pages they were measured on."""
    folds = [_fold(pages[sample.page].host) for sample in data]
    first = look("first", [sample.table for sample in data], names, data, folds)
    asked = [names.index(name) for name in first[None].names]
    chance = [first[fold].chances(sample.table[asked]) for fold, sample in zip(folds, data, strict=True)]
    both = [second_table(sample, own) for sample, own in zip(data, chance, strict=True)]
    second = look("second", [table for table, _ in both], [*names, *both[0][1]], data, folds)
    models = {fold: block_model.Model(first[fold], second[fold], {}) for fold in first}
    texts = {
        number: extracted(page, models[_fold(page.host)]) for number, page in enumerate(pages) if page.source in JUDGED
    }
    return models[None], measured(pages, texts)


def extracted(page: Page, model: block_model.Model) -> str:
    """The main text of a page as the project writes it, with a given model."""
    tree, refused = html.normalised(page.html, 100_000)
    found = None if refused else blocks.read(tree)
    return written(found, chosen(found, chances(found, model)))[0] if found else ""


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
    model, figures = train(pages, data, _names(data[0]))
    versions = {name: importlib.metadata.version(name) for name in ("catboost", "numpy", "resiliparse", "trafilatura")}
    counts = {name: sum(page.source == name for page in pages) for name in _WEIGHTS}
    about = {
        "figures": figures,
        "folds": _FOLDS,
        "seed": _SEED,
        "pages": counts,
        "weights": _WEIGHTS,
        "versions": versions,
    }
    block_model.write(block_model.Model(model.first, model.second, about), options.out)
    print(json.dumps(about, indent=2, sort_keys=True))


def _names(sample: Sample) -> list[str]:
    found = blocks.read(sample.tree)
    assert found is not None
    return list(features.first_look(found, regions.around(found), features.Everything()))


if __name__ == "__main__":
    main()
