"""A plan as text."""

from collections.abc import Sequence
from dataclasses import dataclass

from stages.core.runtime import profile
from stages.training.planning.budget import CHINCHILLA, Bill, Pace
from stages.training.planning.fitting import Fit, remedies
from stages.training.planning.gpus import GIB, Gpu
from stages.training.planning.setup import PARTS, Setup, Size

_DAY = 86400


@dataclass(frozen=True)
class Assumptions:
    """What a plan takes for granted, each from the command line."""

    mfu: float
    usable: float
    """Share of a GPU's memory that tensors may take."""
    disk: float
    """Bytes a second that a checkpoint is written with."""
    price: float | None
    """Dollars for an hour of a GPU."""
    source: str
    """Of the price."""


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        cells = [first.ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def gib(size: float) -> str:
    """Bytes as GiB, or as MiB where that would be little."""
    return f"{size / GIB:,.2f} GiB" if size >= GIB or not size else f"{size * 1024 / GIB:,.1f} MiB"


def scaled(number: float) -> str:
    """A number as people write large ones."""
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:,.2f}{name}"
    return f"{number:,.0f}"


def duration(seconds: float) -> str:
    """Seconds in a unit that suits them."""
    for unit, name in ((_DAY, "days"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= unit:
            return f"{seconds / unit:,.1f} {name}"
    return f"{seconds * 1000:,.1f} ms"


def model(setup: Setup, size: Size, steps: int) -> str:
    """Size and arithmetic."""
    shape, batch = setup.model, setup.training.batch_sequences
    rows = [
        ("parameters", f"{size.parameters:,}"),
        ("shape", f"{shape['layers']} layers of {shape['hidden']}, {shape['heads']} heads, {setup.vocab_size:,} ids"),
        ("FLOPs per token", f"{size.flops_per_token:,}"),
        ("a step", f"{batch:,} rows of {setup.context:,} tokens, {scaled(batch * setup.context)} tokens"),
        ("steps", f"{steps:,}"),
    ]
    return _facts("Model", rows)


def memory(found: list[Fit], gpu: Gpu, name: str, known: dict[str, Gpu], setup: Setup, usable: float, each: int) -> str:
    """What a rank holds, with activations kept and computed again, and what would make it fit where it does not."""
    at_rest = found[0].memory
    states = [("parameters", at_rest.parameters), ("gradients", at_rest.gradients), ("optimizer", at_rest.optimizer)]
    rows = [["share of a rank", ""], *[[f"  {part}", gib(size)] for part, size in states]]
    text = "Memory of a rank\n" + table(rows) + "\n\n"
    head = ["at its peak in a step", "activations kept", "computed again"]
    rows = [head, ["  largest micro-batch", *[str(fit.micro_batch) if fit.fits else "none" for fit in found]]]
    rows += [["  forward passes a step", *[str(fit.passes) for fit in found]]]
    for part in PARTS:
        if any(fit.memory.parts[part] for fit in found):
            rows.append([f"  {part}", *[gib(fit.memory.parts[part]) for fit in found]])
    rows.append(["  all", *[gib(fit.memory.peak) for fit in found]])
    rows.append(["  of", *[gib(fit.room) for fit in found]])
    text += (
        table(rows) + f"\n({usable:.0%} of the {gpu.memory_gib:g} GiB of {name}; the rest is left to what is no tensor)"
    )
    whole = at_rest.parameters * setup.ranks
    text += (
        f"\nEach process makes the whole model in main memory before it takes its share: {gib(whole)}, and "
        f"{gib(min(each, setup.ranks) * whole)} of a machine."
    )
    for fit in found:
        if not fit.fits:
            how = "computed again" if fit.checkpointing else "kept"
            ways = remedies(fit, setup, known, usable, each)
            if not fit.checkpointing and found[1].fits:
                ways = ["pretrain.training.activation_checkpointing: true", *ways]
            text += (
                f"\n\nWith activations {how}, a row does not fit: {gib(fit.short)} too much. What would make it fit:"
            )
            text += "".join(f"\n  - {way}" for way in ways)
    return text


def speed(pace: Pace, gpu: Gpu, name: str, count: int, step: float, assumed: Assumptions, chosen: Fit) -> str:
    """Tokens a day, and what could keep them from being reached; ``step`` is in seconds."""
    how = ", of which a quarter is spent on computing activations again" if chosen.checkpointing else ""
    rows = [
        ("tokens a second", f"{pace.tokens_per_second:,.0f}"),
        ("tokens a day", scaled(pace.tokens_per_day)),
        ("a step", duration(step)),
    ]
    if count > 1:
        rows.append(("weights and gradients sent", f"at least {duration(pace.exchange)} of it, over {gpu.link}"))
    rows.append(("weights changed", f"at least {duration(pace.update)} of it"))
    text = _facts(f"Speed of {count} {name} at {assumed.mfu:.0%} of {gpu.bf16_tflops:g} TFLOP/s{how}", rows)
    if pace.exchange > step:
        text += "\nSending takes longer than the arithmetic: this speed cannot be reached with these micro-batches."
    return text


def bills(found: list[tuple[str, Bill]], assumed: Assumptions) -> str:
    """Time and cost of some numbers of tokens."""
    rows = [["", "tokens", "FLOPs", "days", "GPU hours", "USD"]]
    for what, one in found:
        cost = "no price" if one.usd is None else f"{one.usd:,.0f}"
        rows.append([what, scaled(one.tokens), f"{one.flops:.2e}", f"{one.days:,.1f}", f"{one.gpu_hours:,.0f}", cost])
    text = f"Time and cost\n{table(rows)}\nChinchilla point: {CHINCHILLA} tokens a parameter."
    if assumed.price is None:
        return text + " The price of this GPU is not known: --price says it."
    return text + f" {assumed.price:.2f} USD for a GPU hour ({assumed.source})."


def checkpoint(size: Size, fit: Fit, ranks: int, assumed: Assumptions, step: float) -> str:
    """What is written, how long that takes, and what it keeps from training; ``step`` is in seconds."""
    parts, saving = fit.memory, profile().saving
    share = parts.parameters + parts.optimizer + parts.parts["averaged weights"]
    written, each = share * ranks / assumed.disk, f"{saving.every:,} steps"
    if saving.asynchronous:
        cost = f"while it is copied to main memory, {gib(share)} of a rank, and if {each} take less than writing"
    else:
        stalled = written / (written + saving.every * step)
        cost = f"{stalled:.1%} of its time with one every {each}; saving.asynchronous: {gib(share)} of a rank, copied"
    rows = [
        ("a checkpoint", f"{gib(share * ranks)}, written in {duration(written)} at {assumed.disk / 1e9:g} GB/s"),
        ("training waits", cost),
        ("the model alone", f"{gib(4 * size.parameters)} in float32"),
    ]
    return _facts("Disk", rows)


def _facts(title: str, rows: list[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join([title, *[f"  {name.ljust(width)}  {value}" for name, value in rows]])
