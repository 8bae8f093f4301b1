"""What a training step takes of a GPU's memory, followed tensor by tensor without a GPU and without the memory.

The loop's own :class:`~stages.training.run.Run` takes a step, under a process group that only pretends and with tensors
that have no data, while torch's trackers (``torch.distributed._tools``) note what is alive after every operation. What
they cannot see is what lies under the tensors: the context of the device, buffers of the collectives and of the
libraries, and memory lost between blocks.

The tensors say that they lie on a CPU, because a torch without CUDA cannot pretend otherwise. Their types and lifetimes
are those of a GPU: autocast casts the same products, and attention of kind sdpa keeps its output and a number a row.
"""

import dataclasses
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.fsdp2_mem_tracker import FSDPMemTracker, _FSDPRefType
from torch.distributed._tools.mem_tracker import MemTracker, _MemRefType
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode

from stages.core.order import Integers
from stages.core.params import check
from stages.training import distributed, learner, loss
from stages.training import model as models
from stages.training.data import Rows, Split
from stages.training.flops import flops_per_token
from stages.training.planning.setup import PARTS, Memory, Setup, Size
from stages.training.run import Run
from stages.training.spikes import Guard

# What the trackers call the parts of a step's memory, and what they are called here.
_PARTS = {
    "Sharded Param": "parameters",
    "Parameter": "parameters",
    "Sharded Grad": "gradients",
    "Gradient": "gradients",
    "OptState": "optimizer",
    "Optstate": "optimizer",
    "Inputs": "averaged weights",
    "Other": "averaged weights",
    "Activation": "activations",
    "Unsharded Grad": "whole gradients",
    "Unsharded Param": "gathered layers",
    "All Gather": "gathered layers",
    "Reduce Scatter": "gathered layers",
    "Temp": "temporary",
    "Buffer": "temporary",
}


def size(setup: Setup) -> Size:
    """Count the model of ``setup``.

    Raises:
        HeadwaterError: the model cannot be made, such as with heads that do not divide its width.
    """
    with FakeTensorMode():
        model = _model(setup)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    matrices = sum(weights.numel() for weights in learner.layers(model).parameters() if learner.is_matrix(weights))
    return Size(parameters, matrices, flops_per_token(model, setup.context))


