"""Several models as one: means of weights and of probabilities, and what cannot be averaged."""

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    LlamaConfig,
    LlamaForCausalLM,
)

from stages.core import adapted
from stages.core.errors import HeadwaterError
from stages.scoring import together
from stages.scoring.likelihood import writes
from stages.scoring.together import Together

IDS = torch.tensor([[1, 5, 9, 12], [1, 7, 3, 30]])


def model(folder: Path, seed: int, hidden: int = 16, tokenizer: str = "{}") -> Path:
    torch.manual_seed(seed)
    shape = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "initializer_range": 0.5}
    config = LlamaConfig(vocab_size=32, hidden_size=hidden, max_position_embeddings=16 * seed, pad_token_id=0, **shape)
    LlamaForCausalLM(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(tokenizer, "utf-8")
    return folder


def headed(folder: Path, seed: int, labels: tuple[str, ...], *, tagging: bool = False) -> Path:
    """A model with a head for these classes; none: for numbers."""
    language, family = model(folder, seed), AutoModelForSequenceClassification
    told: dict[str, Any] = {"id2label": dict(enumerate(labels or ("score",)))}
    if tagging:
        family = AutoModelForTokenClassification
    else:
        told["problem_type"] = "single_label_classification" if labels else "regression"
    torch.manual_seed(seed)
    family.from_pretrained(language, **told).save_pretrained(folder)
    return folder


@torch.no_grad()
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("labels", "tagging"), [(("x", "y", "z"), False), (("x", "y"), True), ((), False)])
def test_classes_tags_and_numbers_are_averaged(labels: tuple[str, ...], tagging: bool, tmp_path: Path) -> None:
    folders = [headed(tmp_path / name, seed, labels, tagging=tagging) for name, seed in (("a", 1), ("b", 2))]
    made = join(folders, tmp_path / "made", "probabilities")
    said = torch.stack([adapted.load(folder).eval()(IDS).logits for folder in folders])
    if labels:
        torch.testing.assert_close(made(IDS).logits.softmax(-1), said.softmax(-1).mean(0))
    else:
        torch.testing.assert_close(made(IDS).logits, said.mean(0))
    soup = join(folders, tmp_path / "soup", "weights")
    each = torch.stack([adapted.load(folder).model.embed_tokens.weight for folder in folders])
    torch.testing.assert_close(soup.model.embed_tokens.weight, each.mean(0))
    assert type(soup) is type(adapted.load(folders[0]))
    with pytest.raises(HeadwaterError, match=r"c: has other labels than .*a: they cannot be measured together"):
        together.alike([folders[0], headed(tmp_path / "c", 1, ("x", "w"), tagging=tagging)])


def join(folders: list[Path], target: Path, mean: Literal["weights", "probabilities"]) -> Any:
    together.make(Together(models=("a", "b"), mean=mean), folders, {"model": target})
    return adapted.load(target).eval()


def make(folders: list[Path], target: Path, mean: Literal["weights", "probabilities"]) -> Any:
    made = join(folders, target, mean)
    assert writes(target)
    return made


@torch.no_grad()
def test_probabilities_are_averaged_and_sampled_from(tmp_path: Path) -> None:
    folders = [model(tmp_path / "a", 1), model(tmp_path / "b", 2, hidden=24)]
    made = make(folders, tmp_path / "made", "probabilities")
    each = torch.stack([adapted.load(folder).eval()(IDS).logits.softmax(-1) for folder in folders])
    torch.testing.assert_close(made(IDS).logits.softmax(-1), each.mean(0))
    assert made.config.max_position_embeddings == 16
    written = made.generate(IDS, attention_mask=torch.ones_like(IDS), max_new_tokens=3, do_sample=False)
    expected = IDS
    for _ in range(3):
        chances = sum(adapted.load(folder).eval()(expected).logits[:, -1].softmax(-1) for folder in folders)
        expected = torch.cat([expected, chances.argmax(-1, keepdim=True)], 1)
    assert written.tolist() == expected.tolist()


@torch.no_grad()
def test_weights_are_averaged(tmp_path: Path) -> None:
    folders = [model(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 2), ("c", 3))]
    made = make(folders, tmp_path / "made", "weights")
    each = torch.stack([adapted.load(folder).lm_head.weight for folder in folders])
    torch.testing.assert_close(made.lm_head.weight, each.mean(0))


def test_what_cannot_be_averaged_is_named(tmp_path: Path) -> None:
    first, wide = model(tmp_path / "a", 1), model(tmp_path / "b", 1, hidden=24)
    with pytest.raises(HeadwaterError, match=r"b: has weights of other shapes than .*a; average probabilities"):
        make([first, wide], tmp_path / "made", "weights")
    other = model(tmp_path / "c", 1, tokenizer="{ }")
    with pytest.raises(HeadwaterError, match=r"c: has another tokenizer than .*a: they cannot be measured together"):
        make([first, other], tmp_path / "other", "probabilities")
