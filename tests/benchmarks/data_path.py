"""The document path beside datatrove's published FineWeb recipe: the same WARC files, one core each, in turn.

    python -m tests.benchmarks.data_path [--pages 2000] [--growth 1000 8000] [--set KEY=VALUE …] [--fasttext FILE]

Crawls as params.yaml says (`--set crawl.source=folder` and the like change it), runs the stages from extract to dedup
by their own commands on one core, then the recipe (`tests.benchmarks.fineweb_recipe`) on the same one, then the stages
on two cores, beside the most that the second core can give: two builds on a core each, which share nothing; then where
the time of each stage up to pack goes, sampled, with what the machine could do at most; last the stages over each size
of `--growth`. Prints pages a second, peak memory (proportional set size of all processes) and
what was kept. The recipe needs the extra `benchmarks`; `--no-recipe` leaves it out.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash
import yaml
from isal import isal_zlib
from resiliparse.parse.html import HTMLTree

from stages.core import documents
from stages.web.pages import charset
from stages.web.records import http, warc
from stages.web.sources import captures
from tests.benchmarks.demo import ROOT, Memory

LAST = "dedup"  # of the stages that stand beside the recipe
MAX_BYTES = 16 << 20


class Taken(NamedTuple):
    """What a run took."""

    seconds: float
    processor: float
    """Seconds of processor time: what a busy machine changes least."""
    memory: int
    """Peak, in bytes."""
    output: str


class Project:
    """A folder in which the project's commands run on their own data, with the code of this checkout."""

    def __init__(self, folder: Path, settings: Sequence[str]) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        for name in ("stages", "infra", "incoming", "tests", "requirements.lock", "dvc.yaml"):
            (folder / name).symlink_to(ROOT / name)
        values = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
        for setting in settings:
            key, _, value = setting.partition("=")
            *sections, last = key.split(".")
            target = values
            for section in sections:
                target = target[section]
            if last not in target:
                raise SystemExit(f"--set {key}: params.yaml has no such key")
            target[last] = yaml.safe_load(value)
        (folder / "params.yaml").write_text(yaml.safe_dump(values), "utf-8")
        stages = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]
        self.commands = {name: shlex.split(stage["cmd"])[3:] for name, stage in stages.items()}

    def run(self, *stages: str, cores: int = 1, first: int = 0, module: str = "", fresh: bool = True) -> Taken:
        """Run stages in order on that many cores from ``first`` on, in an empty work area or in what is there."""
        profile = self.folder / "profile.yaml"
        if fresh:
            shutil.rmtree(self.folder / "work", ignore_errors=True)
        profile.write_text(f"{{engine: local, workers: {cores}, work: {self.folder / 'work'}}}\n", "utf-8")
        parts = []
        for stage in stages:
            command = ["-m", module, stage] if module else ["-m", f"stages.{stage}"]
            parts.append(shlex.join([sys.executable, *command, *self.commands[stage]]))
        environment = {"HEADWATER_PROFILE": str(profile), "PYTHONPATH": str(ROOT)}
        return measured(["bash", "-ec", "\n".join(parts)], self.folder, cores, environment, first)

    def between(self, first: str, last: str) -> list[str]:
        """Names of the stages from one to another, in their order."""
        names = list(self.commands)
        return names[names.index(first) : names.index(last) + 1]

    def metrics(self, stage: str) -> dict[str, Any]:
        """What a stage counted."""
        found: dict[str, Any] = json.loads((self.folder / "metrics" / f"{stage}.json").read_text("utf-8"))
        return found


def measured(command: Sequence[str], folder: Path, cores: int, environment: dict[str, str], first: int = 0) -> Taken:
    """Run a command on that many cores of this machine, from ``first`` on."""
    chosen = sorted(os.sched_getaffinity(0))[first : first + cores]
    pinned = ["taskset", "--cpu-list", ",".join(map(str, chosen)), *command]
    variables = {**os.environ, "OMP_NUM_THREADS": str(cores), "TOKENIZERS_PARALLELISM": "false", **environment}
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(pinned, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=said, text=True)
        memory = Memory(process.pid)
        memory.start()
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{shlex.join(command)}\n{said.read()[-4000:]}")
    return Taken(time.monotonic() - start, usage.ru_utime + usage.ru_stime, memory.take(), output)


