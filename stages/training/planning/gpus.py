"""GPUs that a plan can be made for, from infra/gpus.yaml."""

from pathlib import Path

from pydantic import PositiveFloat

from stages.core.errors import HeadwaterError
from stages.core.params import check, nearest, params, read

FILE = Path("infra/gpus.yaml")

GIB = 2**30


@params
class Price:
    """What an hour of one GPU costs."""

    usd: PositiveFloat
    source: str


@params
class Gpu:
    """One GPU, as its maker describes it."""

    memory_gib: PositiveFloat
    bf16_tflops: PositiveFloat
    """Dense matrix products."""
    memory_gb_s: PositiveFloat
    link: str
    link_gb_s: PositiveFloat
    """To the other GPUs of its machine, both directions together."""
    source: str
    price: Price | None = None

    @property
    def memory(self) -> int:
        """Bytes."""
        return int(self.memory_gib * GIB)

    @property
    def peak(self) -> float:
        """Floating-point operations a second."""
        return self.bf16_tflops * 1e12


def gpus(file: Path = FILE) -> dict[str, Gpu]:
    """All of them, by the names used on the command line, in the order of the file."""
    return {str(name): check(Gpu, values, f"{file}: {name}") for name, values in read(file).items()}


def gpu(name: str, file: Path = FILE) -> Gpu:
    """One of them.

    Raises:
        HeadwaterError: there is none of that name.
    """
    known = gpus(file)
    if name.lower() not in known:
        raise HeadwaterError(f"{file}: no GPU {name!r}{nearest(name.lower(), known)}")
    return known[name.lower()]
