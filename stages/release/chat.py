"""Talk to an exported model in a terminal.

``python -m stages.release.chat --model data/export``; an empty line is passed over, Ctrl-D or Ctrl-C ends it.
"""

import argparse
import contextlib
import io
import readline  # noqa: F401 - gives input() line editing and history
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, TextStreamer
from transformers.utils import logging

from stages.core import adapted
from stages.core.errors import HeadwaterError
from stages.core.runtime import profile
from stages.core.untrusted import visible
from stages.release.conversation import Message, fitting


class Terminal(TextStreamer):
    """Writes generated text as it comes, with nothing in it that a terminal would obey."""

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Called with each finished piece of text."""
        print(visible(text), end="\n" if stream_end else "", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The conversation; exit code 0 however it is ended, 1 if it could not begin."""
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    try:
        model, tokenizer = _load(options.model)
        torch.manual_seed(options.seed)
        with contextlib.suppress(EOFError, KeyboardInterrupt):
            _talk(model, tokenizer, options)
        print()
    except HeadwaterError as error:
        print(f"error: chat: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stages.release.chat", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", type=Path, required=True, metavar="PATH", help="folder with the exported model")
    parser.add_argument("--system", default="", help="instruction that the conversation begins with")
    parser.add_argument(
        "--temperature", type=_number(float, 0, 100), default=0.7, help="0 takes the likeliest token (%(default)s)"
    )
    parser.add_argument(
        "--top-p",
        type=_number(float, 0, 1),
        default=0.95,
        help="share of the likeliest tokens drawn from (%(default)s)",
    )
    parser.add_argument(
        "--max-tokens", type=_number(int, 1, 1_000_000), default=256, help="of one answer (%(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="the same seed and words give the same answers (%(default)s)"
    )
    return parser


def _number(kind: type[float], low: float, high: float) -> Callable[[str], float]:
    """A type for argparse: a number from ``low`` to ``high``, which it says where it gets another."""

    def checked(text: str) -> float:
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be {low:g} to {high:g}, got {text}")
        return value

    checked.__name__ = kind.__name__  # what argparse calls it where the text is no number at all
    return checked


def _load(folder: Path) -> tuple[Any, Any]:
    if not ((folder / "config.json").is_file() or adapted.is_adapter(folder)):
        raise HeadwaterError(f"{folder}: no model here; `make demo` (or `dvc repro`) makes one")
    torch.set_num_threads(profile().threads)
    logging.disable_progress_bar()
    model = adapted.load(folder, dtype=torch.float32).to(adapted.device()).eval()
    return model, PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)


def _talk(model: Any, tokenizer: Any, options: argparse.Namespace) -> None:
    messages: list[Message] = [{"role": "system", "content": options.system}] if options.system else []
    context = model.config.max_position_embeddings
    while True:
        words = input("> " if sys.stdin.isatty() else "").strip()
        if not words:
            continue
        # A quarter of the context at least is left for the conversation, whatever length of answer is asked for.
        length = min(options.max_tokens, context * 3 // 4)
        try:
            messages, ids = fitting(tokenizer, [*messages, {"role": "user", "content": words}], context - length)
        except HeadwaterError as error:
            print(f"({error})")
            continue
        messages.append({"role": "assistant", "content": _answer(model, tokenizer, ids, length, options)})


def _answer(model: Any, tokenizer: Any, ids: list[int], length: int, options: argparse.Namespace) -> str:
    # Where top_k is not said, it is 50.
    sampling = {"do_sample": True, "temperature": options.temperature, "top_p": options.top_p, "top_k": 0}
    inputs = torch.tensor([ids], device=model.device)
    with torch.inference_mode():
        output = model.generate(
            inputs,
            attention_mask=torch.ones_like(inputs),
            max_new_tokens=length,
            streamer=Terminal(tokenizer, skip_prompt=True, skip_special_tokens=True),
            **(sampling if options.temperature > 0 else {"do_sample": False}),
        )
    text: str = tokenizer.decode(output[0, len(ids) :], skip_special_tokens=True)
    return text


if __name__ == "__main__":
    sys.exit(main())