def kept(folder: Path) -> tuple[int, float]:
    """Documents in a folder of shards, and megabytes of their text."""
    paths = sorted(folder.glob("*.parquet"))
    size = sum(pc.sum(pc.binary_length(pq.read_table(path, columns=["text"])["text"])).as_py() or 0 for path in paths)
    return documents.count(paths), size / 1e6


def line(name: str, pages: int, taken: Taken, note: str = "") -> None:
    """Print one row."""
    seconds = f"{taken.seconds:8.1f} s {taken.processor:8.1f} s of processor"
    print(f"{name:<34}{seconds} {pages / taken.seconds:8.1f} pages/s {taken.memory / 1e6:7.0f} MB  {note}", flush=True)


def crawled(folder: Path, settings: Sequence[str], pages: int) -> tuple[Project, int]:
    """A project with at most that many pages in its WARC files, and how many there are."""
    # Sixteen files or more, so that cores can share them, at some 20 kB a page.
    project = Project(folder, [f"crawl.shard_mb={min(16, pages / 800)}", *settings, f"crawl.max_pages={pages}"])
    project.run("crawl", cores=len(os.sched_getaffinity(0)))
    for path in (folder / "data/crawl/warcs").iterdir():
        _identify(path)
    return project, project.metrics("crawl")["out"]


