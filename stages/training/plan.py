"""Plan a training run before anything is rented: memory, speed, cost, and how to start it.

``python -m stages.training.plan --recipe 7b --gpus 8 --gpu h100`` needs no GPU, no model and no data. With
``--compare`` it takes several GPUs and counts and gives a table; with ``--launch`` it prints how to start the run.
"""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

from stages.core import recipe
from stages.core.errors import HeadwaterError
from stages.core.params import FILE, read
from stages.core.progress import console
from stages.core.runtime import profile
from stages.training.planning import budget, fitting, gpus, launch, sheet
from stages.training.planning.fitting import Fit, Followers, Line
from stages.training.planning.setup import Setup, Size, setup

_LAUNCHES = ("torchrun", "accelerate", "sbatch")


def main() -> None:
    """Print the plan that the command line asks for."""
    try:
        arguments = _parser().parse_args()
        text = _planned(arguments)
    except HeadwaterError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    if arguments.launch:  # beside what is saved or run: it is done once, and by hand
        print(f"before the run: {' && '.join(_preparation(arguments.recipe))}", file=sys.stderr)
    print(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stages.training.plan", description=(__doc__ or "").split("\n\n")[0]
    )
    known = ", ".join(gpus.gpus())
    parser.add_argument("--recipe", help="name of a file in infra/recipes; without it params.yaml as it is")
    parser.add_argument("--gpu", nargs="+", required=True, metavar="NAME", help=known)
    count, each = _number("--gpus", int), _number("--gpus-per-node", int)
    parser.add_argument("--gpus", nargs="+", required=True, type=count, metavar="COUNT", help="over all machines")
    parser.add_argument("--gpus-per-node", type=each, default=8, metavar="COUNT", help="of one machine (8)")
    for flag, most, default, meaning in (
        ("--tokens", math.inf, None, "to train on, such as 300e9; without it what the recipe's steps take"),
        ("--mfu", 1, budget.MFU, f"share of the peak reached ({budget.MFU})"),
        ("--price", math.inf, None, "US dollars for an hour of a GPU, over that of infra/gpus.yaml"),
        ("--usable", 1, 0.9, "share of a GPU's memory for tensors (0.9)"),
        ("--disk", math.inf, 1.0, "GB/s that a checkpoint is written with (1)"),
    ):
        parser.add_argument(flag, type=_number(flag, float, most), default=default, metavar="NUMBER", help=meaning)
    parser.add_argument("--compare", action="store_true", help="a table over the GPUs and counts given")
    parser.add_argument("--launch", choices=_LAUNCHES, help="print how to start the run, ready to be saved or run")
    return parser


def _number(flag: str, kind: type, most: float = math.inf) -> Callable[[str], Any]:
    """What reads the value of a flag: a number above 0, of ``kind``, and at most ``most``."""

    def read(text: str) -> Any:
        try:
            number = kind(text)
        except ValueError:
            number = 0
        if not 0 < number <= most or math.isinf(number):
            wanted = "a whole number of 1 or more" if kind is int else "a number above 0"
            limit = f" and at most {most:g}" if math.isfinite(most) else ""
            raise HeadwaterError(f"{flag} must be {wanted}{limit}, got {text!r}")
        return number

    return read


def _planned(arguments: argparse.Namespace) -> str:
    values = recipe.values(arguments.recipe) if arguments.recipe else read(FILE)
    chosen = {name: gpus.gpu(name) for name in arguments.gpu}
    setups = {count: _divided(setup(values, ranks=count)) for count in arguments.gpus}
    for count in arguments.gpus:
        launch.machines(count, arguments.gpus_per_node)
    if not arguments.compare and len(chosen) * len(setups) > 1:
        raise HeadwaterError("several GPUs or counts: --compare makes a table of them, a plan is for one")
    tokens = int(arguments.tokens or _tokens(values))
    with (
        console.status(f"following steps of training for {', '.join(chosen)}, without data"),
        fitting.followers(values["pretrain"]["model"]["kind"]) as followers,
    ):
        size = followers.size(next(iter(setups.values())))
        if arguments.compare:
            return _compared(followers, chosen, setups, size, tokens, arguments)
        ((name, gpu),), ((count, run),) = chosen.items(), setups.items()
        if arguments.launch:
            return _launch(launch.machines(count, arguments.gpus_per_node), arguments)
        found = fitting.fits(followers, run, fitting.room(gpu, arguments.usable))
    return _plan(name, gpu, run, size, found, tokens, values["pretrain"]["steps"], arguments)


def _divided(run: Setup) -> Setup:
    batch = run.training.batch_sequences
    if batch % run.ranks:
        raise HeadwaterError(f"batch_sequences is {batch}, which {run.ranks} GPUs cannot share: change it or --gpus")
    return run


def _tokens(values: dict[str, Any]) -> int:
    pretrain = values["pretrain"]
    return int(pretrain["steps"] * pretrain["training"]["batch_sequences"] * values["pack"]["context"])


