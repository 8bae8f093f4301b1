"""What the stages before the report leave behind, in small: a handful of documents, some of them hostile."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages.core import documents
from stages.scoring import questions
from stages.web import likeness
from tests import packed_tokens
from tests.release import tiny

HOSTILE = (
    "<script>alert(1)</script>",
    "</title></style></textarea><img src=x onerror=alert(2)>",
    '"><svg onload=alert(3)>',
    "javascript:alert(4)",
    "{{ 7 * 7 }}{% include 'x' %}",
    "\u202egnp.exe\u202c \u2066hidden\u2069 \x00 \x1b[31m",
    "--><!-- ]]> &lt;b&gt; &#60;i&#62;",
)

STAGES = (
    "crawl", "extract", "filter", "dedup", "decontaminate", "tokenizer", "pack", "pretrain", "finetune", "evaluate",
    "export",
)  # fmt: skip


def write(root: Path, *, hostile: bool = True) -> dict[str, Any]:
    """Write all inputs of the report below ``root``; gives the arguments of its ``run`` but for ``report``."""
    texts = [*HOSTILE, *tiny.SENTENCES] if hostile else list(tiny.SENTENCES)
    pages = [_document(index, text) for index, text in enumerate(texts)]
    _shard(root / "extract/documents", pages)
    score = pa.field("words", pa.float64(), metadata={"at_least": "50", "at_most": "100000"})
    told = documents.SCHEMA.field("language_score").with_metadata({"at_least": "0.85"})
    scored = [page | {"words": 40.0 + index * 3} for index, page in enumerate(pages)]
    _shard(root / "filter/kept", scored[-5:], [told, score])
    _shard(root / "decontaminate/training", pages[-5:])
    for stage in ("extract", "filter", "decontaminate"):
        odd = [page | {"stage": stage, "reason": "odd"} for page in scored[:-5]]
        _shard(root / stage / "dropped", odd, [told, score] if stage == "filter" else (), dropped=True)
    copies = [
        page | {"stage": "dedup", "reason": "near", "duplicate_of": pages[-1]["id"], "similarity": 0.9}
        for page in pages[:-5]
    ]
    alike = pa.field("similarity", pa.float32(), metadata={"at_most": "0.8"})
    extra = [pa.field("duplicate_of", pa.string()), alike]
    _shard(root / "dedup/dropped", copies, extra, dropped=True)
    tiny.write_tokenizer(root / "tokenizer")
    packed_tokens.write(root / "pack", [(pages[-1]["id"], [5, 6, 7]), (pages[-2]["id"], [5, 300])], 400)
    _write(root / "crawl/manifest.json", json.dumps({"source": "folder"}))
    _write(root / "export/config.json", "{}")
    for stage in ("pretrain", "finetune"):
        header = "step,tokens,loss,learning_rate,gradient_norm,held_out_loss"
        rows = [
            f"{step},{step * 100},{8 / step:.4f},{0.001 * step:.5f},{1.5:.2f},{9 - step // 10}"
            for step in range(1, 100)
        ]
        _write(root / stage / "log.csv", "\n".join([header, *rows]) + "\n")
    spike = {"step": 7, "why": "leap", "loss": "9.5", "gradient_norm": "4.0", "back_to": None}
    _write(root / "pretrain/spikes.json", json.dumps([spike | {"sources": [pages[-1]["id"]]}]))
    _write(root / "finetune/spikes.json", "[]\n")
    count = len(pages) - 5
    for stage in STAGES:
        dropped = {"odd" if stage != "dedup" else "near": count} if hostile and stage in STAGES[1:5] else {}
        _write(
            root / f"metrics/{stage}.json",
            json.dumps({"in": 12, "out": 12 - sum(dropped.values()), "dropped": dropped}),
        )
    _evaluation(root / "evaluate", texts)
    return {
        "graph": _graph(root),
        "manifest": root / "crawl/manifest.json",
        "documents": root / "extract/documents",
        **_withdrawn(root),
        "kept": root / "filter/kept",
        "training": root / "decontaminate/training",
        "tokenizer": root / "tokenizer",
        "tokens": root / "pack",
        "spikes": (root / "pretrain/spikes.json", root / "finetune/spikes.json"),
        "artifacts": (),
        "logs": (root / "pretrain/log.csv", root / "finetune/log.csv"),
        "optimizers": _optimizers(root / "optimizers.json"),
        "results": root / "evaluate",
        "promoted": _promoted(root),
        "exported": root / "export",
        "dropped": tuple(root / stage / "dropped" for stage in ("extract", "filter", "dedup", "decontaminate")),
        "measured": tuple(root / f"metrics/{stage}.json" for stage in STAGES),
    }


def _graph(root: Path) -> Path:
    """Stages of which each reads what the one before it has written; the paths are those of this build."""
    made = {"crawl": "crawl/manifest.json", "extract": "extract/documents", "filter": "filter/kept", "report": "page"}
    outs = {stage: (root / path).as_posix() for stage, path in made.items()}
    stages = {}
    read: list[str] = []
    for stage, out in outs.items():
        code = [f"stages/{stage}.py", "requirements.lock"]
        stages[stage] = {"cmd": f"python -m stages.{stage}", "deps": [*read, *code], "outs": [out]}
        read = [out]
    _write(root / "dvc.yaml", json.dumps({"stages": stages}))
    return root / "dvc.yaml"


def _optimizers(path: Path) -> Path:
    runs = [
        {
            "optimizer": name,
            "peak": 0.004,
            "tokens": [1000, 2000],
            "processor_seconds": [10.0, 20.0],
            "held_out_loss": [8.0, low],
        }
        for name, low in (("adamw", 7.5), ("muon", 6.5))
    ]
    origin = {"date": "2026-11-22", "machine": "a core", "model": "a llama", "tokens": "0123456789abcdef"}
    _write(path, json.dumps({"measured_on": origin, "runs": runs}))
    return path


def _document(index: int, text: str) -> dict[str, Any]:
    return {
        "id": f"{index:032x}",
        "url": f"https://example.org/{text}",
        "date": "2026-01-01T00:00:00Z",
        "source": "crawl.warc.gz",
        "offset": index,
        "language": "en",
        "language_score": 0.9,
        "title": "",
        "published": "",
        "text": f"{text} {text}",
    }


def _shard(folder: Path, rows: list[dict[str, Any]], extra: Any = (), *, dropped: bool = False) -> None:
    folder.mkdir(parents=True)
    with documents.Writer(folder / "00000.parquet", extra, dropped=dropped) as writer:
        for row in rows:
            writer.write(row)


def _withdrawn(root: Path) -> dict[str, Path]:
    """A page that was taken down, and another that went with it; neither is there any more."""
    _write(root / "takedown.txt", "https://gone.example/ similar 0.8\n")
    words = np.sort(np.arange(20, dtype=np.uint64))
    named = likeness.Target("f" * 32, 0.8, words)
    likeness.write(root / "crawl/withdrawn.parquet", [named], [("e" * 32, named.id, 0.875)])
    return {"takedown": root / "takedown.txt", "withdrawn": root / "crawl/withdrawn.parquet"}


def _promoted(root: Path) -> Path:
    """What was kept of a promoted model that needed two bits where this build's needs one."""
    about = {"version": "v3.0.0", "commit": "0123456789abcdef", "reason": HOSTILE[0], "model": "tuned"}
    _write(root / "promoted/champion.json", json.dumps(about))
    models = ((2.0, "promoted", ("scores", "questions")), (1.0, "evaluate", ("tuned", "tuned_questions")))
    for level, folder, names in models:
        ids = [f"{number:032x}" for number in range(12)]
        table = {"id": ids, "bits": [level * (90.0 + number) for number in range(12)], "bytes": [100] * 12}
        pq.write_table(pa.table(table), root / folder / f"{names[0]}.parquet")
        questions.write(root / folder / f"{names[1]}.parquet", [])
    return root / "promoted"