def _identify(path: Path) -> None:
    """Say of each page that it is HTML, as Common Crawl does: without, datatrove guesses, and takes half for text."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        for record in warc.read(path, MAX_BYTES, warc.Loss()):
            headers = dict(record.headers)
            if not isinstance(http.page(record, MAX_BYTES), str):
                headers["warc-identified-payload-type"] = "text/html"
            lines = ["WARC/1.1", *(f"{name}: {value}" for name, value in headers.items())]
            file.write(captures.member("\r\n".join(lines).encode() + b"\r\n\r\n" + record.body + b"\r\n\r\n"))
    path.unlink()  # it may be a link into the work area
    partial.rename(path)


def side_by_side(project: Project, pages: int, recipe: bool, fasttext: Path | None, rounds: int) -> None:
    """The stages and the recipe in turn on one core; then the stages on two."""
    stages = project.between("extract", LAST)
    ours, theirs = [], []
    for number in range(rounds):
        ours.append(project.run(*stages))
        count, size = kept(project.folder / "data" / LAST / "kept")
        line(f"{' + '.join(stages)}, 1 core", pages, ours[-1], f"{count:,} documents kept, {size:.1f} MB of text")
        if recipe:
            out = project.folder / f"recipe-{number}"
            flags = ["--warcs", str(project.folder / "data/crawl/warcs"), "--out", str(out)]
            flags += ["--fasttext", str(fasttext.resolve())] if fasttext else []
            command = [sys.executable, "-m", "tests.benchmarks.fineweb_recipe", *flags]
            theirs.append(measured(command, ROOT, 1, {}))
            steps = json.loads(theirs[-1].output.splitlines()[-1])
            line("FineWeb's recipe, 1 core", pages, theirs[-1], f"{list(steps.values())[-1]:,} documents kept")
            print("    after " + ", ".join(f"{_plain(name)} {count:,}" for name, count in steps.items()))
    two = [project.run(*stages, cores=2) for _ in range(rounds)]
    line(f"{' + '.join(stages)}, 2 cores", pages, two[-1])
    middle = statistics.median(taken.seconds for taken in ours)
    if theirs:
        ratio = statistics.median(taken.seconds for taken in theirs) / middle
        work = statistics.median(taken.processor for taken in theirs)
        work /= statistics.median(taken.processor for taken in ours)
        print(f"the recipe takes {ratio:.1f} times as long, and {work:.1f} times as much processor time")
    limit = 2 * middle / statistics.median(_apart(project, stages) for _ in range(rounds))
    times = middle / statistics.median(taken.seconds for taken in two)
    print(f"two cores are {times:.2f} times as fast as one; two builds on a core each, {limit:.2f} times")
    for stage in stages:
        line(f"  {stage} alone, 1 core", pages, project.run(stage))


def _apart(project: Project, stages: Sequence[str]) -> float:
    """Seconds of two builds of the same pages at the same time, on a core each."""
    folder = project.folder.with_name(f"{project.folder.name}-beside")
    shutil.rmtree(folder, ignore_errors=True)
    beside = Project(folder, [])
    shutil.copyfile(project.folder / "params.yaml", folder / "params.yaml")
    (folder / "data").mkdir()
    (folder / "data/crawl").symlink_to(project.folder.resolve() / "data/crawl")
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(one.run, *stages, first=core) for core, one in enumerate((project, beside))]
        return max(run.result().seconds for run in runs)


def _plain(name: str) -> str:
    return re.sub(r"[^\x20-\x7e]+", "", name).strip()


def parts(project: Project, pages: int) -> None:
    """Where the time of each stage goes, by sampling, and the limits of this machine for the same pages."""
    print(f"\n{'part':<34}{'seconds':>10} {'µs a page':>11}")
    for stage in project.between("extract", "pack"):
        taken = project.run(stage, module="tests.benchmarks.sampled")
        for part, seconds in sorted(json.loads(taken.output.splitlines()[-1]).items(), key=lambda kv: -kv[1]):
            print(f"{stage + ': ' + part:<34}{seconds:10.2f} {1e6 * seconds / pages:11.1f}")
    print(f"\n{'limit on this machine':<34}{'seconds':>10} {'µs a page':>11}")
    for name, seconds in limits(sorted((project.folder / "data/crawl/warcs").iterdir())).items():
        print(f"{name:<34}{seconds:10.2f} {1e6 * seconds / pages:11.1f}")


def limits(paths: Sequence[Path]) -> dict[str, float]:
    """Seconds of processor time for what each part cannot do without, over the same archives."""
    found = {"inflate (ISA-L)": 0.0, "inflate (zlib)": 0.0, "UTF-8 to text": 0.0, "parse HTML, nothing else": 0.0}
    found |= {"split text into words": 0.0, "hash text (xxh3)": 0.0}
    for path in paths:
        found["inflate (ISA-L)"] += _seconds(_inflate, [path], isal_zlib)
        found["inflate (zlib)"] += _seconds(_inflate, [path], zlib)
        records = (record for record in warc.read(path, MAX_BYTES, warc.Loss()) if record.kind == "response")
        answers = [http.page(record, MAX_BYTES) for record in records]
        bodies = [page.body for page in answers if not isinstance(page, str)]
        found["UTF-8 to text"] += _seconds(bytes.decode, bodies, "utf-8", "replace")
        pages = [charset.decode(body, "") for body in bodies]
        found["parse HTML, nothing else"] += _seconds(HTMLTree.parse, pages)
        texts = [tree.body.text or "" for tree in map(HTMLTree.parse, pages) if tree.body is not None]
        found["split text into words"] += _seconds(str.split, texts)
        found["hash text (xxh3)"] += _seconds(xxhash.xxh3_64_intdigest, [text.encode() for text in texts])
    return found


def _seconds(work: Callable[..., Any], each: Sequence[Any], *more: Any) -> float:
    start = time.process_time()
    for one in each:
        work(one, *more)
    return time.process_time() - start


def _inflate(path: Path, library: Any) -> None:
    with path.open("rb") as file:
        pending = file.read(1 << 16)
        while pending:
            decoder = library.decompressobj(wbits=31)
            while not decoder.eof and pending:
                decoder.decompress(pending)
                pending = decoder.unused_data or file.read(1 << 16)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=2000)
    parser.add_argument("--growth", type=int, nargs="*", default=[1000, 8000])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--no-recipe", action="store_true")
    parser.add_argument("--fasttext", type=Path)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to work; a new temporary folder by default")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="headwater-data-path-"))
    project, pages = crawled(folder / "side-by-side", arguments.settings, arguments.pages)
    print(f"{pages:,} pages in {len(list((project.folder / 'data/crawl/warcs').iterdir()))} WARC files; in {folder}\n")
    side_by_side(project, pages, not arguments.no_recipe, arguments.fasttext, arguments.rounds)
    parts(project, pages)
    if arguments.growth:
        print("\ngrowth, 1 core")
    for size in arguments.growth:
        grown, pages = crawled(folder / f"pages-{size}", arguments.settings, size)
        for stage in grown.between("extract", LAST):
            line(f"  {pages:,} pages: {stage}", pages, grown.run(stage))


if __name__ == "__main__":
    main()
