"""A month of daily crawl by replay: what each further WARC file costs whoever keeps count of files, pages aside.

    python -m tests.benchmarks.daily_crawl [--files 10000] [--pages 30000] [--page-ms 6.2]

Takes in empty files as `refresh` does, and runs DVC over a stage that hands the folder on, with a tenth of the files
and with all; what one file more costs is the slope between. From that, and from what a page costs the document stages
(tests/benchmarks/data_path.py), it prints what the thirtieth day takes at 100, 10,000 and 1,000,000 files a day.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

from flows import refresh

_PIPELINE = """
stages:
  crawl:
    cmd: mkdir -p data && cp -rl incoming/crawl data/crawl
    deps: [incoming/crawl]
    outs: [data/crawl]
"""
_DAYS = 30


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--pages", type=int, default=30_000, help="of one WARC file (Common Crawl has about as many)")
    parser.add_argument("--page-ms", type=float, default=6.2, help="processor time of a page, extract to dedup")
    arguments = parser.parse_args()
    few, many = (_measured(files) for files in (arguments.files // 10, arguments.files))
    each = {name: (many[name] - few[name]) / (arguments.files * 0.9) for name in many}
    print(f"{'one file more':44} {'at 100 a day':>14} {'at 10,000':>14} {'at 1,000,000':>14}   on day {_DAYS}")
    document = arguments.pages * arguments.page_ms / 1e3
    rows = [("pages of the day, processor hours", document / 3600, 1), *_rows(each)]
    for name, cost, days in rows:
        figures = "".join(f"{cost * files * days:15,.2f}" for files in (100, 10_000, 1_000_000))
        print(f"{name:44}{figures}")


def _rows(each: dict[str, float]) -> list[tuple[str, float, int]]:
    return [
        ("take-in of the day, hours", each["take-in"] / 3600, 1),
        ("dvc repro after it, hours", each["repro"] / 3600, _DAYS),
        ("dvc status with nothing to do, hours", each["status"] / 3600, _DAYS),
        ("memory of dvc, GB", each["memory"] / 1e9, _DAYS),
        ("DVC's list of the folder, GB", each["list"] / 1e9, _DAYS),
    ]


def _measured(files: int) -> dict[str, float]:
    """Processor seconds, peak bytes of memory and bytes of a list, of a month of ``files`` in all."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        Path("dvc.yaml").write_text(_PIPELINE)
        for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
            subprocess.run(command, check=True)
        inbox = Path("inbox")
        for number in range(files):
            day = inbox / f"day{number * _DAYS // files:02}"
            day.mkdir(parents=True, exist_ok=True)
            (day / f"CC-MAIN-{number:09}.warc.gz").write_text(str(number))
        last = [path.rename(f"kept-{path.name}") for path in (inbox / f"day{_DAYS - 1:02}",)]
        refresh.take_in(inbox)
        _dvc("repro")
        for path in last:
            path.rename(inbox / path.name.removeprefix("kept-"))
        taken = _processor(lambda: refresh.take_in(inbox))
        repro = _dvc("repro")
        status = _dvc("status")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        listed = max(path.stat().st_size for path in Path(".dvc/cache").rglob("*.dir"))
    print(f"{files} files: take-in of a day {taken:.2f} s, repro {repro:.1f} s, status {status:.1f} s", flush=True)
    # A day's files are a thirtieth of them, but each is looked for among all that are there.
    return {"take-in": taken * _DAYS, "repro": repro, "status": status, "memory": peak, "list": listed}


def _dvc(command: str) -> float:
    return _processor(lambda: subprocess.run([sys.executable, "-m", "dvc", command, "-q"], check=True))


def _processor(work: Callable[[], object]) -> float:
    """Processor seconds of this process and its children."""
    before = os.times()
    work()
    after = os.times()
    return sum(after[:4]) - sum(before[:4])


if __name__ == "__main__":
    main()
