"""The exported model is the trained model, in every format, for every text; and a broken export is refused."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import gguf
import peft
import pytest
import yaml
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from stages import export
from stages.core import adapted, fingerprint
from stages.core.errors import HeadwaterError
from stages.core.params import check
from stages.training import adapters
from stages.training import model as models
from tests.release import tiny

VALUES: dict[str, Any] = {
    "name": "tiny",
    "licence": "apache-2.0",
    "energy": {"hardware": "one | core", "flops_per_joule": 1e9},
    "formats": ["transformers", "gguf"],
    "pruning": 0.0,
    "parity": {"texts": 60, "scored": 12, "continuations": 2, "tokens": 64, "seed": 1},
    "transformers": {"max_shard_size": "5GB", "tolerance": 0},
    "onnx": {"precisions": ["f32"], "tolerance": {"f32": 1e-3}},
    "gguf": {
        "precisions": ["f32"],
        "tolerance": {"f32": 1e-4, "f16": 1.0, "q8_0": 5, "q4_0": 50},
        "client": "transformers",
    },
}


def parameters(**changes: Any) -> export.Params:
    return check(export.Params, VALUES | changes, "export")


def manifest(heldout: Path) -> Path:
    """Beside the held-out documents."""
    return heldout.parent / "manifest.json"


def run(
    params: export.Params, model: Path, heldout: Path, folder: Path, measured: tuple[Path, ...] = ()
) -> dict[str, Any]:
    """What the stage counts as it exports to ``folder``/export."""
    return export.run(
        params, model=model, manifest=manifest(heldout), heldout=heldout, measured=measured, exported=folder / "export"
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "model"
    tiny.write_model(folder)
    return folder


@pytest.fixture(scope="module")
def heldout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("decontaminate") / "heldout"
    tiny.write_documents(folder)
    packages = [{"name": "manuals", "version": "1.0|<b>"}]
    (folder.parent / "manifest.json").write_text(json.dumps({"source": "debian-docs", "packages": packages}), "utf-8")
    return folder


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    folder = tmp_path_factory.mktemp("metrics")
    figures = {
        "pretrain": {"in": 1, "out": 1, "dropped": {}, "flops": 7.2e15},
        "extract": {"in": 4, "out": 4, "dropped": {}, "languages": {"de": 1, "en": 3}},
        "crawl": {"in": 1234, "out": 1200, "dropped": {"too_large": 30, "no_text": 4}},
        "evaluate": {
            "in": 5,
            "out": 5,
            "dropped": {},
            "note": "<script>alert(1)</script> [x](javascript:alert(2)) | y",
        },
    }
    for stage, metrics in figures.items():
        (folder / f"{stage}.json").write_text(json.dumps(metrics), "utf-8")
    return tuple(folder / f"{stage}.json" for stage in figures)


@pytest.fixture(scope="module")
def exported(model: Path, heldout: Path, measured: tuple[Path, ...]) -> tuple[Path, dict[str, Any]]:
    """A folder with both formats, and what was counted."""
    folder = model.parent / "export"
    return folder, export.export(
        parameters(), [model, heldout.parent / "manifest.json", heldout, *measured], {"exported": folder}
    )


def test_people_can_load_it_and_ask(exported: tuple[Path, dict[str, Any]]) -> None:
    folder, metrics = exported

    loaded = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello"}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    answer = loaded.generate(**prompt, max_new_tokens=4, do_sample=False)

    assert tokenizer.decode(prompt["input_ids"][0]) == "<s><|user|>Hello<|end|><|assistant|>"
    assert len(answer[0]) > len(prompt["input_ids"][0])
    assert (metrics["in"], metrics["out"], metrics["dropped"]) == (20, 20, {})
    assert metrics["formats"]["transformers"]["max_logit_difference"] == 0
    assert 0 <= metrics["formats"]["gguf-f32"]["max_logit_difference"] < 1e-4
    assert metrics["formats"]["gguf-f32"]["greedy_tokens_equal"] == 1
    assert metrics["compared"] == {"texts": 60, "scored": 24, "continuations": 2}


def test_the_card_is_filled_from_the_metrics_and_nothing_in_them_is_markup(
    model: Path,
    exported: tuple[Path, dict[str, Any]],
) -> None:
    card = (exported[0] / "README.md").read_text("utf-8")

    assert card.startswith("---\nlicense: apache-2.0\n")
    assert r"| crawl | 1,234 | 1,200 | too\_large 30 (2.4 %), no\_text 4 (0.3 %) |" in card
    assert "Crawled from debian-docs: manuals 1.0\\|&lt;b&gt;." in card
    assert "captured on 2026-01-01" in card
    assert "before filters: en 75.0 %, de 25.0 %." in card
    assert "about 2 kWh" in card
    assert re.search(r"\| gguf-f32 \| [0-9,]+ \| [0-9.e-]+ \| 100.0 % \| 0 ± 0 \|", card)
    assert yaml.safe_load(card.split("---\n")[1])["pipeline_tag"] == "text-generation"
    assert fingerprint.file_hash(model) in card
    assert "<script" not in card
    assert r"\[x\]\(javascript\:alert\(2\)\) \| y" in card


def test_the_same_model_gives_the_same_bytes(
    profile: Path,
    model: Path,
    heldout: Path,
    measured: tuple[Path, ...],
    exported: tuple[Path, dict[str, Any]],
    tmp_path: Path,
) -> None:
    run(parameters(), model, heldout, tmp_path, measured)

    assert fingerprint.file_hash(tmp_path / "export") == fingerprint.file_hash(exported[0])


def test_large_weights_are_split(
    profile: Path, model: Path, heldout: Path, measured: tuple[Path, ...], tmp_path: Path
) -> None:
    small = parameters(transformers={"max_shard_size": "60KB", "tolerance": 0})
    metrics = run(small, model, heldout, tmp_path, measured)

    assert len(list((tmp_path / "export").glob("*.safetensors"))) > 1
    assert metrics["out"] == 20
    laid_out_for_vllm(tmp_path / "export")


# What vLLM 0.33.0 has in vllm/model_executor/models/registry.py, of the kinds that are trained here; the last two run
# through its backend for models of transformers.
OF_VLLM = {
    "LlamaForCausalLM",
    "GPT2LMHeadModel",
    "MistralForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "BertForMaskedLM",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "GPT2ForSequenceClassification",
    "GPTNeoXForCausalLM",
    "Olmo2ForCausalLM",
}


def laid_out_for_vllm(folder: Path) -> None:
    """What vLLM's source says of a local folder; vLLM itself, which needs a GPU, is not run here."""
    # default_loader.py, _prepare_weights: it reads all *.safetensors of the folder itself that the index names, and
    # takes another layout where it sees consolidated*.safetensors.
    weights = sorted(path.name for path in folder.glob("*.safetensors"))
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        assert sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values())) == weights
    else:
        assert weights == ["model.safetensors"]
    assert not any(path.suffix in (".bin", ".pt") for path in folder.iterdir())
    # models/utils.py, AutoWeightsLoader: a weight that the model has not is an error, and a tied one is not asked for.
    model = AutoModelForCausalLM.from_pretrained(folder)
    held = [name for path in sorted(folder.glob("*.safetensors")) for name in load_file(path)]
    tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    assert sorted(held) == sorted(set(model.state_dict()) - tied)
    # config/model.py and models/llama.py: these are asked of the configuration.
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert config["architectures"][0] in OF_VLLM
    assert config["rope_parameters"]["rope_theta"] == 500.0
    for name in ("vocab_size", "hidden_size", "num_attention_heads", "num_key_value_heads", "max_position_embeddings"):
        assert isinstance(config[name], int), name
    # tokenizers/hf.py: AutoTokenizer by the folder alone, and of the chat template what that finds.
    assert AutoTokenizer.from_pretrained(folder, trust_remote_code=False).chat_template


