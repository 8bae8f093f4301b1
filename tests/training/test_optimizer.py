"""Muon on matrices that processes share, cut up or whole: as on one process.

As a program under torchrun, ``python -m tests.training.test_optimizer``, it is one of the processes.
"""

import os
import subprocess
import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from stages.training.optimizer import Muon
from tests.conftest import ROOT

SHAPES = ((8, 12), (12, 8), (5, 8), (8, 12), (1, 6))
"""Not as many as the processes divide, rows that they cannot share evenly, fewer rows than processes."""


def test_shared_among_processes_muon_updates_as_on_one() -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "--", "tests.training.test_optimizer"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("agree") == 2


def main() -> None:
    """Some steps on whole matrices and on sharded ones."""
    dist.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    generator = torch.Generator().manual_seed(0)

    def sharded(whole: torch.Tensor) -> torch.Tensor:
        return distribute_tensor(whole.clone(), mesh, [Shard(0)], src_data_rank=None)

    whole = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    parts = [nn.Parameter(sharded(parameter.detach())) for parameter in whole]
    copies = [nn.Parameter(parameter.detach().clone()) for parameter in whole]
    settings = {"lr": 0.1, "weight_decay": 0.1, "momentum": 0.9, "adjust_lr_fn": "match_rms_adamw"}
    optimizers = [torch.optim.Muon(whole, **settings), Muon(parts, **settings), Muon(copies, **settings)]
    for _ in range(3):
        for parameter, part, copy in zip(whole, parts, copies, strict=True):
            parameter.grad = torch.randn(parameter.shape, generator=generator)
            part.grad, copy.grad = sharded(parameter.grad), parameter.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for parameter, part, copy in zip(whole, parts, copies, strict=True):
        for shared in (part.full_tensor(), copy.detach()):
            torch.testing.assert_close(shared, parameter.detach(), rtol=1e-5, atol=1e-6)
    dist.destroy_process_group()
    print("agree\n", end="")


if __name__ == "__main__":
    main()
