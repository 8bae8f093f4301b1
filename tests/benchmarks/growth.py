"""What one WARC file more costs: the document stages over 50, then over 51, beside their share of the first time.

    python -m tests.benchmarks.growth [--files 50] [--pages 2000] [--rounds 3] [--set KEY=VALUE …]

Crawls as params.yaml says, deals the pages out to one file more than `--files`, and runs the stages from crawl to dedup
on one core: over all but one, then, `--rounds` times, again with nothing to do and over all. Prints the processor
seconds that the last took beyond the second (medians), in all and by stage, and the share that one file had of the
first; then the units that the first and the last built. Each process takes up to 0.2 s to get under way, which a file
of few pages feels. With `--set dedup.keep=longest` a document of the new file takes the place of a shorter duplicate in
an old one, and that shard is divided again.
"""

import argparse
import shutil
import statistics
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from stages.web.records import http, warc
from stages.web.sources import captures
from tests.benchmarks.data_path import LAST, MAX_BYTES, Project


def deal(paths: Sequence[Path], folder: Path, files: int) -> list[Path]:
    """The pages of some archives, in turn, as that many archives in ``folder``."""
    folder.mkdir(parents=True)
    dealt = [folder / f"{number:03}.warc.gz" for number in range(files)]
    targets = [path.open("wb") for path in dealt]
    pages = (
        record for path in paths for record in warc.read(path, MAX_BYTES, warc.Loss()) if record.kind == "response"
    )
    whole = (record for record in pages if not isinstance(http.page(record, MAX_BYTES), str))
    for number, record in enumerate(whole):
        head = "\r\n".join(["WARC/1.1", *(f"{name}: {value}" for name, value in record.headers.items())])
        targets[number % files].write(captures.member(head.encode() + b"\r\n\r\n" + record.body + b"\r\n\r\n"))
    for target in targets:
        target.close()
    return dealt


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=50)
    parser.add_argument("--pages", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="headwater-growth-"))
    source = Project(folder / "source", [*arguments.settings, f"crawl.max_pages={arguments.pages}"])
    source.run("crawl")
    *known, new = deal(sorted((source.folder / "data/crawl/warcs").iterdir()), folder / "dealt", arguments.files + 1)
    here = folder / "here"
    here.mkdir()
    for path in known:
        shutil.copy(path, here)
    project = Project(folder / "project", [*arguments.settings, "crawl.source=warc", f"crawl.warc.paths=[{here}]"])
    stages = project.between("crawl", LAST)
    first = {stage: project.run(stage, fresh=False).processor for stage in stages}
    units = [set((project.folder / "work").glob("*/*/commit.json"))]
    taken: dict[str, list[list[float]]] = {stage: [] for stage in stages}
    home, grown = project.folder, folder / "grown"
    for _ in range(arguments.rounds):
        nothing = {stage: project.run(stage, fresh=False).processor for stage in stages}
        shutil.rmtree(grown, ignore_errors=True)
        shutil.copytree(home, grown, symlinks=True)
        shutil.copy(new, here)
        project.folder = grown
        for stage in stages:
            taken[stage].append([nothing[stage], project.run(stage, fresh=False).processor])
        project.folder = home
        (here / new.name).unlink()
    units.append({home / path.relative_to(grown) for path in (grown / "work").glob("*/*/commit.json")})
    print(f"{'stage':<14}{'first':>9}{'nothing':>9}{'one more':>9}{'beyond':>9}{'share':>9}   seconds of processor")
    rows = [[first[stage], *map(statistics.median, zip(*taken[stage], strict=True))] for stage in stages]
    for name, row in zip([*stages, "all"], [*rows, [sum(column) for column in zip(*rows, strict=True)]], strict=True):
        beyond, share = row[2] - row[1], (row[0] - row[1]) / arguments.files
        print(f"{name:<14}{row[0]:9.2f}{row[1]:9.2f}{row[2]:9.2f}{beyond:9.2f}{share:9.2f}")
    before, after = (Counter(path.parts[-3] for path in built) for built in (units[0], units[1] - units[0]))
    print(
        "units built: " + ", ".join(f"{label} {count}, then {after[label]}" for label, count in sorted(before.items()))
    )


if __name__ == "__main__":
    main()