def test_the_folder_is_laid_out_as_vllm_reads_it(exported: tuple[Path, dict[str, Any]]) -> None:
    laid_out_for_vllm(exported[0])


def test_an_output_of_its_own_is_exported_too(profile: Path, heldout: Path, tmp_path: Path) -> None:
    tiny.write_model(tmp_path / "model", tied=False)
    metrics = run(parameters(), tmp_path / "model", heldout, tmp_path)

    names = [tensor.name for tensor in gguf.GGUFReader(tmp_path / "export/tiny-f32.gguf").tensors]
    assert "output.weight" in names
    assert metrics["out"] == 21


@pytest.mark.parametrize("kind", ["bert", "gpt2", "gpt_neox"])
def test_kinds_whose_heads_have_keys_of_their_own_are_exported(
    profile: Path, heldout: Path, tmp_path: Path, kind: str
) -> None:
    tiny.write_model(tmp_path / "model", kind=kind)
    run(parameters(formats=["transformers"]), tmp_path / "model", heldout, tmp_path)

    card = (tmp_path / "export" / "README.md").read_text("utf-8")
    assert re.search(r"\| Architecture \| \S+, 2 layers, width 32, 4 heads \|", card)


def test_a_difference_beyond_the_tolerance_names_format_and_text(
    profile: Path, model: Path, heldout: Path, measured: tuple[Path, ...], tmp_path: Path
) -> None:
    strict = parameters(gguf=VALUES["gguf"] | {"tolerance": {"f32": 1e-9}})
    with pytest.raises(HeadwaterError, match=r"gguf-f32: logits for the text '.* the tolerance is 1e-09"):
        run(strict, model, heldout, tmp_path, measured)

    assert not (tmp_path / "export").exists()


