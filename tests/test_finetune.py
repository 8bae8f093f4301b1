"""The stage ``finetune``: a model learns answers, and the same input gives the same bytes."""

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from stages import finetune
from stages.core.errors import HeadwaterError
from stages.core.fingerprint import file_hash
from stages.text.augmentation import Augmentation
from stages.text.headings import Headings
from stages.text.sampling import Measured, Wanted
from stages.training.adapters import Adapter
from stages.training.preference import Preference
from stages.training.schedule import Schedule
from stages.training.settings import Averaging, HeldOut, Spikes, Training
from tests import small_model
from tests.text.columns import COLUMNS

ROWS = Wanted(
    most=40,
    test=Measured(file="", share=0.0),
    columns=COLUMNS,
    labels=(),
)

PARAMS = finetune.Params(
    task="chat",
    method="full",
    preference=Preference(beta=0.5),
    adapter=Adapter(rank=4, alpha=8, dropout=0.0, targets="attention", virtual_tokens=4),
    data="headings",
    rows=ROWS,
    packed=True,
    class_weights="none",
    augmentation=Augmentation(rows=0.0, delete=0.1, swap=0.1, insert=0.1, replace=0.1),
    folds=0,
    epochs=2,
    seed=1,
    headings=Headings(questions=("{heading}?", "{heading} in {title}?"), max_heading=60, min_answer=20, max_answer=80),
    dropout=0.0,
    training=Training(
        batch_sequences=4,
        micro_batch=4,
        precision="fp32",
        deterministic=True,
        attention="eager",
        documents_apart=False,
        compile=False,
        activation_checkpointing=False,
        schedule=Schedule(shape="cosine", peak=3e-3, warmup=2, decay=1.0, final=0.1),
        optimizer="adamw",
        betas=(0.9, 0.95),
        epsilon=1e-8,
        momentum=0.95,
        weight_decay=0.0,
        clip=1.0,
        z_loss=0.0,
        label_smoothing=0.0,
        adversarial=0.0,
        averaging=Averaging(method="none", decay=0.999, points=5, every=50),
        held_out=HeldOut(rows=0, every=50, patience=0),
        spikes=Spikes(action="skip", deviations=6.0, window=32, limit=5, every=100),
    ),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pretrained model."""
    return small_model.train(tmp_path_factory.mktemp("pretrained") / "model")


@pytest.fixture(autouse=True)
def one_thread(profile: Path) -> None:
    """At this size, more threads would only wait for each other."""
    file = profile.with_name("profile.yaml")
    file.write_text(file.read_text("utf-8").replace("threads: 2", "threads: 1"), "utf-8")


@pytest.fixture
def paths(model: Path, tmp_path: Path) -> dict[str, Path]:
    """The stage's paths: a model, two shards of documents with headings, no conversations yet."""
    for shard in range(2):
        rows = [small_model.document(shard * 20 + number) for number in range(20)]
        small_model.write(tmp_path / "documents" / f"{shard:05d}.parquet", rows)
    (tmp_path / "conversations").mkdir()
    return {
        "model": model,
        "documents": tmp_path / "documents",
        "conversations": tmp_path / "conversations",
        "tuned": tmp_path / "tuned",
        "log": tmp_path / "log.csv",
        "spikes": tmp_path / "spikes.jsonl",
    }


def write(paths: dict[str, Path], *conversations: tuple[str, str]) -> None:
    """Write conversations of a question and an answer."""
    with (paths["conversations"] / "mine.jsonl").open("w", encoding="utf-8") as file:
        for question, answer in conversations:
            messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            file.write(json.dumps({"messages": messages}) + "\n")


def test_it_learns_from_headings_and_counts_every_section(paths: dict[str, Path]) -> None:
    metrics = finetune.run(PARAMS, **paths)
    assert metrics["in"] == metrics["out"] + sum(metrics["dropped"].values())
    assert metrics["out"] == 40
    assert metrics["dropped"]["not_sampled"] > 0
    assert metrics["loss"] < metrics["first_loss"] - 0.5
    assert paths["log"].read_text("utf-8").startswith("step,tokens,loss,learning_rate,gradient_norm\n1,")


def test_an_answer_learned_by_heart_comes_back_and_ends_the_turn(paths: dict[str, Path]) -> None:
    write(paths, *[("What is a weir?", "the page reads a request."), ("And a lock?", "one log closes the answer.")] * 4)
    schedule = dataclasses.replace(PARAMS.training.schedule, peak=1e-2)
    training = dataclasses.replace(PARAMS.training, batch_sequences=2, micro_batch=2, schedule=schedule)
    finetune.run(dataclasses.replace(PARAMS, data="incoming", epochs=12, training=training), **paths)
    tokenizer: Any = AutoTokenizer.from_pretrained(paths["tuned"])
    tuned: Any = AutoModelForCausalLM.from_pretrained(paths["tuned"])
    asked = [{"role": "user", "content": "And a lock?"}]
    inputs = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt")
    (answer,) = tuned.generate(**inputs, max_new_tokens=40, do_sample=False)
    assert tokenizer.decode(answer[inputs["input_ids"].shape[1] :]) == "one log closes the answer.<|end|>"


def test_preferred_answers_become_likelier_and_the_adapter_lies_beside_the_model(paths: dict[str, Path]) -> None:
    words = ("page", "server", "file", "log")
    rows = [{"prompt": f"What of the {a}, and {b}?", "chosen": f"It reads {a}.", "rejected": f"{b} closes."}
            for a in words for b in words]  # fmt: skip
    (paths["conversations"] / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    wanted = dataclasses.replace(PARAMS.rows, test=Measured(file="", share=0.25))
    schedule = dataclasses.replace(PARAMS.training.schedule, peak=2e-2)
    training = dataclasses.replace(PARAMS.training, schedule=schedule)
    given = {"task": "preference", "method": "lora", "data": "incoming", "rows": wanted, "training": training}
    metrics = finetune.run(dataclasses.replace(PARAMS, epochs=4, **given), **paths)
    assert (metrics["in"], metrics["out"], metrics["dropped"]["tested"]) == (16, 12, 4)
    assert metrics["first_loss"] == pytest.approx(math.log(2), abs=1e-3)
    assert metrics["test"]["accuracy"] == 1
    assert metrics["test"]["margin"] > 0.1
    assert metrics["trained_parameters"] < metrics["parameters"] / 10
    assert (paths["tuned"] / "adapter" / "adapter_config.json").is_file()
    assert AutoModelForCausalLM.from_pretrained(paths["tuned"]).config.vocab_size == 512


def test_the_same_input_gives_the_same_bytes(paths: dict[str, Path], profile: Path) -> None:
    made = []
    for _ in range(2):
        finetune.run(dataclasses.replace(PARAMS, epochs=1), **paths)
        made.append((file_hash(paths["tuned"]), file_hash(paths["log"])))
        shutil.rmtree(profile)
        shutil.rmtree(paths["tuned"])
    assert made[0] == made[1]


def test_conversations_that_do_not_fit_are_counted(paths: dict[str, Path]) -> None:
    short = [(f"Question {number}?", "the page reads a request.") for number in range(12)]
    write(paths, *short, ("Long?", "the page reads a request. " * 50))
    metrics = finetune.run(dataclasses.replace(PARAMS, data="incoming", epochs=1), **paths)
    assert (metrics["in"], metrics["out"]) == (13, 12)
    assert metrics["dropped"] == {"not_sampled": 0, "too_long": 1}


def test_without_conversations_it_says_where_they_go(paths: dict[str, Path]) -> None:
    with pytest.raises(HeadwaterError, match=r"conversations holds nothing to learn from: put files there"):
        finetune.run(dataclasses.replace(PARAMS, data="incoming"), **paths)


def test_where_no_heading_can_be_asked_for_it_says_why(paths: dict[str, Path]) -> None:
    strict = dataclasses.replace(PARAMS.headings, min_answer=80)
    with pytest.raises(HeadwaterError, match=r"nothing to learn from, of \d+ seen \(.*short_answer \d+"):
        finetune.run(dataclasses.replace(PARAMS, headings=strict), **paths)
