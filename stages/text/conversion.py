"""The form for ``transformers``: a sentencepiece model as a fast tokenizer, and the files beside one."""

import json
from pathlib import Path

from tokenizers import AddedToken, decoders, models, normalizers, processors
from tokenizers import Tokenizer as Fast

from stages.text.tokenizers import (
    BEGIN,
    CONTROL,
    END,
    FAST,
    FIRST_LEARNED,
    PAD,
    UNKNOWN,
    ByteLevel,
    SentencePiece,
    Tokenizer,
)

CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- for message in messages -%}
    {%- if message['role'] not in ['system', 'user', 'assistant'] -%}
        {{- raise_exception("unknown role '" ~ message['role'] ~ "': use system, user or assistant") -}}
    {%- endif -%}
    {{- '<|' ~ message['role'] ~ '|>' ~ message['content'] ~ '<|end|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|assistant|>' -}}
{%- endif -%}
"""


def convert(tokenizer: Tokenizer) -> Fast:
    """A fast tokenizer that gives the same ids; a byte-level tokenizer is one already.

    Sentencepiece joins, again and again, the leftmost neighbours that make the best piece; the fast tokenizer knows a
    list of merges, best first. So the pieces are taken, best first, with every way to split each into two pieces.
    """
    if isinstance(tokenizer, ByteLevel):
        return tokenizer.fast
    assert isinstance(tokenizer, SentencePiece)
    processor = tokenizer.processor
    vocabulary = {tokenizer.piece(token): token for token in range(tokenizer.vocab_size)}
    first = FIRST_LEARNED
    assert all(processor.is_byte(token) for token in range(len(CONTROL), first))
    learned = [tokenizer.piece(token) for token in range(first, tokenizer.vocab_size)]
    known = set(learned)
    merges = [
        (piece[:cut], piece[cut:])
        for piece in learned
        for cut in range(1, len(piece))
        if piece[:cut] in known and piece[cut:] in known
    ]
    fast = Fast(models.BPE(vocabulary, merges, unk_token=CONTROL[UNKNOWN], byte_fallback=True, fuse_unk=True))
    fast.normalizer = normalizers.Replace(" ", "▁")
    fast.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    fast.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in CONTROL])
    begin = CONTROL[BEGIN]
    fast.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A", pair=f"{begin} $A {begin} $B", special_tokens=[(begin, BEGIN)]
    )
    return fast


def save(fast: Fast, folder: Path) -> None:
    """Write what ``AutoTokenizer.from_pretrained`` needs: tokenizer, configuration and chat template."""
    fast.save(str(folder / FAST))
    configuration = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": CONTROL[UNKNOWN],
        "bos_token": CONTROL[BEGIN],
        "eos_token": CONTROL[END],
        "pad_token": CONTROL[PAD],
        "additional_special_tokens": list(CONTROL[PAD + 1 :]),
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(configuration, indent=1) + "\n", "utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, "utf-8")


def load(folder: Path) -> Fast:
    """The fast tokenizer of a folder."""
    return Fast.from_file(str(folder / FAST))
