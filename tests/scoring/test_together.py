"""Several models as one: means of weights and of probabilities, and what cannot be averaged."""

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

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


def make(folders: list[Path], target: Path, mean: Literal["weights", "probabilities"]) -> Any:
    together.make(Together(models=("a", "b"), mean=mean), folders, {"model": target})
    assert writes(target)
    return adapted.load(target).eval()


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
    with pytest.raises(HeadwaterError, match=r"c: has another tokenizer than .*a: they cannot be evaluated together"):
        make([first, other], tmp_path / "other", "probabilities")
