"""Figures and texts of an evaluation, as the report takes them."""

import json
from pathlib import Path

from stages.release import evaluation


def test_samples_may_hold_what_ends_a_line_elsewhere(tmp_path: Path) -> None:
    texts = ["one\u2028two\u2029three", "four\x85five\nsix"]
    lines = [{"model": "tuned", "prompt": "p", "text": text, "url": "http://example.org/"} for text in texts]
    # As the stage evaluate writes them.
    written = "".join(json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n" for line in lines)
    (tmp_path / "samples.jsonl").write_text(written, "utf-8")
    assert [one["text"] for one in evaluation.samples(tmp_path, 100)] == texts
