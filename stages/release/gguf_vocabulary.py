"""The tokenizer in a GGUF file, of both kinds: what is written, and a tokenizer from nothing but what is there.

Keys and their values as in llama.cpp's ``convert_hf_to_gguf.py``: ``llama`` for sentencepiece BPE, ``gpt2`` for
byte-level BPE, whose rule for words llama.cpp knows by name only.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import GenerationConfig, PreTrainedTokenizerFast

from stages.core.errors import HeadwaterError

WORDS = {
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+",
}
"""llama.cpp's name of a rule for words to the rule (LLAMA_VOCAB_PRE_TYPE_… in its src/llama-vocab.cpp)."""

# The control tokens of filling in the middle, and where llama.cpp, whose /infill needs them, looks for their ids.
_FILL = {
    "<|fim_prefix|>": gguf.Keys.Tokenizer.FIM_PRE_ID,
    "<|fim_suffix|>": gguf.Keys.Tokenizer.FIM_SUF_ID,
    "<|fim_middle|>": gguf.Keys.Tokenizer.FIM_MID_ID,
}


def add(writer: Any, source: Path, config: Any) -> None:
    """Write the tokenizer of the model folder ``source``, and its chat template.

    Raises:
        HeadwaterError: it is of a kind that llama.cpp does not read, or not that of the model.
    """
    tokenizer = PreTrainedTokenizerFast.from_pretrained(source, local_files_only=True)
    described = json.loads((source / "tokenizer.json").read_text("utf-8"))
    if (described.get("decoder") or {}).get("type") == "ByteLevel":
        _add_byte_level(writer, source, described, config.vocab_size)
    else:
        _add_sentencepiece(writer, source / "tokenizer.model", described["added_tokens"], config.vocab_size)
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_unk_token_id(tokenizer.unk_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    for token_id in _stops(source, tokenizer.eos_token_id):
        writer.add_eot_token_id(token_id)
    for token in described["added_tokens"]:
        if token["content"] in _FILL:
            writer.add_uint32(_FILL[token["content"]], token["id"])
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def read(path: Path) -> Callable[[str], list[int]]:
    """What encodes text by nothing but the keys of a GGUF file: what llama.cpp's tokenizer works from."""
    fields = gguf.GGUFReader(path).fields

    def value(key: str) -> Any:
        return fields[key].contents()

    if value(gguf.Keys.Tokenizer.MODEL) == "gpt2":
        return _read_byte_level(value)
    return _read_sentencepiece(value)


def _add_sentencepiece(writer: Any, path: Path, added: list[Any], vocab_size: int) -> None:
    model = sentencepiece_model_pb2.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except FileNotFoundError:
        raise HeadwaterError(f"{path} is missing: GGUF needs the sentencepiece model of the tokenizer") from None
    if model.normalizer_spec.precompiled_charsmap or model.trainer_spec.model_type != model.trainer_spec.BPE:
        raise HeadwaterError(f"{path}: llama.cpp reads sentencepiece BPE without normalisation only")
    # Behind the pieces, control tokens that training has added.
    for token in sorted(added, key=lambda token: int(token["id"])):
        if token["id"] >= len(model.pieces):
            model.pieces.add(piece=token["content"], score=0.0, type=model.SentencePiece.CONTROL)
    _check(path, len(model.pieces), vocab_size)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([piece.piece for piece in model.pieces])
    writer.add_token_scores([piece.score for piece in model.pieces])
    # sentencepiece's numbers for normal, unknown, control, … are GGUF's as well (gguf.TokenType).
    writer.add_token_types([int(piece.type) for piece in model.pieces])
    writer.add_add_space_prefix(model.normalizer_spec.add_dummy_prefix)
    writer.add_remove_extra_whitespaces(model.normalizer_spec.remove_extra_whitespaces)


def _read_sentencepiece(value: Callable[[str], Any]) -> Callable[[str], list[int]]:
    model = sentencepiece_model_pb2.ModelProto()
    model.trainer_spec.model_type = sentencepiece_model_pb2.TrainerSpec.BPE
    model.trainer_spec.byte_fallback = True
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = value(gguf.Keys.Tokenizer.ADD_PREFIX)
    model.normalizer_spec.remove_extra_whitespaces = value(gguf.Keys.Tokenizer.REMOVE_EXTRA_WS)
    table = (
        value(key) for key in (gguf.Keys.Tokenizer.LIST, gguf.Keys.Tokenizer.SCORES, gguf.Keys.Tokenizer.TOKEN_TYPE)
    )
    for piece, score, kind in zip(*table, strict=True):
        model.pieces.add(piece=piece, score=score, type=kind)
    encode: Callable[[str], list[int]] = sentencepiece.SentencePieceProcessor(
        model_proto=model.SerializeToString()
    ).encode
    return encode


def _add_byte_level(writer: Any, source: Path, described: Any, vocab_size: int) -> None:
    rules = [step["pattern"]["Regex"] for step in _steps(described["pre_tokenizer"]) if step["type"] == "Split"]
    names = [name for name, rule in WORDS.items() if rules == [rule]]
    if not names or described["normalizer"]:
        raise HeadwaterError(f"{source}/tokenizer.json: llama.cpp has no name for how this tokenizer finds words")
    vocabulary = described["model"]["vocab"] | {token["content"]: token["id"] for token in described["added_tokens"]}
    _check(source / "tokenizer.json", len(vocabulary), vocab_size)
    control = {token["id"] for token in described["added_tokens"]}
    kinds = [gguf.TokenType.CONTROL if token in control else gguf.TokenType.NORMAL for token in range(vocab_size)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(names[0])
    writer.add_token_list(sorted(vocabulary, key=vocabulary.__getitem__))
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in described["model"]["merges"]])
    writer.add_add_space_prefix(False)


def _read_byte_level(value: Callable[[str], Any]) -> Callable[[str], list[int]]:
    vocabulary = {piece: token for token, piece in enumerate(value(gguf.Keys.Tokenizer.LIST))}
    merges = [(left, right) for left, right in map(str.split, value(gguf.Keys.Tokenizer.MERGES))]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    words = pre_tokenizers.Split(Regex(WORDS[value(gguf.Keys.Tokenizer.PRE)]), "isolated")
    spelled = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, spelled])
    return lambda text: tokenizer.encode(text).ids


def _steps(pre_tokenizer: Any) -> list[Any]:
    return pre_tokenizer["pretokenizers"] if pre_tokenizer["type"] == "Sequence" else [pre_tokenizer]


def _check(path: Path, pieces: int, vocab_size: int) -> None:
    if pieces != vocab_size:
        raise HeadwaterError(f"{path}: has {pieces} pieces, the model's vocabulary {vocab_size}")


def _stops(source: Path, eos: int) -> list[int]:
    """The id, besides the end of text, at which generation stops: the end of a turn. GGUF has room for one."""
    stops = GenerationConfig.from_pretrained(source, local_files_only=True).eos_token_id
    return [token_id for token_id in (stops if isinstance(stops, list) else [stops]) if token_id not in (None, eos)][:1]
