"""Compare the evaluations of two models: better, worse, or not told apart.

``python -m stages.scoring.compare OLD NEW`` compares the tuned models of two builds by their folders of results;
``python -m stages.scoring.compare data/evaluate`` compares the tuned model of one build with the pretrained one.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from stages.core.errors import HeadwaterError
from stages.scoring.comparison import Difference, differences


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for every figure; exit code 1 if there is nothing to compare."""
    options = _parser().parse_args(arguments)
    new = options.new or options.old
    before = options.model if options.new else "pretrained"
    try:
        found = differences(_files(options.old, before), _files(new, options.model))
    except HeadwaterError as error:
        print(f"error: compare: {error}", file=sys.stderr)
        return 1
    print(f"{options.old} {before} → {new} {options.model}, 95 % intervals of the difference")
    print("\n".join(_table(found)))
    return 0


def _parser() -> argparse.ArgumentParser:
    described = (__doc__ or "").replace("``", "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m stages.scoring.compare",
        description=described[0],
        epilog=described[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", type=Path, metavar="OLD", help="folder of results, such as data/evaluate")
    parser.add_argument("new", type=Path, nargs="?", metavar="NEW", help="folder of results of another build")
    parser.add_argument("--model", default="tuned", help="which model of the builds: tuned or pretrained (%(default)s)")
    return parser


def _files(results: Path, model: str) -> tuple[Path, Path]:
    files = results / f"{model}.parquet", results / f"{model}_questions.parquet"
    for path in files:
        if not path.is_file():
            raise HeadwaterError(f"{path}: no such file; run `dvc repro evaluate`")
    return files


def _table(found: Sequence[Difference]) -> list[str]:
    rows = [("task", "metric", "questions", "before", "after", "difference", "verdict")]
    for one in found:
        interval = "" if one.low is None or one.high is None else f" [{one.low:+.4f}, {one.high:+.4f}]"
        figures = (f"{one.before:.4f}", f"{one.after:.4f}", f"{one.after - one.before:+.4f}{interval}")
        rows.append((one.task, one.metric, f"{one.questions:,}", *figures, one.verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


if __name__ == "__main__":
    sys.exit(main())
