"""onnxruntime runs what the export writes: the same tokens, logits and answers, with the cache; and classifiers."""

import shutil
from pathlib import Path

import pytest

from stages.core import fingerprint
from stages.core.params import check
from stages.release import compared_texts, onnx_file, parity, transformers_folder
from tests.release import tiny

pytest.importorskip("onnxscript", reason="onnxscript is not installed: make test-formats")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: make test-formats")

pytestmark = pytest.mark.timeout(1800)  # for a hang: other programs work here, on a machine that others use

SETTINGS = check(onnx_file.Settings, {"precisions": ["f32", "int8"], "tolerance": {"f32": 0.001, "int8": 80}}, "onnx")


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen3"])
def test_a_model_that_continues_text(profile: Path, tmp_path: Path, kind: str) -> None:
    tiny.write_model(tmp_path / "model", kind=kind)
    found = compared(tmp_path / "model", tmp_path)

    assert found["onnx-f32"].greedy_equal == 1
    assert found["onnx-int8"].greedy_equal is not None


@pytest.mark.parametrize("kind", ["llama", "bert"])
@pytest.mark.parametrize("ending", ["ForSequenceClassification", "ForTokenClassification"])
def test_a_classifier(profile: Path, tmp_path: Path, kind: str, ending: str) -> None:
    tiny.write_classifier(tmp_path / "model", kind=kind, ending=ending)
    found = compared(tmp_path / "model", tmp_path)

    assert found["onnx-f32"].logit_difference < 0.001
    assert found["onnx-f32"].greedy_equal is None


def test_the_same_bytes_every_time(profile: Path, tmp_path: Path) -> None:
    tiny.write_model(tmp_path / "model")
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        onnx_file.write(tmp_path / "model", tmp_path / name, SETTINGS, "tiny")

    assert fingerprint.file_hash(tmp_path / "first") == fingerprint.file_hash(tmp_path / "second")
    assert str(Path(shutil.__file__).parent).encode() not in (tmp_path / "first/onnx/model.onnx").read_bytes()


def compared(source: Path, folder: Path) -> dict[str, parity.Comparison]:
    """Every type that is written, beside the model."""
    (folder / "export").mkdir()
    tiny.write_documents(folder / "heldout")
    hostile, passages = compared_texts.draw(folder / "heldout", 60, 1)
    settings = check(parity.Settings, {"texts": 60, "scored": 8, "continuations": 2, "tokens": 64, "seed": 1}, "parity")
    expected = parity.expect(transformers_folder.original(source), hostile, passages, settings, begin=1, context=64)
    onnx_file.check(source, SETTINGS)
    return {one.label: parity.check(one, expected) for one in onnx_file.write(source, folder / "export", SETTINGS, "")}
