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
    config = model.config
    looked_up = {id(one.weight) for one in model.modules() if isinstance(one, nn.Embedding)}
    multiplied = [weights for weights in model.parameters() if id(weights) not in looked_up]
    if config.tie_word_embeddings and model.get_output_embeddings() is not None:
        multiplied.append(model.get_input_embeddings().weight)
    products = sum((6 if weights.requires_grad else 4) * weights.numel() for weights in multiplied)
    return int(products + 12 * config.num_hidden_layers * config.hidden_size * context)
