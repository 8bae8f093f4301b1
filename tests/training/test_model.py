"""The model: its cost as counted, its file as transformers reads it, and shapes that cannot be."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from stages.core.errors import HeadwaterError
from stages.core.params import check
from stages.training import adapters
from stages.training import model as models
from stages.training.adapters import Adapter, Tuning
from stages.training.flops import flops_per_token
from stages.training.learner import Learner
from stages.training.settings import Training
from tests.training.small_run import changed


def shape(**changes: object) -> models.Architecture:
    return check(models.Architecture, changed(model=changes)["model"], "model")


def parts(kind: str) -> Any:
    """A small model of a kind; biases are not 0, so that each one counts."""
    model = models.build(shape(kind=kind, kv_heads=2), vocab_size=300, context=32, seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("kind", models.KINDS)
@pytest.mark.parametrize("apart", [False, True])
def test_the_loss_of_every_kind_is_that_of_its_logits(kind: str, apart: bool) -> None:
    model = parts(kind)
    settings = check(Training, changed(training={"precision": "fp32", "attention": "eager"})["training"], "training")
    ids = torch.randint(8, 300, (2, 32), generator=torch.Generator().manual_seed(0))
    documents = torch.zeros_like(ids)
    documents[:, 20:] = 1
    with torch.no_grad():
        losses = Learner(model, settings)(ids, ids.flatten(), None, documents if apart else None)
        if apart:
            logits = torch.cat([model(input_ids=part).logits for part in (ids[:, :20], ids[:, 20:])], 1)
        else:
            logits = model(input_ids=ids).logits
    expected = functional.cross_entropy(logits.flatten(0, 1), ids.flatten(), reduction="sum")
    torch.testing.assert_close(losses.cross_entropy, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", ["bert", "gpt2", "qwen3"])
def test_what_is_saved_of_other_kinds_loads_without_code_of_the_model(tmp_path: Path, kind: str) -> None:
    model = parts(kind)
    models.save(model.config, model.state_dict(), tmp_path, stop=[2])
    family = AutoModelForMaskedLM if kind in models.MASKED else AutoModelForCausalLM
    loaded = family.from_pretrained(tmp_path, trust_remote_code=False)
    ids = torch.arange(8, 24)[None]
    assert torch.equal(model.eval()(input_ids=ids).logits, loaded(input_ids=ids).logits)


@pytest.mark.parametrize("tied", [True, False])
def test_flops_are_those_that_a_counter_counts(tied: bool) -> None:
    context = 64
    model = models.build(shape(tied_embeddings=tied, kv_heads=2), vocab_size=300, context=context, seed=1)
    model.set_attn_implementation("eager")  # the counter takes sdpa on a CPU for free
    ids = torch.zeros(2, context, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, use_cache=False).logits.sum().backward()
    # What is not multiplied is some scales of norms; the rotary angles are multiplied but not learned.
    assert flops_per_token(model, context) == pytest.approx(counter.get_total_flops() / ids.numel(), rel=0.02)


def test_frozen_weights_cost_less() -> None:
    context, adapter = 64, Adapter(rank=4, alpha=8, dropout=0.0, targets="attention", virtual_tokens=1)
    model = models.build(shape(layers=8), vocab_size=300, context=context, seed=1)
    model.set_attn_implementation("eager")
    adapters.attach(model, Tuning("lora", adapter, 10, seed=1))
    ids = torch.zeros(2, context, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, use_cache=False).logits.sum().backward()
    # Below the first adapter no gradient is passed on, which is a share of the first layer.
    assert flops_per_token(model, context) == pytest.approx(counter.get_total_flops() / ids.numel(), rel=0.05)


def test_a_seed_gives_the_same_weights() -> None:
    first, again, other = (models.build(shape(), vocab_size=300, context=16, seed=seed) for seed in (1, 1, 2))
    pairs = list(zip(first.parameters(), again.parameters(), strict=True))
    assert all(torch.equal(left, right) for left, right in pairs)
    assert not torch.equal(first.model.embed_tokens.weight, other.model.embed_tokens.weight)


@pytest.mark.parametrize("tied", [True, False])
def test_what_is_saved_is_what_transformers_loads_and_has_the_same_bytes_each_time(tmp_path: Path, tied: bool) -> None:
    model = models.build(shape(tied_embeddings=tied), vocab_size=300, context=16, seed=1)
    for name in ("one", "two"):
        models.save(model.config, model.state_dict(), tmp_path / name, stop=[2, 7])
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "one")
    ids = torch.arange(8, 24)[None]
    assert torch.equal(model(input_ids=ids).logits, loaded(input_ids=ids).logits)
    assert loaded.generation_config.eos_token_id == [2, 7]
    assert loaded.generation_config.pad_token_id == 3
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["config.json", "generation_config.json", "model.safetensors"]
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"heads": 3}, "model.heads is 3, which does not divide model.hidden, 32"),
        ({"heads": 32}, "heads of even width"),
        ({"kind": "gpt2"}, "kv_heads is 1, but gpt2 has no grouped-query attention: make it 2"),
        ({"heads": 4, "kv_heads": 3}, "model.kv_heads is 3, which does not divide model.heads, 4"),
    ],
)
def test_heads_that_do_not_fit_are_refused(changes: dict[str, int], said: str) -> None:
    with pytest.raises(HeadwaterError, match=said):
        models.build(shape(**changes), vocab_size=300, context=16, seed=1)


def test_a_folder_without_a_model_or_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(HeadwaterError, match=f"{tmp_path}: no model here"):
        models.load(tmp_path, 0.0)
    with pytest.raises(HeadwaterError, match=f"{tmp_path}: no tokenizer here"):
        models.vocabulary(tmp_path)