def _plan(
    name: str, gpu: gpus.Gpu, run: Setup, size: Size, found: list[Fit], tokens: int, steps: int, arguments: Any
) -> str:
    each = arguments.gpus_per_node
    parts = [
        sheet.model(run, size, steps),
        sheet.memory(found, gpu, name, gpus.gpus(), run, arguments.usable, each),
    ]
    chosen = next((fit for fit in found if fit.fits), None)
    if chosen is None:
        return "\n\n".join([*parts, "No plan: it does not fit."])
    assumed = _assumed(gpu, arguments)
    pace = _pace(gpu, run, size, chosen, arguments)
    step = run.training.batch_sequences * run.context / pace.tokens_per_second
    bills = [
        (what, _bill(count, pace, size, run.ranks, assumed.price))
        for what, count in (("this run", tokens), ("Chinchilla point", budget.CHINCHILLA * size.parameters))
    ]
    parts += [
        sheet.speed(pace, gpu, name, run.ranks, step, assumed, chosen),
        sheet.bills(bills, assumed),
        sheet.checkpoint(size, chosen, run.ranks, assumed, step),
        _start(chosen, launch.machines(run.ranks, each), arguments),
    ]
    return "\n\n".join(parts)


def _pace(gpu: gpus.Gpu, run: Setup, size: Size, fit: Fit, arguments: Any) -> budget.Pace:
    return budget.pace(
        gpu,
        count=run.ranks,
        mfu=arguments.mfu,
        parameters=size.parameters,
        matrices=size.matrices,
        precision=run.training.precision,
        flops_per_token=size.flops_per_token,
        passes=fit.passes,
        sums=fit.passes if profile().gradient_sync == "pass" else 1,
        recomputed=fit.checkpointing,
    )


def _bill(tokens: int, pace: budget.Pace, size: Size, count: int, price: float | None) -> budget.Bill:
    return budget.bill(tokens, pace=pace, flops_per_token=size.flops_per_token, count=count, price=price)


def _assumed(gpu: gpus.Gpu, arguments: Any) -> sheet.Assumptions:
    price, source = arguments.price, "--price"
    if price is None and gpu.price is not None:
        price, source = gpu.price.usd, gpu.price.source
    return sheet.Assumptions(arguments.mfu, arguments.usable, arguments.disk * 1e9, price, source)


def _start(chosen: Fit, place: launch.Machines, arguments: Any) -> str:
    found = {"micro_batch": chosen.micro_batch, "activation_checkpointing": str(chosen.checkpointing).lower()}
    settings = [f"pretrain.training.{name}={value}" for name, value in found.items()]
    before = "\n".join(_preparation(arguments.recipe, settings))
    return (
        f"Start\n{before}\n{launch.torchrun(place)}\ndvc repro\n"
        "(--launch accelerate and --launch sbatch print the run for Accelerate and Slurm)"
    )


def _preparation(recipe: str | None, settings: Sequence[str] = ()) -> list[str]:
    """The commands before a run: what starts it reads params.yaml and what was packed with it, and no recipe."""
    words = ["python -m stages.core.recipe", *([recipe] if recipe else []), *(["--set", *settings] if settings else [])]
    return [*([" ".join(words)] if recipe or settings else []), "dvc repro pack"]


def _launch(place: launch.Machines, arguments: Any) -> str:
    if arguments.launch == "torchrun":
        return launch.torchrun(place)
    if arguments.launch == "accelerate":
        return launch.accelerate(place).rstrip()
    return launch.sbatch(place, f"headwater-{arguments.recipe or 'pretrain'}").rstrip()


def _compared(
    followers: Followers,
    chosen: dict[str, gpus.Gpu],
    setups: dict[int, Setup],
    size: Size,
    tokens: int,
    arguments: Any,
) -> str:
    """A row for each GPU and count."""
    lines = {count: [Line(followers, run, way) for way in (False, True)] for count, run in setups.items()}
    rows = [["GPU", "count", "micro-batch", "activations", "memory", "tokens/day", "days", "USD"]]
    for name, gpu in chosen.items():
        room, assumed = fitting.room(gpu, arguments.usable), _assumed(gpu, arguments)
        for count, run in setups.items():
            tried = (fitting.fit(line, room) for line in lines[count])  # the second only where the first does not fit
            fit = next((one for one in tried if one.fits), None)
            if fit is None:
                short = sheet.gib(fitting.fit(lines[count][1], room).short)
                rows.append([name, str(count), "none", "", f"{short} short", "", "", ""])
                continue
            pace = _pace(gpu, run, size, fit, arguments)
            bill = _bill(tokens, pace, size, count, assumed.price)
            cost = "no price" if bill.usd is None else f"{bill.usd:,.0f}"
            how = "again" if fit.checkpointing else "kept"
            figures = [sheet.gib(fit.memory.peak), sheet.scaled(pace.tokens_per_day), f"{bill.days:,.1f}", cost]
            rows.append([name, str(count), str(fit.micro_batch), how, *figures])
    return (
        f"{sheet.table(rows)}\n{sheet.scaled(tokens)} tokens, {size.parameters:,} parameters, {arguments.mfu:.0%} of "
        f"the peak, {arguments.usable:.0%} of the memory"
    )


if __name__ == "__main__":
    main()
