"""How many processes train, on what, and how the model lies across them: Accelerate with FSDP2 or DDP."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Literal

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, FullyShardedDataParallelPlugin, PartialState
from accelerate.utils import DistributedType
from torch import nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.nn.parallel import DistributedDataParallel

from stages.core.errors import HeadwaterError
from stages.core.runtime import profile
from stages.training.learner import is_matrix
from stages.training.settings import Training


def start(training: Training, parallel: Literal["fsdp2", "ddp"]) -> Accelerator:
    """Join the other processes of this training, if any, and set how arithmetic is done.

    Precision is left to the loop, which casts by autocast, and to :func:`laid`.

    Args:
        training: Precision, and whether the run is to repeat itself.
        parallel: How the model lies across several processes.

    Raises:
        HeadwaterError: the precision is none of this machine's, or it has fewer GPUs than processes.
    """
    arithmetic(training)
    joined()
    if place()[1] == 1:
        return Accelerator(mixed_precision="no")
    return _sharded() if parallel == "fsdp2" else _copied()


def laid(accelerator: Accelerator, module: nn.Module, layers: nn.ModuleList, training: Training) -> Any:
    """``module`` as it lies across the processes of this training: cut up, copied, or whole where there is one.

    Cut up (FSDP2), each process's part of weights, summed gradients and the optimizer's state is float32. In precision
    bf16 the matrices of layers are gathered in bf16: half to send, and nothing of them is kept for the backward pass,
    while autocast's own copies of float32 would be. All other casts are autocast's, so a run differs from one of a
    single process in the order of sums only.

    Args:
        accelerator: From :func:`start`.
        module: What is trained.
        layers: Of the module; FSDP2 gathers and frees them one by one.
        training: Its precision.
    """
    if accelerator.distributed_type != DistributedType.FSDP:
        return accelerator.prepare(module)
    policy, beside = MixedPrecisionPolicy(), nn.ParameterList()
    if training.precision == "bf16":
        policy = MixedPrecisionPolicy(torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False)
        # Those of norms are used in float32, and a layer is gathered in one type: they go with the rest of the module,
        # embeddings and output layer, which is gathered once a pass.
        beside.extend(weights for layer in layers for weights in layer.parameters() if not is_matrix(weights))
    for layer in layers:
        fully_shard(layer, mp_policy=policy, ignored_params=set(beside))
    module.beside = beside
    fully_shard(module)
    del module.beside
    return module


def arithmetic(training: Training) -> None:
    """Set how this process does arithmetic: threads, precision, and whether it repeats itself.

    Raises:
        HeadwaterError: the precision is none of this machine's.
    """
    torch.set_num_threads(profile().threads)
    if training.precision == "tf32" and not torch.cuda.is_available():
        raise HeadwaterError("params.yaml: precision tf32 is one of NVIDIA's GPUs, and there is none here; take fp32")
    # cuBLAS repeats itself only with a workspace of fixed size (NVIDIA cuBLAS documentation, 2.1.4).
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(training.deterministic)
    # The deterministic mode also writes NaN into new memory before it is used, which costs a pass and serves debugging.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = training.precision == "tf32"
    torch.backends.cudnn.benchmark = False


def joined() -> PartialState:
    """The processes of this training, which this one joins when it is first asked.

    Raises:
        HeadwaterError: the machine has fewer GPUs than processes.
    """
    here, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if gpus and here >= gpus:
        raise HeadwaterError(
            f"more training processes on this machine than GPUs, of which it has {gpus}: start one for each, by "
            "`processes` of the execution profile or --nproc-per-node of torchrun"
        )
    # Accelerate does not hand on a limit that happens to be NCCL's default, and gloo's is half an hour.
    limit = timedelta(seconds=profile().lost_after)
    several = place()[1] > 1
    return PartialState(cpu=several and not torch.accelerator.is_available(), timeout=limit)


def moved(model: Any) -> Any:
    """``model`` where this process trains: on its accelerator, if it has one."""
    return model.to(joined().device)


def place() -> tuple[int, int]:
    """The number of this process and how many train together, as torchrun tells them, before they have met."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def _sharded() -> Accelerator:
    """FSDP2: each process keeps a part of the weights, their gradients and the optimizer's state."""
    # Every rank makes the same weights from the seed, so there is nothing to send.
    plugin = FullyShardedDataParallelPlugin(fsdp_version=2, cpu_ram_efficient_loading=False)
    accelerator = Accelerator(mixed_precision="no", fsdp_plugin=plugin, cpu=not torch.accelerator.is_available())
    if accelerator.distributed_type == DistributedType.MULTI_CPU:
        # Accelerate shards on accelerators only; its FSDP2 code runs on a CPU over gloo once the state says so: in both
        # places, as Accelerate itself does elsewhere. It copies the first from the second whenever it is asked.
        accelerator.state.distributed_type = DistributedType.FSDP
        accelerator.state.fsdp_plugin = plugin
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP
    return accelerator


def _copied() -> Accelerator:
    """DDP: each process keeps all of it."""
    # Told that weights may be unused, DDP does not change the order of gradients in its messages after the first step:
    # sums over more than two processes depend on it, and a run that continues would differ in its last bits. DDP says
    # once that it finds none unused.
    in_order = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(mixed_precision="no", kwargs_handlers=[in_order], cpu=not torch.accelerator.is_available())


def bare(prepared: Any) -> Any:
    """The module that was prepared, without what DDP puts around it; FSDP2 puts nothing around it."""
    return prepared.module if isinstance(prepared, DistributedDataParallel) else prepared


def is_sharded(module: Any) -> bool:
    """Whether each process keeps a part of the module only."""
    return isinstance(module, FSDPModule)


@contextmanager
def together() -> Iterator[None]:
    """While inside, a process of this training that is gone ends the others with one line.

    On NVIDIA's GPUs it is NCCL's watchdog that ends them, with lines of its own.

    Raises:
        HeadwaterError: another process ended, or did not answer for as long as the profile says.
    """
    try:
        yield
    except RuntimeError as error:
        said = str(error).splitlines()[0] if str(error) else ""
        if not isinstance(error, torch.distributed.DistError) and "/gloo/" not in said:
            raise
        reason = said.rpartition("] ")[2].rstrip(".")
        raise HeadwaterError(
            f"another process of this training ended or no longer answers ({reason}); see what it said, and run again "
            "to continue at the last checkpoint"
        ) from None


class Stop:
    """Whether this process was asked to stop; made by :func:`stoppable`."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, *_: object) -> None:
        """Handle the signal: remember it, and let the step end."""
        self.asked = True


@contextmanager
def stoppable() -> Iterator[Stop]:
    """While inside, SIGTERM (the notice that a machine is taken away) asks to stop instead of ending the process."""
    stop = Stop()
    before = signal.signal(signal.SIGTERM, stop.ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)
