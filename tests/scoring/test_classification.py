"""Figures of classes, tags and numbers: those of scikit-learn and of conlleval, with the errors that are known."""

import math

import numpy as np
import pytest
from sklearn import metrics

from stages.scoring import classification

NAMES = ("no", "yes", "maybe", "never")


def test_figures_of_classes_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    true = generator.integers(0, 3, 400)  # no row of the last class
    guessed = np.where(generator.random(400) < 0.7, true, generator.integers(0, 4, 400))
    found = classification.classes(true, guessed, NAMES)
    theirs = metrics.classification_report(
        true, guessed, labels=range(4), target_names=NAMES, output_dict=True, zero_division=0
    )
    assert found["accuracy"]["value"] == pytest.approx(metrics.accuracy_score(true, guessed))
    for kind, name in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
        assert found[f"{kind}_macro"]["value"] == pytest.approx(theirs["macro avg"][name])
        for one in NAMES:
            assert found["by_class"][one][kind]["value"] == pytest.approx(theirs[one][name])
    assert found["confusion"]["yes"]["maybe"] == ((true == 1) & (guessed == 2)).sum()
    assert found["majority"] == np.bincount(true).max() / 400
    share = found["accuracy"]["value"]
    assert found["accuracy"]["stderr"] == pytest.approx(math.sqrt(share * (1 - share) / 400), rel=0.1)
    low, high = found["accuracy"]["interval"]
    assert low < share < high
    assert classification.classes(true, guessed, NAMES) == found


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("B-A I-A O B-A", [("A", 0, 1), ("A", 3, 3)]),
        ("B-A B-A I-A", [("A", 0, 0), ("A", 1, 2)]),
        ("I-A I-A I-B O", [("A", 0, 1), ("B", 2, 2)]),
        ("B-A I-B", [("A", 0, 0), ("B", 1, 1)]),
        ("S-A B-A E-A E-A", [("A", 0, 0), ("A", 1, 2), ("A", 3, 3)]),
        ("U-A B-A L-A I-A", [("A", 0, 0), ("A", 1, 2), ("A", 3, 3)]),
        ("O O", []),
    ],
)
def test_entities_are_found_as_conlleval_finds_them(tags: str, found: list[tuple[str, int, int]]) -> None:
    assert list(classification.entities(tags.split())) == found


def test_an_entity_is_right_if_its_bounds_and_type_are() -> None:
    true = [["B-A", "I-A", "O", "B-B"], ["O", "B-A"]]
    guessed = [["B-A", "O", "O", "B-B"], ["O", "B-B"]]
    found = classification.tags(true, guessed)
    assert found["precision"]["value"] == found["recall"]["value"] == pytest.approx(1 / 3)
    assert found["by_type"]["A"]["f1"]["value"] == 0
    assert found["by_type"]["B"]["precision"]["value"] == 0.5
    assert found["word_accuracy"]["value"] == pytest.approx(4 / 6)
    assert (found["entities"], found["rows"]) == (3, 2)


def test_figures_of_numbers_are_those_that_are_known() -> None:
    generator = np.random.default_rng(1)
    true = np.round(generator.normal(size=300), 1) + 100  # with ties, far from 0
    guessed = true + generator.normal(size=300)
    found = classification.scores(true, guessed)
    assert found["mse"]["value"] == pytest.approx(metrics.mean_squared_error(true, guessed))
    assert found["mse"]["stderr"] == pytest.approx(((guessed - true) ** 2).std() / math.sqrt(300), rel=0.1)
    assert found["pearson"]["value"] == pytest.approx(np.corrcoef(true, guessed)[0, 1])
    ranks = [[(values < one).sum() + (values == one).sum() / 2 for one in values] for values in (true, guessed)]
    assert found["spearman"]["value"] == pytest.approx(np.corrcoef(np.array(ranks))[0, 1])
    assert classification.scores(true, np.zeros(300))["pearson"]["value"] == 0
