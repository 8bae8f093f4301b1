"""Weights that a run keeps beside those it trains: an average over steps, or the best that were measured."""

from typing import Any

import torch

from stages.training.settings import Training


class Kept:
    """A second set of weights, which the run ends in; none where the parameters ask for none.

    Args:
        module: What is trained; sharded weights stay sharded.
        training: Which weights are kept.
        steps: Length of the run.
    """

    def __init__(self, module: Any, training: Training, steps: int) -> None:
        self.averaging, self.steps = training.averaging, steps
        self.best = training.held_out.patience > 0
        wanted = self.best or training.averaging.method != "none"
        trained = {name: weights for name, weights in module.named_parameters() if weights.requires_grad}
        self._trained = trained if wanted else {}
        self.weights: dict[str, torch.Tensor] = {name: p.detach().clone() for name, p in self._trained.items()}
        """By name; part of the run's checkpoints."""

    @torch.no_grad()
    def after(self, step: int, improved: bool) -> None:
        """Take in the weights after ``step`` steps; ``improved``: their held-out loss is the lowest so far."""
        weight = self._weight(step, improved) if self.weights else 0.0
        if weight:
            for name, kept in self.weights.items():
                kept.lerp_(self._trained[name], weight)  # at 1 that is a copy, to the last bit

    def _weight(self, step: int, improved: bool) -> float:
        """What the weights of a step count in the average."""
        if self.best:
            return float(improved)
        if self.averaging.method == "ema":
            # Slower as the run gets on, so that its first weights are soon forgotten (TensorFlow,
            # tf.train.ExponentialMovingAverage, num_updates).
            return 1 - min(self.averaging.decay, (1 + step) / (10 + step))
        points, off = divmod(self.steps - step, self.averaging.every)
        if off or points >= self.averaging.points:
            return 0.0
        reached = min(self.averaging.points, 1 + (self.steps - 1) // self.averaging.every)
        return 1 / (reached - points)

    @torch.no_grad()
    def restore(self) -> None:
        """Put the kept weights in the place of the trained ones, at the end of the run."""
        for name, kept in self.weights.items():
            self._trained[name].copy_(kept)
