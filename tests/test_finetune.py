"""The stage ``finetune``: a model learns answers, and the same input gives the same bytes."""

import dataclasses
import json
import math
import random
import re
import shutil
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

from stages import finetune
from stages.core import documents, params
from stages.core.errors import HeadwaterError
from stages.core.fingerprint import file_hash
from stages.core.params import check
from stages.scoring.together import Together
from stages.text.augmentation import Augmentation
from stages.text.headings import Headings
from stages.text.sampling import Measured, Wanted
from stages.training.adapters import Adapter
from stages.training.distillation import Distillation
from stages.training.model import Architecture
from stages.training.preference import Preference
from stages.training.schedule import Schedule
from stages.training.settings import Averaging, HeldOut, Spikes, Training
from tests import packed_tokens, small_model
from tests.text.columns import COLUMNS
from tests.training import small_run

ROWS = Wanted(
    most=40,
    test=Measured(file="", share=0.0),
    columns=COLUMNS,
    labels=(),
)

PARAMS = finetune.Params(
    task="chat",
    method="full",
    start="",
    preference=Preference(beta=0.5),
    distillation=Distillation(
        teacher="",
        student="",
        architecture=check(Architecture, small_run.PARAMS["model"], "model"),
        temperature=2.0,
        share=0.7,
    ),
    adapter=Adapter(rank=4, alpha=8, dropout=0.0, targets="attention", virtual_tokens=4),
    data="headings",
    rows=ROWS,
    packed=True,
    class_weights="none",
    augmentation=Augmentation(rows=0.0, delete=0.1, swap=0.1, insert=0.1, replace=0.1),
    folds=0,
    together=Together(models=(), mean="weights"),
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
        "tokens": tmp_path / "tokens",
        "conversations": tmp_path / "conversations",
        "tuned": tmp_path / "tuned",
        "log": tmp_path / "log.csv",
        "spikes": tmp_path / "spikes.json",
        "seen": tmp_path / "seen.parquet",
    }


def write(paths: dict[str, Path], *conversations: tuple[str, str]) -> None:
    """Write conversations of a question and an answer."""
    with (paths["conversations"] / "mine.jsonl").open("w", encoding="utf-8") as file:
        for question, answer in conversations:
            messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            file.write(json.dumps({"messages": messages}) + "\n")


def test_what_each_batch_was_made_of_is_told(paths: dict[str, Path]) -> None:
    metrics = finetune.run(dataclasses.replace(PARAMS, epochs=1), **paths)

    seen = pq.read_table(paths["seen"]).to_pydict()
    assert sorted(set(seen["batch"])) == list(range(metrics["steps"]))
    ids = {row["id"] for path in paths["documents"].iterdir() for row in documents.read(path, ["id"])}
    assert {re.fullmatch(r"document (\w+), heading \d+", source)[1] for source in seen["source"]} <= ids  # type: ignore[index]


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


def preferences(paths: dict[str, Path], method: Literal["lora", "prefix", "prompt"], peak: float) -> finetune.Params:
    """Pairs of answers to 16 questions, and parameters that learn from three quarters of them."""
    words = ("page", "server", "file", "log")
    rows = [{"prompt": f"What of the {a}, and {b}?", "chosen": f"It reads {a}.", "rejected": f"{b} closes."}
            for a in words for b in words]  # fmt: skip
    (paths["conversations"] / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    wanted = dataclasses.replace(PARAMS.rows, test=Measured(file="", share=0.25))
    schedule = dataclasses.replace(PARAMS.training.schedule, peak=peak)
    training = dataclasses.replace(PARAMS.training, schedule=schedule)
    given: dict[str, Any] = {"task": "preference", "method": method, "data": "incoming", "rows": wanted}
    return dataclasses.replace(PARAMS, training=training, **given)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["prefix", "prompt"])
def test_virtual_tokens_learn_preferences_against_the_model_without_them(
    method: Literal["prefix", "prompt"], paths: dict[str, Path]
) -> None:
    metrics = finetune.run(dataclasses.replace(preferences(paths, method, 5e-2), epochs=20), **paths)
    assert metrics["test"]["accuracy"] == 1
    assert metrics["test"]["margin"] > 0.1
    assert metrics["test"]["reward_chosen"] > metrics["test"]["reward_rejected"]
    assert (paths["tuned"] / "adapter_config.json").is_file()
    assert (paths["tuned"] / "base" / "model.safetensors").is_file()


