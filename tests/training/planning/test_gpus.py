"""The GPUs of infra/gpus.yaml."""

import pytest

from stages.core.errors import HeadwaterError
from stages.training.planning import gpus


def test_an_unknown_gpu_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(HeadwaterError, match=r"infra/gpus.yaml: no GPU 'h1000'; did you mean 'h100'\?"):
        gpus.gpu("h1000")


def test_every_price_and_figure_has_a_source() -> None:
    known = gpus.gpus()
    assert {"a100", "h100", "h200", "b200", "mi300x"} <= set(known)
    assert all(gpu.source for gpu in known.values())
    assert all(gpu.price.source for gpu in known.values() if gpu.price)
    assert gpus.gpu("H100").memory == 80 * 2**30
