"""The ranks of AdaLoRA, which a run takes from the layers where they matter least: a part of its state.

Zhang et al., arXiv 2303.10512: a singular value of a layer's update is dropped where it moves the loss least, by a
moving average of weight times gradient, and of how that varies. PEFT has the rule; here is what of it belongs into a
checkpoint, so that a run that is killed continues with the same ranks.
"""

from typing import Any

import torch

_VALUES, _FACTORS = ".lora_E.", (".lora_A.", ".lora_B.")
_TABLES = ("exp_avg_ipt", "exp_avg_unc")  # of PEFT's allocator


class Ranks:
    """What the steps of a run owe to AdaLoRA.

    Args:
        tuner: PEFT's, which has changed a model.
        config: Its settings, with the schedule.
    """

    def __init__(self, tuner: Any, config: Any) -> None:
        self.tuner, self.config = tuner, config
        adapted = {name: weights for name, weights in tuner.model.named_parameters() if ".lora_" in name}
        self._factors = [weights for name, weights in adapted.items() if any(one in name for one in _FACTORS)]
        self._averages = {
            table: {name: torch.zeros_like(weights) for name, weights in adapted.items()} for table in _TABLES
        }
        self._masks = {name: torch.ones_like(weights) for name, weights in adapted.items() if _VALUES in name}

    @property
    def state(self) -> dict[str, torch.Tensor]:
        """Tensors by name, for checkpoints, which fill them in place."""
        tables = {**self._averages, "mask": self._masks}
        return {f"{table}.{name}": value for table, values in tables.items() for name, value in values.items()}

    def move(self, device: torch.device) -> None:
        """Go where the weights went."""
        self._averages = {table: _moved(values, device) for table, values in self._averages.items()}
        self._masks = _moved(self._masks, device)

    def add_gradient(self) -> None:
        """Add the gradient of what keeps the factors of each layer's update orthogonal (equation 4)."""
        distances = []
        for weights in self._factors:
            product = weights @ weights.T if weights.shape[0] < weights.shape[1] else weights.T @ weights
            distances.append(torch.linalg.matrix_norm(product - torch.eye(len(product), device=product.device)))
        (self.config.orth_reg_weight * torch.stack(distances).mean()).backward()

    @torch.no_grad()
    def after(self, step: int) -> None:
        """Measure what the singular values matter, and drop some as the schedule says.

        Args:
            step: Steps done, 1 and up; their gradients are still there.
        """
        allocator = self.tuner.rankallocator
        for table, averages in self._averages.items():
            setattr(allocator, table, dict(averages))
        self.config.rank_pattern = {name: mask.flatten().bool().tolist() for name, mask in self._masks.items()}
        allocator.ipt = dict(self._averages[_TABLES[0]])  # of this step; it only has to be there
        self.tuner.update_and_allocate(step)
        for table, averages in self._averages.items():
            found = getattr(allocator, table)  # empty once nothing is dropped any more
            for name, average in averages.items():
                average.copy_(found.get(name, average))
        for name, mask in self._masks.items():
            mask.copy_(torch.tensor(self.config.rank_pattern[name]).view_as(mask))


def _moved(tensors: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    return {name: tensor.to(device) for name, tensor in tensors.items()}
