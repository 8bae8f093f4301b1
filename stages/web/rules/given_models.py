"""Classifiers that a user brings: a fastText file, or a folder of a `transformers` model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.core.errors import HeadwaterError
from stages.web.rules.page import Page

_BATCH = 16  # texts that a `transformers` model reads at a time
_LABELS = 20  # labels that an error names, at most


class FastTextModel:
    """Scores by a fastText file (``.bin``, ``.ftz``): the probability of one of its labels."""

    def __init__(self, path: Path, label: str) -> None:
        try:
            import fasttext
        except ImportError:
            raise HeadwaterError("a fastText model needs a module `fasttext`: pip install '.[fasttext]'") from None
        try:
            self._model: Any = fasttext.load_model(str(path))
        except ValueError as error:
            raise HeadwaterError(f"{path}: {error}") from None
        self._label = f"__label__{label}"
        labels = self._model.get_labels()
        if self._label not in labels:
            known = ", ".join(sorted(one.removeprefix("__label__") for one in labels)[:_LABELS])
            raise HeadwaterError(f"{path}: has no label {label!r}; it has {known}")

    def __call__(self, pages: Sequence[Page]) -> list[float]:
        """The probability of the label for each page."""
        return [self._score(page.text.replace("\n", " ")) for page in pages]

    def _score(self, text: str) -> float:
        labels, probabilities = self._model.predict(text, k=-1)
        return min(1.0, dict(zip(labels, map(float, probabilities), strict=True)).get(self._label, 0.0))


class TransformersModel:
    """Scores by the beginning of a text: the probability of a label, or the only output there is."""

    def __init__(self, folder: Path, label: str) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        torch.set_num_threads(1)  # the number of threads changes the order of sums
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model = AutoModelForSequenceClassification.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            ).eval()
        except (OSError, ValueError) as error:
            raise HeadwaterError(f"{folder}: no model to load: {' '.join(str(error).split())}") from None
        labels = self._model.config.label2id
        if label and label not in labels:
            raise HeadwaterError(f"{folder}: has no label {label!r}; it has {', '.join(sorted(labels)[:_LABELS])}")
        self._output = labels[label] if label else None
        self._length = min(self._tokenizer.model_max_length, self._model.config.max_position_embeddings)

    def __call__(self, pages: Sequence[Page]) -> list[float]:
        """The score of each page."""
        return [
            score for start in range(0, len(pages), _BATCH) for score in self._scores(pages[start : start + _BATCH])
        ]

    def _scores(self, pages: Sequence[Page]) -> list[float]:
        import torch

        texts = [page.text for page in pages]
        inputs = self._tokenizer(texts, truncation=True, max_length=self._length, padding=True, return_tensors="pt")
        with torch.inference_mode():
            logits = self._model(**inputs).logits.float()
        chosen = logits[:, 0] if self._output is None else logits.softmax(-1)[:, self._output]
        return [float(value) for value in chosen]