def test_preferred_answers_become_likelier_and_the_adapter_lies_beside_the_model(paths: dict[str, Path]) -> None:
    metrics = finetune.run(dataclasses.replace(preferences(paths, "lora", 2e-2), epochs=4), **paths)
    assert (metrics["in"], metrics["out"], metrics["dropped"]["tested"]) == (16, 12, 4)
    assert metrics["first_loss"] == pytest.approx(math.log(2), abs=1e-3)
    assert metrics["test"]["accuracy"] == 1
    assert metrics["test"]["margin"] > 0.1
    assert metrics["trained_parameters"] < metrics["parameters"] / 10
    assert (paths["tuned"] / "adapter" / "adapter_config.json").is_file()
    assert AutoModelForCausalLM.from_pretrained(paths["tuned"]).config.vocab_size == 512


def test_a_smaller_student_learns_from_the_pretrained_model(paths: dict[str, Path]) -> None:
    metrics = finetune.run(dataclasses.replace(PARAMS, task="distill", epochs=4), **paths)
    assert metrics["loss"] < metrics["first_loss"] - 0.5
    student = AutoModelForCausalLM.from_pretrained(paths["tuned"])
    assert (student.config.hidden_size, student.config.vocab_size) == (32, 512)


def test_a_student_learns_from_the_rows_of_pretraining_too(paths: dict[str, Path]) -> None:
    draw = random.Random(1)
    rows = [(f"{number:032x}", [1, *draw.choices(range(8, 60), k=60), 2]) for number in range(24)]
    packed_tokens.write(paths["tokens"], rows)
    wanted = dataclasses.replace(PARAMS.rows, most=20, test=Measured(file="", share=0.2))
    metrics = finetune.run(dataclasses.replace(PARAMS, task="distill", data="tokens", rows=wanted), **paths)
    assert (metrics["in"], metrics["out"], metrics["rows"]) == (24, 16, 16)
    assert metrics["dropped"] == {"not_sampled": 4, "tested": 4}
    assert metrics["answer_tokens"] == 16 * 61
    assert metrics["test"]["perplexity"]["value"] == pytest.approx(math.exp(metrics["test"]["loss"]), rel=1e-4)


def test_a_teacher_with_another_vocabulary_is_refused(paths: dict[str, Path]) -> None:
    other = paths["conversations"] / "other"
    shutil.copytree(paths["model"], other)
    (other / "tokenizer.json").write_text("{}", "utf-8")
    told = dataclasses.replace(PARAMS.distillation, teacher="other")
    with pytest.raises(HeadwaterError, match=r"other: has another vocabulary than .*: take a model with the same"):
        finetune.run(dataclasses.replace(PARAMS, task="distill", distillation=told), **paths)


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


WORDS = ("the page", "a server", "this file", "reads", "writes", "closes")


def sentences(count: int) -> list[str]:
    """Sentences of some words each, all different words."""
    draw = random.Random(1)
    return [" ".join(draw.sample(WORDS, draw.randrange(2, 6))) for _ in range(count)]


def labelled(task: str, **changes: Any) -> finetune.Params:
    """Parameters of a task with a quarter of its rows to measure on."""
    rows = dataclasses.replace(ROWS, most=200, test=Measured(file="", share=0.25))
    schedule = dataclasses.replace(PARAMS.training.schedule, peak=1e-2)
    training = dataclasses.replace(PARAMS.training, batch_sequences=8, micro_batch=8, schedule=schedule)
    return dataclasses.replace(PARAMS, task=task, data="incoming", rows=rows, training=training, epochs=4, **changes)


