"""The stage as a whole: figures that repeat, survive a change of batch size, and errors that say what to do."""

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import transformers
from transformers import AutoModelForSequenceClassification

from stages import evaluate
from stages.core import fingerprint
from stages.core.errors import HeadwaterError
from stages.scoring.cloze import Cloze
from stages.scoring.generation import Samples
from stages.scoring.learning_curve import Curve
from stages.scoring.likelihood import Windows
from stages.scoring.memorisation import Memorisation
from stages.scoring.sample import Sample
from stages.scoring.together import Together
from tests import packed_tokens, small_model

PARAMS = evaluate.Params(
    sample=Sample(seed=1, max_documents=12),
    windows=Windows(overlap=0.25, batch_tokens=512),
    cloze=Cloze(seed=1, questions_per_document=2, choices=4, context=80, continuation=40),
    tasks=(),
    chat_template="tuned",
    curve=Curve(seed=1, documents=4, questions=6),
    samples=Samples(
        seed=1,
        continuations=2,
        answers=2,
        question="What is {heading}?",
        prompt=60,
        max_tokens=8,
        temperature=0.7,
        top_p=0.95,
    ),
    together=Together(models=(), mean="weights"),
    memorisation=Memorisation(seed=1, passages=3, prompt=8, max_tokens=8, window=8),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model.train(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture
def paths(tmp_path: Path, model: Path) -> dict[str, Path]:
    heldout = tmp_path / "heldout"
    small_model.write(heldout / "00000.parquet", [small_model.document(number) for number in range(8)])
    small_model.write(heldout / "00001.parquet", [small_model.document(number, "de") for number in range(8, 16)])
    tasks = tmp_path / "incoming"
    tasks.mkdir()
    texts = [small_model.document(number) for number in range(1000, 1010)]
    training = small_model.write(tmp_path / "training" / "00000.parquet", texts).parent
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    ids = [(row["id"], tokenizer(row["text"], add_special_tokens=False)["input_ids"]) for row in texts]
    log = tmp_path / "log.csv"
    log.write_text("step,tokens\n" + "".join(f"{step},{64 * step}\n" for step in range(1, 61)), "utf-8")
    (tmp_path / "snapshots").mkdir()
    return {
        "pretrained": model,
        "tuned": model,
        "snapshots": tmp_path / "snapshots",
        "log": log,
        "heldout": heldout,
        "training": training,
        "tokens": packed_tokens.write(tmp_path / "pack", ids),
        "tasks": tasks,
    }


def test_figures_of_a_run(paths: dict[str, Path], profile: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    metrics = evaluate.run(PARAMS, **paths, results=results)
    assert (metrics["in"], metrics["out"], metrics["dropped"]) == (16, 12, {"not_sampled": 4})
    assert set(metrics["bits_per_byte"]) == {"pretrained", "tuned", "gzip-9", "zstd-19", "xz-9"}
    assert 0.3 < metrics["bits_per_byte"]["pretrained"] < 3
    cloze = metrics["pretrained"]["tasks"]["heldout_cloze"]
    assert cloze["chance"] == 0.25
    assert cloze["questions"] == metrics["cloze"]["questions"] > 12
    assert cloze["acc_bytes_stderrs_above_chance"] > 3  # each document repeats its own name
    assert metrics["tuning"]["held_out"]["bits_per_byte"]["verdict"] == "not told apart"  # the model is the same
    assert set(metrics["tuning"]) == {"held_out", "heldout_cloze"}
    assert metrics["tuned"]["memorisation"]["training"]["passages"] == 3
    assert metrics["tuned"]["memorisation"]["heldout"]["repeated"]["share"] is not None
    everything = json.loads((results / "results.json").read_text())
    assert set(everything["models"]["pretrained"]["by_host"]) == {"en.example.org", "de.example.org"}
    samples = [json.loads(line) for line in (results / "samples.jsonl").read_text().splitlines()]
    assert [sample["model"] for sample in samples] == ["pretrained", "pretrained", "tuned", "tuned"]
    assert (results / "bits_per_byte.csv").read_text().splitlines()[0] == "name,bits_per_byte"


def test_a_learning_curve_is_of_the_same_documents_and_questions(
    paths: dict[str, Path], profile: Path, tmp_path: Path
) -> None:
    weaker = paths["snapshots"] / "step-00000007"
    shutil.copytree(paths["pretrained"], paths["snapshots"] / "step-00000030")  # what the last step comes to
    shutil.copytree(paths["pretrained"], weaker)
    worse = transformers.AutoModelForCausalLM.from_pretrained(weaker)
    worse.model.norm.weight.data *= 0.1
    worse.save_pretrained(weaker)
    evaluate.run(PARAMS, **paths, results=tmp_path / "results")
    with (tmp_path / "results" / "learning_curve.csv").open() as file:
        first, same, last = csv.DictReader(file)
    assert [(row["step"], row["tokens"]) for row in (first, same, last)] == [
        ("7", "448"),
        ("30", "1920"),
        ("60", "3840"),
    ]
    assert float(first["bits_per_byte"]) > float(last["bits_per_byte"]) + 0.5
    for column in ("bits_per_byte", "bits_per_byte_stderr", "cloze", "cloze_stderr"):
        assert float(same[column]) == pytest.approx(float(last[column]))


def test_repeats_byte_for_byte_and_takes_what_is_built(paths: dict[str, Path], profile: Path, tmp_path: Path) -> None:
    first = evaluate.run(PARAMS, **paths, results=tmp_path / "first")
    shutil.rmtree(profile)
    second = evaluate.run(PARAMS, **paths, results=tmp_path / "second")
    assert first == second
    assert fingerprint.file_hash(tmp_path / "first") == fingerprint.file_hash(tmp_path / "second")
    built = (tmp_path / "second" / "pretrained.parquet").stat().st_ino
    assert evaluate.run(PARAMS, **paths, results=tmp_path / "second") == first
    assert (tmp_path / "second" / "pretrained.parquet").stat().st_ino == built


def test_several_models_are_evaluated_like_one(paths: dict[str, Path], profile: Path, tmp_path: Path) -> None:
    both = Together(models=("pretrained", "tuned"), mean="probabilities")
    metrics = evaluate.run(dataclasses.replace(PARAMS, together=both), **paths, results=tmp_path / "results")
    assert metrics["bits_per_byte"]["together"] == pytest.approx(metrics["bits_per_byte"]["tuned"], rel=1e-4)
    unknown = dataclasses.replace(PARAMS, together=Together(models=("pretrain",), mean="weights"))
    with pytest.raises(HeadwaterError, match=r"no model 'pretrain'; did you mean 'pretrained'\?"):
        evaluate.run(unknown, **paths, results=tmp_path / "results")


def test_one_held_out_document(paths: dict[str, Path], profile: Path, tmp_path: Path) -> None:
    shutil.rmtree(paths["heldout"])
    small_model.write(paths["heldout"] / "00000.parquet", [small_model.document(1, text="A text without a heading.")])
    metrics = evaluate.run(PARAMS, **paths, results=tmp_path / "results")
    assert metrics["pretrained"]["tasks"] == {}
    assert metrics["pretrained"]["stderr"] is None
    assert (tmp_path / "results" / "samples.jsonl").read_text() == ""


def test_nothing_held_out_says_what_to_do(paths: dict[str, Path], profile: Path, tmp_path: Path) -> None:
    shutil.rmtree(paths["heldout"])
    small_model.write(paths["heldout"] / "00000.parquet", [])
    with pytest.raises(HeadwaterError, match="no held-out document to evaluate"):
        evaluate.run(PARAMS, **paths, results=tmp_path / "results")


def test_a_tuned_model_that_does_not_write_is_left_out(paths: dict[str, Path], profile: Path, tmp_path: Path) -> None:
    classifier = tmp_path / "classifier"
    shutil.copytree(paths["tuned"], classifier)
    AutoModelForSequenceClassification.from_pretrained(paths["tuned"]).save_pretrained(classifier)
    metrics = evaluate.run(PARAMS, **(paths | {"tuned": classifier}), results=tmp_path / "results")
    assert set(metrics["bits_per_byte"]) == {"pretrained", "gzip-9", "zstd-19", "xz-9"}
    assert "tuned" not in metrics
    assert '"model": "tuned"' not in (tmp_path / "results" / "samples.jsonl").read_text("utf-8")
