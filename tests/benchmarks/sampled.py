"""Runs a stage as its command does and samples where its processor time goes, by module, for `data_path.py`.

    python -m tests.benchmarks.sampled STAGE FLAGS…

Every few milliseconds of processor time are put down to the innermost of the project's modules that is being run;
what libraries do counts for the module that called them. Prints one line of JSON: seconds by part. The stage must run
in this process: with one worker.
"""

import importlib
import json
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from stages.core import params
from stages.core.stage import Metrics

PERIOD = 0.002  # seconds

PARTS = {
    "stages.web.records.warc": "WARC reading",
    "stages.web.records.window": "WARC reading",
    "stages.web.records.members": "WARC reading",
    "stages.web.records.http": "decoding",
    "stages.web.pages.charset": "decoding",
    "stages.web.pages.language": "language",
    "stages.core.documents": "shards, reading and writing",
    "stages.core.shards": "shards, hashes and commits",
    "stages.core.fingerprint": "shards, hashes and commits",
}


class Sampler:
    """Adds up processor time by part."""

    def __init__(self, stage: str) -> None:
        self.seconds: Counter[str] = Counter()
        self._stage = stage
        self._last = time.process_time()

    def start(self) -> None:
        """Begin."""
        signal.signal(signal.SIGPROF, self._take)
        signal.setitimer(signal.ITIMER_PROF, PERIOD, PERIOD)

    def stop(self) -> None:
        """End."""
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _take(self, _: int, frame: FrameType | None) -> None:
        now = time.process_time()
        passed, self._last = now - self._last, now
        while frame is not None and not frame.f_globals.get("__name__", "").startswith("stages."):
            frame = frame.f_back
        name = frame.f_globals["__name__"] if frame is not None else ""
        own = name.removeprefix("stages.web.").removeprefix("stages.text.").removeprefix("stages.")
        self.seconds[PARTS.get(name, own or "start")] += passed  # type: ignore[assignment]


def main() -> None:
    """Run the stage with the flags of its own command line."""
    stage, *words = sys.argv[1:]
    start = time.process_time()
    module = importlib.import_module(f"stages.{stage}")
    loading = time.process_time() - start
    paths: dict[str, Any] = {}
    for word in words:
        if word.startswith("--"):
            name = word[2:].replace("-", "_")
            paths[name] = []
        else:
            paths[name].append(Path(word))
    metrics_file = paths.pop("metrics")[0]
    hints = module.run.__annotations__
    given = {name: found[0] if hints[name] is Path else tuple(found) for name, found in paths.items()}
    values = params.load(module.Params, stage)
    sampler = Sampler(stage)
    sampler.start()
    metrics: Metrics = module.run(values, **given)
    sampler.stop()
    metrics_file.parent.mkdir(parents=True, exist_ok=True)
    metrics_file.write_text(json.dumps(metrics), "utf-8")
    print(json.dumps({"start, imports": loading, **sampler.seconds}))


if __name__ == "__main__":
    main()