def test_classes_are_learned_and_the_pipeline_of_transformers_names_them(paths: dict[str, Path]) -> None:
    lines = [f"{text},{'serving' if 'server' in text else 'other'}" for text in sentences(120)]
    (paths["conversations"] / "a.csv").write_text("text,label\n" + "\n".join(lines), "utf-8")
    augmentation = Augmentation(rows=0.5, delete=0, swap=0.5, insert=0, replace=0)  # which leaves the classes true
    twice = Together(models=("tuned", "tuned"), mean="weights")
    wanted = labelled("classify", augmentation=augmentation, class_weights="balanced", together=twice)
    metrics = finetune.run(wanted, **paths)
    assert (metrics["in"], metrics["out"], metrics["dropped"]["tested"]) == (120, 90, 30)
    assert sum(metrics["labels"].values()) == 90
    assert metrics["test"]["rows"] == 30
    assert metrics["test"]["accuracy"]["value"] >= 0.9 > metrics["test"]["majority"]
    assert metrics["together"] == {"models": 2} | {name: one for name, one in metrics["test"].items() if name != "loss"}
    told = pipeline("text-classification", model=str(paths["tuned"]), device="cpu")
    assert [one["label"] for one in told(["this file closes a server", "this file closes the page"])] == [
        "serving",
        "other",
    ]


def test_tags_are_learned_from_conll(paths: dict[str, Path]) -> None:
    tagged = [[(word, "B-S" if word == "server" else "O") for word in text.split()] for text in sentences(80)]
    blocks = ["\n".join(f"{word} {tag}" for word, tag in row) for row in tagged]
    (paths["conversations"] / "a.conll").write_text("\n\n".join(blocks), "utf-8")
    metrics = finetune.run(labelled("tag"), **paths)
    assert metrics["test"]["f1"]["value"] >= 0.9
    assert set(metrics["test"]["by_type"]) == {"S"}
    told = pipeline("token-classification", model=str(paths["tuned"]), device="cpu")
    assert {one["entity"] for one in told("a server reads") if "server".endswith(one["word"].strip("▁ "))} >= {"B-S"}


def test_numbers_are_learned_folds_say_how_much_it_varies_and_their_models_are_measured_as_one(
    paths: dict[str, Path],
) -> None:
    rows = [json.dumps({"text": text, "label": text.count("e") / 8}) for text in sentences(60)]
    (paths["conversations"] / "a.jsonl").write_text("\n".join(rows), "utf-8")
    several = Together(models=("folds",), mean="probabilities")
    metrics = finetune.run(labelled("score", folds=2, together=several), **paths)
    assert (metrics["together"]["models"], metrics["together"]["rows"]) == (2, 15)
    assert metrics["together"]["mean"] == metrics["test"]["mean"]
    assert metrics["together"]["mse"]["value"] != metrics["test"]["mse"]["value"]
    assert metrics["test"]["mse"]["value"] < metrics["test"]["mean"]["mse"]
    assert metrics["test"]["loss"] == pytest.approx(metrics["test"]["mse"]["value"], rel=1e-4)
    assert metrics["folds"]["rows"] == {"mean": 22.5, "std": pytest.approx(0.7071, abs=1e-3)}
    assert metrics["folds"]["mse"]["std"] > 0


@pytest.mark.parametrize("packed", [True, False])
def test_completions_are_learned_packed_or_not_and_compared_as_texts(
    packed: bool, paths: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f'"{text}"," {text.split()[-1]} so, as one"' for text in sentences(80)]
    (paths["conversations"] / "a.csv").write_text("prompt,completion\n" + "\n".join(rows), "utf-8")
    params = labelled("completion", packed=packed)
    size = 2 if packed else 8
    training = dataclasses.replace(params.training, batch_sequences=size, micro_batch=size)
    metrics = finetune.run(dataclasses.replace(params, training=training), **paths)
    assert (metrics["rows"] == 60) == (not packed)
    output = "".join(capsys.readouterr())
    assert (f"60 examples packed into {metrics['rows']} rows" in output) == packed
    test = metrics["test"]
    assert test["rows"] == 20
    assert test["loss"] < metrics["first_loss"] / 2
    assert test["perplexity"]["value"] == pytest.approx(math.exp(test["loss"]), rel=1e-4)
    assert 10 < test["bleu"]["value"] <= 100
    assert test["chrf"]["interval"][0] <= test["chrf"]["value"] <= test["chrf"]["interval"][1]
    assert 0.2 < test["rouge2"]["value"] <= test["rougeL"]["value"] <= test["rouge1"]["value"] <= 1


