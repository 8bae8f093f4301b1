"""What training a model costs in arithmetic."""

from typing import Any

from torch import nn


def flops_per_token(model: Any, context: int) -> int:
    """Floating-point operations that training spends on a token, forward and backward.

    6 for each weight that is multiplied and 12 · layers · width · context for attention (Chowdhery et al., PaLM,
    arXiv 2204.02311, appendix B); 4 for one that is frozen, as beside an adapter, which needs no gradient of its own
    but passes on those of what is below it. Embeddings are looked up, not multiplied, but for one that is the output
    layer too.
    """
    products = sum((6 if weights.requires_grad else 4) * weights.numel() for weights in _multiplied(model))
    return products + 3 * _attention(model, context)


def forward_flops_per_token(model: Any, context: int) -> int:
    """Those of a token in a model that is only asked, such as a teacher."""
    return sum(2 * weights.numel() for weights in _multiplied(model)) + _attention(model, context)


def _multiplied(model: Any) -> list[nn.Parameter]:
    looked_up = {id(one.weight) for one in model.modules() if isinstance(one, nn.Embedding)}
    multiplied = [weights for weights in model.parameters() if id(weights) not in looked_up]
    if model.config.tie_word_embeddings and model.get_output_embeddings() is not None:
        multiplied.append(model.get_input_embeddings().weight)
    return multiplied


def _attention(model: Any, context: int) -> int:
    """Of its two products, forward."""
    return int(4 * model.config.num_hidden_layers * model.config.hidden_size * context)
