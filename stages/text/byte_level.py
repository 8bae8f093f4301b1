"""Learning byte-level BPE (Radford et al., GPT-2, section 2.2), with this project's layout of ids."""

import json
from collections.abc import Iterable

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Fast

from stages.core.errors import HeadwaterError
from stages.text.tokenizers import BEGIN, CONTROL, FIRST_LEARNED

# Where no piece crosses: GPT-4's rule with digits one by one, as Qwen has it. One of those that llama.cpp, tiktoken and
# gigatoken know; digits apart are what the sentencepiece kind does too.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def learn(texts: Iterable[str], vocab_size: int, max_piece_length: int) -> Fast:
    """A fast tokenizer of exactly ``vocab_size`` tokens: control tokens, the 256 bytes in order, learned pieces.

    Args:
        texts: Whole documents.
        max_piece_length: Bytes of the longest piece.

    Raises:
        HeadwaterError: the text supports only a smaller vocabulary, or the size leaves no room for a piece.
    """
    if vocab_size < FIRST_LEARNED:
        raise HeadwaterError(
            f"params.yaml: tokenizer.vocab_size {vocab_size} is too small: control tokens and bytes alone are "
            f"{FIRST_LEARNED}"
        )
    learning = _bare(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(CONTROL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=max_piece_length,
        show_progress=False,
    )
    learning.train_from_iterator(texts, trainer)
    merges = [(left, right) for left, right in json.loads(learning.to_str())["model"]["merges"]]
    # Two merges can make the same piece. None makes a control token: SPLIT parts a letter from what follows it.
    pieces = list(dict.fromkeys([*CONTROL, *alphabet(), *(left + right for left, right in merges)]))
    if len(pieces) < vocab_size:
        raise HeadwaterError(
            f"params.yaml: tokenizer.vocab_size {vocab_size} is more than the text supports: the largest possible is "
            f"{len(pieces)}; lower it or bring more text"
        )
    fast = _bare(models.BPE({piece: token for token, piece in enumerate(pieces)}, merges))
    fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in CONTROL])
    begin = CONTROL[BEGIN]
    fast.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A", pair=f"{begin} $A {begin} $B", special_tokens=[(begin, BEGIN)]
    )
    return fast


def alphabet() -> list[str]:
    """GPT-2's character for each byte, 0–255: printable ones stand for themselves, the others follow from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def _bare(model: models.BPE) -> Fast:
    fast = Fast(model)
    fast.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return fast