def test_bad_settings_are_named() -> None:
    values = params.as_json(PARAMS)
    for change, message in (
        ({"task": "clasify"}, r"no such task: 'clasify'; did you mean 'classify'\?"),
        ({"task": "tag"}, "headings makes conversations, for chat or distill; tag needs data: incoming"),
        ({"folds": 1}, "one fold leaves nothing to learn from"),
        ({"together": {"models": ["folds"], "mean": "weights"}}, r"together: no rows to measure on: set rows\.test"),
    ):
        with pytest.raises(HeadwaterError, match=rf"^params\.yaml: finetune: {message}[^{{]*$"):
            params.check(finetune.Params, json.loads(values) | change, "params.yaml: finetune")


def test_without_conversations_it_says_where_they_go(paths: dict[str, Path]) -> None:
    with pytest.raises(HeadwaterError, match=r"conversations holds nothing to learn from: put files there"):
        finetune.run(dataclasses.replace(PARAMS, data="incoming"), **paths)


@pytest.mark.parametrize(
    ("task", "name", "text", "said"),
    [
        ("classify", "a.csv", "text,label\n", r"a\.csv: no rows"),
        ("classify", "a.csv", "text,label\na,1\nb,2\nc,3\nd,4\n", "no row to learn from has it: name all"),
        ("completion", "a.csv", f"prompt,completion\nhi,{'so ' * 200}\n", r"a\.csv, row 1 does not fit the model's"),
        ("completion", "a.csv", "prompt,completion\nhi,\n", r"a\.csv: row 1: column 'completion' is empty"),
    ],
)
def test_rows_with_nothing_in_them_are_named(
    task: str, name: str, text: str, said: str, paths: dict[str, Path]
) -> None:
    (paths["conversations"] / name).write_text(text, "utf-8")
    with pytest.raises(HeadwaterError, match=said):
        finetune.run(labelled(task), **paths)


def test_more_folds_than_rows_are_refused_before_training(paths: dict[str, Path]) -> None:
    (paths["conversations"] / "a.csv").write_text("text,label\ngood,1\nbad,0\nfair,1\n", "utf-8")
    with pytest.raises(HeadwaterError, match=r"^params\.yaml: finetune\.folds is 4, of 2 rows: lower it, or bring"):
        finetune.run(labelled("classify", folds=4), **paths)


def test_tuning_begins_with_a_model_that_was_tuned_before_but_not_with_a_mere_adapter(paths: dict[str, Path]) -> None:
    brought = paths["conversations"]
    shutil.copytree(paths["model"], brought / "tuned before")
    (brought / "adapter").mkdir()
    (brought / "adapter" / "adapter_config.json").write_text("{}", "utf-8")
    with pytest.raises(HeadwaterError, match=r"adapter: an adapter that is not merged; training begins with a whole"):
        finetune.run(dataclasses.replace(PARAMS, start="adapter"), **paths)
    rows = dataclasses.replace(PARAMS.rows, test=Measured(file="", share=0.2))
    several = Together(models=("tunned",), mean="weights")
    with pytest.raises(HeadwaterError, match=r"finetune\.together\.models: no model 'tunned'; did you mean 'tuned'\?"):
        finetune.run(dataclasses.replace(PARAMS, rows=rows, together=several), **paths)
    metrics = finetune.run(dataclasses.replace(PARAMS, start="tuned before", epochs=1), **paths)
    assert metrics["first_loss"] < 5


def test_documents_without_headings_are_told_and_what_helps(paths: dict[str, Path]) -> None:
    for path in paths["documents"].iterdir():
        small_model.write(path, [small_model.document(1, text="Plain prose, as of a text file.\n\nAnd more of it.")])
    with pytest.raises(HeadwaterError, match=r"no document in \S+ has a heading, .* set finetune.data to incoming"):
        finetune.run(PARAMS, **paths)


def test_where_no_heading_can_be_asked_for_it_says_why(paths: dict[str, Path]) -> None:
    strict = dataclasses.replace(PARAMS.headings, min_answer=80)
    with pytest.raises(HeadwaterError, match=r"nothing to learn from, of \d+ seen \(.*short_answer \d+"):
        finetune.run(dataclasses.replace(PARAMS, headings=strict), **paths)
