"""The crawl stage run on values that a test changes, and what it then has brought in."""

import json
from pathlib import Path
from typing import Any

from stages import crawl
from stages.core import params
from stages.web.records import warc
from tests.conftest import TAKEDOWN

VALUES = json.loads(params.as_json(params.load(crawl.Params, "crawl")))


def run(tmp_path: Path, **changes: Any) -> tuple[dict[str, Any], dict[str, bytes], dict[str, Any]]:
    """Metrics, the files written by name, the manifest; a section that is changed keeps its other values."""
    target, manifest = tmp_path / "out" / "warcs", tmp_path / "out" / "manifest.json"
    (tmp_path / "incoming").mkdir(exist_ok=True)
    changes = {name: {**VALUES[name], **to} if isinstance(to, dict) else to for name, to in changes.items()}
    values = params.check(crawl.Params, {**VALUES, **changes}, "params.yaml: crawl")
    given = {"incoming": tmp_path / "incoming", "takedown": TAKEDOWN, "robots": tmp_path / "robots"}
    withdrawn = tmp_path / "out" / "withdrawn.parquet"
    metrics = crawl.run(values, **given, warcs=target, withdrawn=withdrawn, manifest=manifest)
    written = {path.name: path.read_bytes() for path in sorted(target.iterdir())}
    return metrics, written, json.loads(manifest.read_text("utf-8"))


def records(tmp_path: Path) -> dict[str, warc.Record]:
    """URL to record of all that was written, without the warcinfo; nothing of it is damaged."""
    loss = warc.Loss()
    found = {}
    for path in sorted((tmp_path / "out" / "warcs").iterdir()):
        for record in warc.read(path, 1 << 24, loss):
            if record.kind != "warcinfo":
                assert record.url not in found
                found[record.url] = record
    assert loss.stretches == 0
    return found


def texts(tmp_path: Path) -> dict[str, str]:
    """URL to text of the conversion records that were written."""
    return {url: record.body.decode() for url, record in records(tmp_path).items() if record.kind == "conversion"}
