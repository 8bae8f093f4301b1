"""How fast this machine multiplies matrices: what the speed of training is compared with on the screen."""

import functools
import time

import torch

_SIZE = 1024
_SIZE_ACCELERATOR = 8192  # an accelerator takes longer to be told of a small product than to make it
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
    size = _SIZE if device.type == "cpu" else _SIZE_ACCELERATOR
    # A GPU multiplies equal numbers faster than others (He 2024, thonking.ai/p/strangely-matrix-multiplications).
    left = torch.rand(size, size, dtype=kind, device=device, generator=torch.Generator(device).manual_seed(0))
    took: list[float] = []
    began = time.perf_counter()
    while len(took) <= _LEAST or time.perf_counter() - began < _SECONDS:
        start = time.perf_counter()
        (left @ left)[0, 0].item()
        took.append(time.perf_counter() - start)
    return 2 * size**3 / min(took[1:])
