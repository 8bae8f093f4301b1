"""How fast this machine multiplies matrices: what the speed of training is compared with on the screen."""

import functools
import time

import torch

_SIZE = 1024
_SECONDS = 0.15
_LEAST = 5  # products; the first, which may take longer than all the others, does not count


@functools.cache
def matmul_peak(device: torch.device, precision: str) -> float:
    """Floating-point operations per second of square matrix products, measured for a moment, once in a process.

    Shown beside the training speed as the share of it that the model reaches (MFU); never part of a result.

    Args:
        device: Where.
        precision: ``bf16`` or ``fp32``.
    """
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    left = torch.ones(_SIZE, _SIZE, dtype=kind, device=device)
    took: list[float] = []
    began = time.perf_counter()
    while len(took) <= _LEAST or time.perf_counter() - began < _SECONDS:
        start = time.perf_counter()
        (left @ left)[0, 0].item()
        took.append(time.perf_counter() - start)
    return 2 * _SIZE**3 / min(took[1:])
