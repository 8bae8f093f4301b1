"""llama.cpp itself runs what the export writes: of every kind and type, with the same tokens, logits and answers."""

from pathlib import Path

import pytest

from stages.core.params import check
from stages.release import (
    compared_texts,
    gguf_architectures,
    gguf_file,
    parity,
    transformers_folder,
)
from tests.release import tiny

pytest.importorskip("llama_cpp", reason="llama.cpp is not installed: make test-formats", exc_type=ImportError)

pytestmark = pytest.mark.timeout(1800)  # for a hang: other programs work here, on a machine that others use

TOLERANCE = {"f32": 0.02, "f16": 1, "q8_0": 10, "q4_0": 80}  # its processor code rounds GELU and products of q8_0
SETTINGS = check(
    gguf_file.Settings, {"precisions": list(TOLERANCE), "tolerance": TOLERANCE, "client": "llama.cpp"}, "gguf"
)


@pytest.mark.parametrize("kind", sorted(gguf_architectures.KINDS))
@pytest.mark.parametrize("tied", [True, False])
def test_every_kind_and_type(profile: Path, tmp_path: Path, kind: str, tied: bool) -> None:
    source, target = tmp_path / "model", tmp_path / "export"
    tiny.write_model(source, kind=kind, tied=tied, intermediate=96)
    target.mkdir()
    gguf_file.check(source, SETTINGS)

    found = compared(source, target)

    assert found["gguf-f32"].greedy_equal == 1
    assert all(one.bits_per_byte for one in found.values())


def compared(source: Path, target: Path) -> dict[str, parity.Comparison]:
    """Every type that is written, beside the model."""
    heldout = target.parent / "heldout"
    tiny.write_documents(heldout)
    hostile, passages = compared_texts.draw(heldout, 60, 1)
    settings = check(parity.Settings, {"texts": 60, "scored": 8, "continuations": 2, "tokens": 64, "seed": 1}, "parity")
    expected = parity.expect(transformers_folder.original(source), hostile, passages, settings, begin=1, context=64)
    return {one.label: parity.check(one, expected) for one in gguf_file.write(source, target, SETTINGS, "tiny")}


def test_control_tokens_of_filling_in_the_middle_come_along(profile: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "model", tmp_path / "export"
    tiny.write_model(source, fill=True)
    target.mkdir()

    assert compared(source, target)["gguf-f32"].greedy_equal == 1

    import llama_cpp as client

    loaded = client.Llama(str(target / "tiny-f32.gguf"), vocab_only=True, verbose=False)
    assert loaded.tokenize(b"<|fim_prefix|>", add_bos=False, special=True) == [400]
    assert loaded.tokenize(b"<|fim_prefix|>", add_bos=False, special=False) != [400]
    assert client.llama_vocab_fim_suf(client.llama_model_get_vocab(loaded.model)) == 401
    loaded.close()


def test_a_byte_level_tokenizer(profile: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "model", tmp_path / "export"
    tiny.write_model(source)
    tiny.write_byte_level_tokenizer(source)
    target.mkdir()

    assert compared(source, target)["gguf-f32"].greedy_equal == 1