def test_a_tokenizer_that_differs_is_refused(profile: Path, model: Path, heldout: Path, tmp_path: Path) -> None:
    broken = tmp_path / "model"
    shutil.copytree(model, broken)
    tokenizer = json.loads((broken / "tokenizer.json").read_text("utf-8"))
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:10]
    (broken / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")

    with pytest.raises(HeadwaterError, match=r"gguf-f32: the text 'The quick brown fox.*' becomes the tokens"):
        run(parameters(), broken, heldout, tmp_path)


def test_a_byte_level_tokenizer_is_exported_in_both_formats(
    profile: Path, model: Path, heldout: Path, tmp_path: Path
) -> None:
    spelled = tmp_path / "model"
    shutil.copytree(model, spelled)
    tiny.write_byte_level_tokenizer(spelled)
    metrics = run(parameters(), spelled, heldout, tmp_path)

    assert metrics["formats"]["gguf-f32"]["max_logit_difference"] < 1e-4
    fields = gguf.GGUFReader(tmp_path / "export/tiny-f32.gguf").fields
    assert fields["tokenizer.ggml.model"].contents() == "gpt2"
    assert fields["tokenizer.ggml.pre"].contents() == "qwen2"
    kinds = [gguf.TokenType(kind) for kind in fields["tokenizer.ggml.token_type"].contents()]
    assert set(kinds[:8]) == {gguf.TokenType.CONTROL}
    assert set(kinds[8:]) == {gguf.TokenType.NORMAL}


def test_words_that_llama_cpp_has_no_name_for_are_refused(
    profile: Path, model: Path, heldout: Path, tmp_path: Path
) -> None:
    spelled = tmp_path / "model"
    shutil.copytree(model, spelled)
    tiny.write_byte_level_tokenizer(spelled)
    described = (spelled / "tokenizer.json").read_text("utf-8").replace("'ll|", "'ll|'d've|")
    (spelled / "tokenizer.json").write_text(described, "utf-8")

    with pytest.raises(HeadwaterError, match=r"tokenizer\.json: llama\.cpp has no name for how"):
        run(parameters(), spelled, heldout, tmp_path)


def test_what_cannot_be_exported_is_said(profile: Path, model: Path, heldout: Path, tmp_path: Path) -> None:
    with pytest.raises(HeadwaterError, match="no model here"):
        run(parameters(), tmp_path, heldout, tmp_path)
    incomplete = tmp_path / "model"
    shutil.copytree(model, incomplete)
    (incomplete / "tokenizer.model").unlink()
    with pytest.raises(HeadwaterError, match=r"tokenizer\.model is missing"):
        run(parameters(), incomplete, heldout, tmp_path)
    tiny.write_model(tmp_path / "masked", kind="bert")
    with pytest.raises(HeadwaterError, match=r"GGUF has no bert for fill-mask: take gguf out of export\.formats"):
        run(parameters(), tmp_path / "masked", heldout, tmp_path)
    tiny.write_model(tmp_path / "qwen2", kind="qwen2")
    with pytest.raises(HeadwaterError, match="transformers gives every qwen2 the tokenizer of Qwen 2"):
        run(parameters(), tmp_path / "qwen2", heldout, tmp_path)
    for kind in ("gpt2", "olmo2"):
        tiny.write_model(tmp_path / kind, kind=kind)
        said = rf"does not read {kind} from GGUF; set export\.gguf\.client to llama\.cpp"
        with pytest.raises(HeadwaterError, match=said):
            run(parameters(), tmp_path / kind, heldout, tmp_path)
    tiny.write_model(tmp_path / "qwen3", kind="qwen3")
    with pytest.raises(HeadwaterError, match=r"takes heads of every qwen3 in GGUF to be 128 wide, and these are \d"):
        run(parameters(), tmp_path / "qwen3", heldout, tmp_path)
    with pytest.raises(HeadwaterError, match=r"export\.formats\.0: Input should be 'transformers'.*got \"onyx\""):
        parameters(formats=["onyx"])
    with pytest.raises(HeadwaterError, match=r"export\.gguf\.precisions\.0: Input should be .*got \"q5_k\""):
        parameters(gguf=VALUES["gguf"] | {"precisions": ["q5_k"]})
    half = parameters(gguf=VALUES["gguf"] | {"precisions": ["q4_0"], "tolerance": {"f32": 1}})
    with pytest.raises(HeadwaterError, match=r"export\.gguf\.tolerance has none for q4_0"):
        run(half, model, heldout, tmp_path)
    with pytest.raises(HeadwaterError, match=r"export\.name: "):
        parameters(name="../elsewhere")


def test_smaller_types_are_smaller_and_close(profile: Path, heldout: Path, tmp_path: Path) -> None:
    tiny.write_model(tmp_path / "model", intermediate=80)
    smaller = parameters(gguf=VALUES["gguf"] | {"precisions": ["f16", "q8_0", "q4_0"]})
    metrics = run(smaller, tmp_path / "model", heldout, tmp_path)

    def types(precision: str) -> dict[str, str]:
        tensors = gguf.GGUFReader(tmp_path / f"export/tiny-{precision}.gguf").tensors
        return {tensor.name: tensor.tensor_type.name for tensor in tensors}

    assert (types("f16")["blk.0.attn_q.weight"], types("f16")["blk.0.attn_norm.weight"]) == ("F16", "F32")
    assert (types("q8_0")["blk.0.attn_q.weight"], types("q8_0")["blk.0.attn_norm.weight"]) == ("Q8_0", "F32")
    assert (types("q4_0")["blk.0.attn_q.weight"], types("q4_0")["token_embd.weight"]) == ("Q4_0", "Q8_0")
    assert types("q4_0")["blk.0.ffn_down.weight"] == "F16"  # rows of 80, no multiple of 32
    figures = metrics["formats"]
    assert figures["gguf-f16"]["bytes"] > figures["gguf-q8_0"]["bytes"] > figures["gguf-q4_0"]["bytes"]
    assert (
        figures["gguf-f16"]["max_logit_difference"]
        < figures["gguf-q8_0"]["max_logit_difference"]
        < figures["gguf-q4_0"]["max_logit_difference"]
    )
    assert figures["gguf-q4_0"]["bits_per_byte_added_stderr"] > 0


def test_what_cannot_be_merged_is_exported_with_its_base(
    model: Path, heldout: Path, measured: tuple[Path, ...], profile: Path, tmp_path: Path
) -> None:
    adapter = adapters.Adapter(rank=1, alpha=1, dropout=0.0, targets="attention", virtual_tokens=4)
    tuned, exported = tmp_path / "tuned", tmp_path / "exported"
    adapters.save({}, adapters.Tuning("prompt", adapter, 1, 1), models.load(model, 0.0), tuned, stop=[2])
    models.copy_tokenizer(model, tuned)
    paths: dict[str, Any] = {
        "manifest": manifest(heldout),
        "model": tuned,
        "heldout": heldout,
        "measured": measured,
        "exported": exported,
    }
    with pytest.raises(HeadwaterError, match=r"cannot be merged into weights: set export\.formats to \[transformers\]"):
        export.run(parameters(), **paths)
    metrics = export.run(parameters(formats=["transformers"]), **paths)
    assert metrics["formats"]["peft"]["max_logit_difference"] == 0
    base = AutoModelForCausalLM.from_pretrained(exported / "base")
    with adapted.quiet():
        assert peft.PeftModel.from_pretrained(base, str(exported)).active_peft_config.num_virtual_tokens == 4
    assert "PeftModel.from_pretrained" in (exported / "README.md").read_text("utf-8")


def test_pruning_takes_the_smallest_weights_of_each_matrix_and_says_what_it_costs(
    profile: Path, model: Path, heldout: Path, tmp_path: Path
) -> None:
    metrics = run(parameters(pruning=0.3, formats=["transformers"]), model, heldout, tmp_path)
    before = AutoModelForCausalLM.from_pretrained(model)
    after = AutoModelForCausalLM.from_pretrained(tmp_path / "export").state_dict()
    for name, weights in before.state_dict().items():
        changed = after[name] != weights
        if "_proj" not in name:
            assert not changed.any(), name
            continue
        assert int(changed.sum()) == int(0.3 * weights.numel()), name
        assert weights[changed].abs().max() <= weights[~changed].abs().min(), name
        assert not after[name][changed].any(), name
    pruned = metrics["pruned"]
    assert pruned["zeros"] == pytest.approx(0.3 * pruned["weights"], rel=0.01)
    assert pruned["bits_per_byte_added_stderr"] > 0
    assert metrics["formats"]["transformers"]["max_logit_difference"] == 0  # from the pruned model
    assert f"Pruned: {100 * pruned['zeros'] / pruned['weights']:.1f} % of the weights" in (
        tmp_path / "export" / "README.md"
    ).read_text("utf-8")
