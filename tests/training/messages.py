"""What a run of two processes sends of weights and gradients: ``python -m tests.training.messages FOLDER``."""

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

import stages.pretrain  # noqa: F401 - before the forks
from tests.training import small_run

_FIGURES = 1000  # numbers at most that are summed of a step besides its gradients


class Messages(TorchDispatchMode):
    """Counts sums of gradients, FSDP2's, of which each process keeps a part, and DDP's; and, by type, the numbers that
    FSDP2 sums and gathers."""

    def __init__(self) -> None:
        super().__init__()
        self.sums, self.summed, self.gathered = 0, Counter[str](), Counter[str]()

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        copied = "allreduce" in str(operation) and sum(one.numel() for one in args[0]) > _FIGURES
        cut = "reduce_scatter" in str(operation)
        self.sums += copied or cut
        if cut:
            self.summed[str(args[1].dtype)] += args[1].numel()
        elif "_allgather_base_" in str(operation):
            self.gathered[str(args[0].dtype)] += args[0].numel()
        return operation(*args, **(kwargs or {}))


def main(folder: Path) -> None:
    """Train what :func:`small_run.prepare` made, and write down what was sent."""
    attempt = small_run.attempt

    def counted(project: Path, name: str) -> None:
        with Messages() as sent:
            attempt(project, name)
        if os.environ["RANK"] == "0":
            found = {"sums": sent.sums, "summed": sent.summed, "gathered": sent.gathered}
            (project / "messages.json").write_text(json.dumps(found))

    vars(small_run)["attempt"] = counted  # what the forks call
    assert not any(os.waitpid(child, 0)[1] for child in small_run.fork(folder, 2, "run"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
