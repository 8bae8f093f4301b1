"""Look inside a model at one sentence: what it expects next, where each head attends, and what its layers hold.

``python -m stages.release.inspect --model data/export "The server reads the page."`` writes one page that opens
offline, runs no script and asks for nothing.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from markupsafe import Markup
from peft import PeftModel
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging

from stages.core import adapted
from stages.core.errors import HeadwaterError
from stages.release import charts, page

_TEMPLATE = "templates/inspect.html"
_TOKENS = 64  # of a sentence: beyond it the squares of a map are too small to be told apart
_LIKELIEST = 5
# Of the norm behind the last layer, in the architectures that the project trains.
_FINAL_NORM = ("norm", "ln_f", "final_layer_norm")


@dataclass(frozen=True)
class Step:
    """One token of the sentence and what was expected where it stands."""

    token: str
    bits: float | None
    """Surprise: -log2 of its probability; None for the first, before which there is nothing."""
    place: int | None
    """Among all tokens by probability, from 1."""
    expected: list[tuple[str, float]]
    """The likeliest tokens and their probabilities."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page; exit code 1 if the model or the sentence cannot be read."""
    options = _parser().parse_args(arguments)
    try:
        rendered = describe(options.model, options.sentence)
    except HeadwaterError as error:
        print(f"error: inspect: {error}", file=sys.stderr)
        return 1
    options.page.parent.mkdir(parents=True, exist_ok=True)
    options.page.write_text(rendered, "utf-8")
    print(options.page)
    return 0


def _parser() -> argparse.ArgumentParser:
    described = (__doc__ or "").partition("\n\n")[0]
    parser = argparse.ArgumentParser(prog="python -m stages.release.inspect", description=described)
    parser.add_argument("sentence", help=f"text, of which the first {_TOKENS} tokens are looked at")
    parser.add_argument("--model", type=Path, required=True, metavar="PATH", help="folder of a model that writes")
    parser.add_argument(
        "--page", type=Path, default=Path("data/inspect.html"), metavar="PATH", help="what is written (%(default)s)"
    )
    return parser


def describe(folder: Path, sentence: str) -> str:
    """The page about a model and a sentence.

    Raises:
        HeadwaterError: the folder holds no model that writes, or the sentence is empty.
    """
    model, tokenizer = _load(folder)
    ids = tokenizer(sentence, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    if not ids:
        raise HeadwaterError("the sentence has no token")
    before = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    kept = [*before, *ids][: min(_TOKENS, model.config.max_position_embeddings)]
    with torch.inference_mode():
        seen = model(torch.tensor([kept]), output_attentions=True, output_hidden_states=True)
        # Virtual tokens of a prefix or a prompt come before, and are not drawn.
        place, logits = slice(-len(kept), None), seen.logits[0, -len(kept) :]
        # transformers puts the last one through the norm
        between = [hidden[:, place] for hidden in seen.hidden_states[:-1]]
        layers = [*(_read_out(model, hidden[0]) for hidden in between), logits]
    tokens = [_spelled(tokenizer, token) for token in kept]
    return page.styled(
        _TEMPLATE,
        {
            "model": folder.as_posix(),
            "sentence": sentence,
            "left_out": len(before) + len(ids) - len(kept),
            "tokens": tokens,
            "steps": _steps(tokenizer, kept, tokens, logits),
            "attention": [
                _maps(number, layer[0, :, place, place], tokens)
                for number, layer in enumerate(seen.attentions, start=1)
            ],
            "lens": [_likeliest(tokenizer, logits) for logits in layers],
            "norms": charts.cells(
                "Length of the hidden state of each token, layer by layer, beside the longest of the layer",
                [(hidden[0].norm(dim=-1) / hidden[0].norm(dim=-1).max()).tolist() for hidden in between],
                [str(number) for number in range(len(between))],
            ),
        },
    )


def _load(folder: Path) -> tuple[Any, Any]:
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        # Only this way of computing attention gives its weights.
        model = adapted.load(folder, dtype=torch.float32, attn_implementation="eager")
        return model.eval(), PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise HeadwaterError(f"{folder}: no model that transformers can load: {str(error).splitlines()[0]}") from None


def _read_out(model: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Logits that the model would give if its layers ended here: the "logit lens" (nostalgebraist 2020).

    Args:
        hidden: (tokens, width), before the last norm.
    """
    whole = model.get_base_model() if isinstance(model, PeftModel) else model
    norm = next(getattr(whole.base_model, name) for name in _FINAL_NORM if hasattr(whole.base_model, name))
    logits: torch.Tensor = model.get_output_embeddings()(norm(hidden))
    return logits


def _steps(tokenizer: Any, ids: Sequence[int], tokens: Sequence[str], logits: torch.Tensor) -> list[Step]:
    """Every token with what was expected in its place, and last, without a token, what is expected next."""
    probabilities = logits.double().softmax(dim=-1)
    steps = [Step(tokens[0], None, None, [])]
    for at in range(len(ids)):
        likeliest = probabilities[at].topk(_LIKELIEST)
        expected = [
            (_spelled(tokenizer, token), share)
            for token, share in zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
        ]
        if at + 1 == len(ids):
            steps.append(Step("", None, None, expected))
            continue
        own = probabilities[at, ids[at + 1]]
        place = int((probabilities[at] > own).sum()) + 1
        steps.append(Step(tokens[at + 1], float(-own.log2()), place, expected))
    return steps


def _likeliest(tokenizer: Any, logits: torch.Tensor) -> list[tuple[str, float]]:
    """The likeliest next token at each place, and its probability."""
    shares, tokens = logits.double().softmax(dim=-1).max(dim=-1)
    return [(_spelled(tokenizer, token), share) for token, share in zip(tokens.tolist(), shares.tolist(), strict=True)]


def _maps(number: int, weights: torch.Tensor, tokens: Sequence[str]) -> list[tuple[str, Markup]]:
    """The attention of a layer, (heads, tokens, tokens), as maps: the mean of the heads, and each head."""
    mean = charts.cells(f"Layer {number}, mean of the heads", weights.mean(dim=0).tolist(), tokens)
    heads = [
        (f"head {head}", charts.cells(f"Layer {number}, head {head}", one.tolist(), ()))
        for head, one in enumerate(weights, start=1)
    ]
    return [("mean of the heads", mean), *heads]


def _spelled(tokenizer: Any, token: int) -> str:
    """A token as it reads in a text, with white space made visible; a part of a character as its name."""
    text: str = tokenizer.decode([token])
    if not text.strip() or "\ufffd" in text:
        text = tokenizer.convert_ids_to_tokens(token)
    return text.replace("\n", "⏎").replace(" ", "␣").replace("▁", "␣")


if __name__ == "__main__":
    sys.exit(main())
