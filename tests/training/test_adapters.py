"""Adapters: only they are trained, a run that continues ends in the same bytes, and PEFT reads what is left."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from torch.distributed.checkpoint import FileSystemReader

from stages.core import adapted
from stages.core.errors import HeadwaterError
from stages.core.params import check
from stages.training import adapters, optimizer
from stages.training import model as models
from stages.training.adapters import Adapter, Tuning
from stages.training.data import Fixed, Rows
from stages.training.learner import Learner
from stages.training.loop import train
from stages.training.settings import Training
from tests.training import small_run

STEPS, ROWS, LENGTH, VOCABULARY = 20, 16, 12, 64
ADAPTER = Adapter(rank=4, alpha=8, dropout=0.1, targets="all_linear", virtual_tokens=3)


def methods(*quick: str) -> list[Any]:
    """All methods; those that are not named are slow."""
    every = ("lora", "adalora", "ia3", "prefix", "prompt")
    return [one if one in quick else pytest.param(one, marks=pytest.mark.slow) for one in every]


def tuning(method: Any, **changes: Any) -> Tuning:
    return Tuning(method, dataclasses.replace(ADAPTER, **changes), STEPS, seed=3)


def training(**changes: Any) -> Training:
    given = small_run.PARAMS["training"] | {
        "precision": "fp32",
        "schedule": {"shape": "cosine", "peak": 0.02, "warmup": 1, "decay": 1.0, "final": 0.1},
    }
    return check(Training, given | changes, "training")


@pytest.fixture(scope="module", params=["llama", pytest.param("gpt2", marks=pytest.mark.slow)])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of random weights, large enough that they answer differently."""
    given = small_run.PARAMS["model"] | {"kind": request.param, "init_std": 0.2, "kv_heads": 2}
    model = models.build(check(models.Architecture, given, "model"), vocab_size=VOCABULARY, context=32, seed=1)
    folder = tmp_path_factory.mktemp(request.param)
    models.save(model.config, model.state_dict(), folder, stop=[2])
    return folder


def run(base: Path, method: Any, work: Path, folder: Path, **changes: Any) -> Any:
    """Tune the model of ``base``; gives what the loop gives."""
    ids = np.random.default_rng(0).integers(4, VOCABULARY, (ROWS, LENGTH))
    ids[:, 6:] = ids[:, :6]
    model, how = models.load(base, 0.0), tuning(method)
    ranks = adapters.attach(model, how)
    rows = Fixed(Rows(ids[:, :-1], ids[:, 1:]), [])
    trained = train(model, rows, training(**changes), steps=STEPS, seed=1, area=work, label="test", ranks=ranks)
    adapters.save(trained.weights, how, models.load(base, 0.0), folder, stop=[2])
    return trained


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def losses(log: str) -> list[float]:
    return [float(line.split(",")[2]) for line in log.splitlines()[1:]]


@pytest.mark.parametrize(
    ("method", "optimizer"),
    [
        *[("adalora", "adamw"), ("prefix", "adamw"), ("lora", "muon")],
        *(pytest.param(one, "adamw", marks=pytest.mark.slow) for one in ("lora", "ia3", "prompt")),
    ],
)
def test_a_run_learns_resumes_exactly_and_keeps_only_the_adapter(
    base: Path, method: str, optimizer: str, tmp_path: Path, profile: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = profile.with_name("profile.yaml")
    file.write_text(file.read_text("utf-8").replace("every: 100", "every: 8"), "utf-8")
    work = tmp_path / "run"
    work.mkdir()
    trained = run(base, method, work, tmp_path / "whole", optimizer=optimizer)
    found = losses(trained.log)
    assert found[-1] < found[0]
    shutil.rmtree(work / f"step-{STEPS:08d}")
    assert run(base, method, work, tmp_path / "continued", optimizer=optimizer).log == trained.log
    assert "continues at step 16 of 20" in capsys.readouterr().err
    assert files(tmp_path / "continued") == files(tmp_path / "whole")
    names = FileSystemReader(work / f"step-{STEPS:08d}").read_metadata().state_dict_metadata
    added = ("lora_", "ia3_", "prompt_encoder")
    held = [name for name in names if name.startswith(("model.", "optimizer.state."))]
    assert held
    assert [name for name in held if not any(one in name for one in added)] == []


@pytest.mark.parametrize("method", methods("lora", "prompt"))
def test_the_folder_and_peft_give_the_same_logits(base: Path, method: str, tmp_path: Path, profile: Path) -> None:
    (tmp_path / "run").mkdir()
    run(base, method, tmp_path / "run", tmp_path / "tuned", precision="bf16", optimizer="muon")
    place = tmp_path / "tuned" if method in adapters.VIRTUAL else tmp_path / "tuned" / "adapter"
    ids = torch.arange(4, 20).view(2, 8)
    with torch.no_grad(), adapted.quiet():
        ours = adapted.load(tmp_path / "tuned").eval()(ids).logits
        theirs = peft.PeftModel.from_pretrained(models.load(base, 0.0), str(place)).eval()(ids).logits
        plain = models.load(base, 0.0).eval()(ids).logits
    torch.testing.assert_close(ours, theirs)
    assert (ours[:, -8:] - plain).abs().max() > 1e-3
    assert str(tmp_path) not in (place / "adapter_config.json").read_text("utf-8")


@pytest.mark.parametrize(("method", "decays"), [("lora", True), ("ia3", False)])
def test_what_multiplies_is_not_pulled_to_zero(base: Path, method: Any, decays: bool) -> None:
    model = models.load(base, 0.0)
    adapters.attach(model, tuning(method))
    (adamw,) = optimizer.make(Learner(model, training(weight_decay=0.1)), training(weight_decay=0.1))
    decay = {group["weight_decay"] for group in adamw.param_groups if group["params"]}
    assert decay == ({0.1} if decays else {0.0})


def test_an_adapter_for_another_base_is_refused(base: Path, tmp_path: Path) -> None:
    adapters.save({}, tuning("prompt"), models.load(base, 0.0), tmp_path / "tuned", stop=[2])
    assert adapted.load(tmp_path / "tuned").config.max_position_embeddings == 32 - ADAPTER.virtual_tokens
    other = models.load(base, 0.0)
    torch.nn.init.ones_(other.get_input_embeddings().weight)
    with pytest.raises(HeadwaterError, match=r"tuned: an adapter for another base than "):
        adapted.put_on(other, tmp_path / "tuned")


@pytest.mark.parametrize(
    ("method", "changes", "said"),
    [
        ("lora", {"adversarial": 1.0}, r"lora leaves the embeddings as they are"),
        ("prompt", {"documents_apart": True}, r"prompt puts tokens before a row"),
        ("prefix", {"activation_checkpointing": True}, r"prefix and training\.activation_checkpointing do not go"),
    ],
)
def test_what_does_not_go_together_is_said(method: Any, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(HeadwaterError, match=said):
        adapters.check(method, training(**changes), writes=True)


@pytest.mark.parametrize("method", ["prefix", "prompt"])
def test_virtual_tokens_are_for_models_that_write(method: Any) -> None:
    with pytest.raises(HeadwaterError, match=rf"finetune\.method {method} is for tasks in which the model writes"):
        adapters.check(method, training(), writes=False)


def test_what_adalora_remembers_goes_where_the_weights_go(base: Path) -> None:
    model = models.load(base, 0.0)
    ranks = adapters.attach(model, tuning("adalora"))
    assert ranks is not None
    ranks.move(torch.device("meta"))
    assert {value.device.type for value in ranks.state.values()} == {"meta"}