def _evaluation(folder: Path, texts: list[str]) -> None:
    figure = {"documents": 3, "bytes": 900, "tokens": 300, "bits_per_byte": 1.5, "stderr": 0.1}
    groups = dict.fromkeys(texts, figure)
    task = {"acc": 0.5, "acc_stderr": 0.05, "chance": 0.25, "acc_stderrs_above_chance": 5.0, "questions": 100}
    share = {"count": 7, "share": 0.5, "low": 0.25, "high": 0.75}
    copied = [{"text": text, "url": text} for text in texts]
    repeated = {"training": {"passages": 14, "window": 50, "repeated": share, "listed_words": share, "texts": copied}}
    model = {
        "overall": {"all": figure},
        "by_language": {"en": figure},
        "by_host": groups,
        "tasks": {texts[0]: task},
        "memorisation": repeated,
    }
    compressors = {"overall": {"all": {"xz-9": 2.2}}, "by_language": {"en": {"xz-9": 2.2}}, "by_host": {}}
    change = {"questions": 100, "before": 0.5, "after": 0.4, "low": -0.2, "high": -0.01, "verdict": "worse"}
    everything = {"models": {"pretrained": model}, "compressors": compressors, "tuning": {texts[0]: {"acc": change}}}
    _write(folder / "results.json", json.dumps(everything))
    points = "10,1000,2.5,0.1,0.25,0.04\n20,2000,1.5,0.1,,\n30,3000,1.25,0.1,0.5,0.04\n"
    header = "step,tokens,bits_per_byte,bits_per_byte_stderr,cloze,cloze_stderr\n"
    _write(folder / "learning_curve.csv", header + points)
    lines = [{"model": "tuned", "url": text, "prompt": text, "text": text} for text in texts]
    _write(folder / "samples.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
