"""llama.cpp itself, through llama-cpp-python, which the extra llamacpp installs: what GGUF files are made for."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import torch

from stages.core.errors import HeadwaterError
from stages.core.runtime import profile
from stages.release.parity import Loaded


def check() -> None:
    """Raises:
    HeadwaterError: it is not installed.
    """
    if importlib.util.find_spec("llama_cpp") is None:
        raise HeadwaterError("llama.cpp is not installed: pip install '.[llamacpp]', or set export.gguf.client")


def load(path: Path) -> Loaded:
    """A GGUF file as llama.cpp runs it on the processor, with its cache in float32."""
    from llama_cpp import GGML_TYPE_F32, Llama

    model = Llama(
        str(path),
        n_ctx=0,  # as long as the model's
        n_gpu_layers=0,
        n_threads=profile().threads,
        n_threads_batch=profile().threads,
        logits_all=True,
        type_k=GGML_TYPE_F32,
        type_v=GGML_TYPE_F32,
        verbose=False,
    )

    def encode(texts: Sequence[str]) -> list[list[int]]:
        return [model.tokenize(text.encode(), add_bos=False, special=False) for text in texts]

    def logits(sequence: Sequence[int]) -> torch.Tensor:
        model.reset()
        model.eval(list(sequence))
        return torch.tensor(model.scores[: len(sequence)])

    def greedy(prompts: Sequence[Sequence[int]], length: int) -> list[list[int]]:
        return [_continue(prompt, length) for prompt in prompts]

    def _continue(prompt: Sequence[int], length: int) -> list[int]:
        model.reset()
        model.eval(list(prompt))
        found = [int(model.scores[model.n_tokens - 1].argmax())]
        while len(found) < length:
            model.eval(found[-1:])
            found.append(int(model.scores[model.n_tokens - 1].argmax()))
        return found

    return Loaded(encode, logits, greedy)
