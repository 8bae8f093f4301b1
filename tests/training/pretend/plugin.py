"""Lets tests run on a pretended accelerator: ``pytest -p tests.training.pretend.plugin …``, see device.cpp.

Built when it is first imported, in half a minute, into the folder that TORCH_EXTENSIONS_DIR names.
"""

import contextlib
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch.utils import cpp_extension

from stages.training import speed

NAME = "pretend"


class Stream:
    """Nothing on this device waits."""

    def synchronize(self) -> None:
        """There is nothing to wait for."""

    def wait_stream(self, other: Any) -> None:
        """There is nothing to wait for."""


class Device(contextlib.nullcontext[None]):
    """The device that is used while inside; there is one."""


def _module() -> ModuleType:
    """What PyTorch, Accelerate and DCP ask a kind of device for by ``torch.<kind>``."""
    module, only = ModuleType(f"torch.{NAME}"), Stream()
    answers: dict[str, Any] = {
        "Stream": Stream,
        "current_device": lambda: 0,
        "current_stream": lambda *_: only,
        "device": Device,
        "device_count": lambda: 1,
        "get_amp_supported_dtype": lambda: [torch.bfloat16, torch.float16],
        "get_rng_state": lambda *_: torch.get_rng_state(),
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "_is_in_bad_fork": lambda: False,
        "manual_seed_all": lambda _: None,  # numbers are drawn by the CPU
        "set_device": lambda _: None,
        "set_rng_state": lambda *_: None,
        "stream": lambda _: contextlib.nullcontext(),
        "synchronize": lambda *_: None,
    }
    for name, answer in answers.items():
        setattr(module, name, answer)
    return module


_built = cpp_extension.load("pretended_device", [str(Path(__file__).with_name("device.cpp"))], extra_cflags=["-O0"])
torch.utils.rename_privateuse1_backend(NAME)
_built.begin()
torch._register_device_module(NAME, _module())
torch.utils.generate_methods_for_privateuse1_backend()
# Weights that move stay the same objects, as those that move to a GPU do.
torch.__future__.set_swap_module_params_on_conversion(True)
torch.accelerator.max_memory_allocated = lambda *_: 1
speed._SIZE_ACCELERATOR = 64
os.environ["ACCELERATE_TORCH_DEVICE"] = f"{NAME}:0"
