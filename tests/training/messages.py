"""Count the sums of gradients that a run of two processes sends: ``python -m tests.training.messages FOLDER``."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

import stages.pretrain  # noqa: F401 - before the forks
from tests.training import small_run

_FIGURES = 1000  # numbers at most that are summed of a step besides its gradients


class Sums(TorchDispatchMode):
    """Counts the sums of gradients: FSDP2's, of which each process keeps a part, and DDP's."""

    count = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        copied = "allreduce" in str(operation) and sum(one.numel() for one in args[0]) > _FIGURES
        self.count += copied or "reduce_scatter" in str(operation)
        return operation(*args, **(kwargs or {}))


def main(folder: Path) -> None:
    """Train what :func:`small_run.prepare` made, and write down how often gradients were summed."""
    attempt = small_run.attempt

    def counted(project: Path, name: str) -> None:
        with Sums() as sums:
            attempt(project, name)
        if os.environ["RANK"] == "0":
            (project / "messages.json").write_text(json.dumps(sums.count))

    vars(small_run)["attempt"] = counted  # what the forks call
    assert not any(os.waitpid(child, 0)[1] for child in small_run.fork(folder, 2, "run"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
