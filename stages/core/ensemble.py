"""Several models as one: the mean of their probabilities, or of the numbers that they give."""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput, SequenceClassifierOutput


class Ensemble(PreTrainedModel, GenerationMixin):
    """Models whose probabilities are averaged, token by token; scored and sampled like one.

    Args:
        members: Causal language models with the same vocabulary. The context is that of the shortest.
    """

    def __init__(self, members: Sequence[Any]) -> None:
        config = copy.deepcopy(members[0].config)
        config.max_position_embeddings = min(one.config.max_position_embeddings for one in members)
        config._attn_implementation = "eager"  # it has no attention; its members have their own way
        super().__init__(config)
        self.members = nn.ModuleList(members)
        self.generation_config = copy.deepcopy(members[0].generation_config)
        self.generation_config.use_cache = False  # each member would need its own

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        logits_to_keep: int = 0,
        **_: Any,
    ) -> CausalLMOutput:
        """Logarithms of the mean probabilities, (rows, sequence, vocabulary), as logits."""
        given = {"attention_mask": attention_mask, "position_ids": position_ids, "logits_to_keep": logits_to_keep}
        found = [one(input_ids=input_ids, use_cache=False, **given).logits.float() for one in self.members]
        chances = torch.stack([logits.log_softmax(-1) for logits in found])
        return CausalLMOutput(logits=chances.logsumexp(0) - math.log(len(found)))


class Heads(nn.Module):
    """Models with a head whose probabilities of classes are averaged, or whose numbers are.

    Args:
        members: Of the same kind of head, with the same classes.
    """

    def __init__(self, members: Sequence[Any]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.config = members[0].config

    @property
    def device(self) -> torch.device:
        """Where the members are."""
        return self.members[0].device

    def forward(self, input_ids: torch.Tensor) -> SequenceClassifierOutput:
        """Logarithms of the mean probabilities, (rows, …, classes), as logits; of numbers their mean, (rows, 1)."""
        said = torch.stack([one(input_ids=input_ids).logits.float() for one in self.members])
        if self.config.problem_type == "regression":
            return SequenceClassifierOutput(logits=said.mean(0))
        return SequenceClassifierOutput(logits=said.log_softmax(-1).logsumexp(0) - math.log(len(self.members)))