def follow(setup: Setup, *, like_gpu: bool = True) -> Memory:
    """The memory of a step of ``setup`` on the first rank; to be called once in a process, which is set up for it.

    Args:
        setup: What is trained.
        like_gpu: Whether the output layer is taken in pieces as large as on a GPU; otherwise as on a CPU.

    Raises:
        HeadwaterError: the model cannot be made, such as with heads that do not divide its width.
    """
    if like_gpu:
        loss._PRODUCT = loss._CHUNK = loss._PRODUCT_ACCELERATOR
    # Not "cpu:0", as Accelerate would call it: tensors without data take that for another device.
    os.environ.update(CUDA_VISIBLE_DEVICES="", ACCELERATE_TORCH_DEVICE="cpu", OMP_NUM_THREADS="1")
    if setup.ranks > 1:
        os.environ.update(WORLD_SIZE=str(setup.ranks), RANK="0", LOCAL_RANK="0", MASTER_ADDR="localhost")
        dist.init_process_group("fake", rank=0, world_size=setup.ranks, store=FakeStore())
    # Left out: compiling, which needs tensors with data, and tf32, which takes the memory of fp32 and is refused where
    # there is no GPU.
    precision = "fp32" if setup.training.precision == "tf32" else setup.training.precision
    training = dataclasses.replace(setup.training, compile=False, precision=precision)
    without_data = FakeTensorMode(allow_non_fake_inputs=True)
    with without_data:
        model = _model(setup)
    accelerator = distributed.start(training, "fsdp2")
    accelerator.device_placement = False  # the model is where it is to be, and cannot be moved
    run = Run(accelerator, model, Split(_Rows(setup), 0, seed=0, steps=1), training, steps=1, seed=0)
    with without_data, _Answers(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
        _first_step(run)
        return _followed(run, setup.ranks)


class _Rows:
    """As many rows as a step has, without padding."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def __len__(self) -> int:
        return self.setup.training.batch_sequences

    def rows(self, indices: Integers, _: Integers) -> Rows:
        tokens = np.zeros((len(indices), self.setup.context), dtype=np.int64)
        return Rows(tokens, tokens, tokens if self.setup.documents else None)

    def sources(self, indices: Integers) -> list[str]:
        return []


class _Answers(TorchDispatchMode):
    """Answers what a step asks of its values, which are not there: every number is 1, and every condition holds."""

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if operation is torch.ops.aten._local_scalar_dense.default:
            return True if args[0].dtype == torch.bool else 1.0 if args[0].is_floating_point() else 1
        return operation(*args, **kwargs or {})


def _model(setup: Setup) -> Any:
    architecture = check(models.Architecture, setup.model, "params.yaml: pretrain.model")
    return models.build(architecture, vocab_size=setup.vocab_size, context=setup.context, seed=0)


def _first_step(run: Run) -> None:
    """Make the optimizers' state, as every step but the first finds it.

    It also shows DTensor every operation that it will be asked for: what it tries out to learn their shapes, on tensors
    of the whole model's, the trackers would count.
    """
    for parameter in run.parameters:
        parameter.grad = torch.zeros_like(parameter)
    run.accelerator.clip_grad_norm_(run.parameters, run.training.clip)
    for one in run.optimizers:
        one.step()
        one.zero_grad()


def _followed(run: Run, ranks: int) -> Memory:
    averaged = tuple(run.kept.weights.values())
    if ranks > 1:
        tracker: Any = _ShardedPeak(run.learner)
        tracker.track_inputs(averaged)
    else:
        tracker = _Peak()
        tracker.track_external(run.learner, *averaged)
    with _pass_by_pass(run, tracker), tracker:
        for one in run.optimizers:
            tracker.track_states(one)
        run.step(0, Guard(run.training.spikes, [], []), distributed.Stop())
        run.kept.after(1, improved=True)
    (snapshot,) = (found for device, found in tracker.get_tracker_snapshot("peak").items() if device.type == "cpu")
    parts = dict.fromkeys(PARTS, 0)
    for kind, amount in snapshot.items():
        if kind != "Total":
            parts[_PARTS[kind.value]] += amount
    states = [value for one in run.optimizers for state in one.state.values() for value in state.values()]
    parameters = sum(map(_bytes, run.parameters))
    return Memory(snapshot["Total"], parts, parameters, parameters, sum(map(_bytes, states)))


@contextmanager
def _pass_by_pass(run: Run, tracker: Any) -> Iterator[None]:
    """Let the tracker forget the modules it has seen before each forward pass: it expects one, a step has several."""

    def forget(module: Any, _: Any) -> None:
        if module is run.learner:
            tracker.reset_mod_stats()

    hook = register_module_forward_pre_hook(forget)
    try:
        yield
    finally:
        hook.remove()


def _bytes(tensor: Any) -> int:
    """Of this rank's part."""
    if not isinstance(tensor, torch.Tensor):
        return 0
    local: Any = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return int(local.numel() * local.element_size())


class _StepPeak:
    """A tracker that keeps the peak of the whole step and not that of every module: twice as fast."""

    def _update_peak_stats(self: Any, _: Any) -> None:
        for device, now in self._curr_mem_snap.items():
            if now["Total"] > self._peak_mem.get(device, 0):
                self._peak_mem[device] = now["Total"]
                self._peak_mem_snap[device] = dict(now)

    def get_tracker_snapshot(self: Any, type: str = "current") -> dict[torch.device, dict[Any, int]]:
        """See ``MemTracker``; of flat dictionaries a flat copy is enough."""
        snapshot = self._peak_mem_snap if type == "peak" else self._curr_mem_snap
        return {device: dict(parts) for device, parts in snapshot.items()}

    def track_states(self: Any, one: torch.optim.Optimizer) -> None:
        """Count the state of an optimizer."""
        self._track_optimizer_states(self.STATE, one)


class _Peak(_StepPeak, MemTracker):
    STATE = _MemRefType.OPT


class _ShardedPeak(_StepPeak, FSDPMemTracker):
    STATE = _FSDPRefType.OPT

    def _fsdp_param_group_post_backward(self, fsdp_mod: Any, orig_fsdp_param_group_post_backward: Any) -> Any:
        """See ``FSDPMemTracker``, which does not know of gradients that wait in another type than they were made in."""

        def known(*args: Any, **kwargs: Any) -> None:
            orig_fsdp_param_group_post_backward(*args, **kwargs)
            for parameter in fsdp_mod._get_fsdp_state()._fsdp_param_group.fsdp_params:
                waiting = parameter.unsharded_accumulated_grad
                if waiting is not None:
                    self._update_and_maybe_create_winfos(waiting, _FSDPRefType.UNSHARDED_GRAD, update_existing=True)

        return super()._fsdp_param_group_post_backward(fsdp_mod, known)
