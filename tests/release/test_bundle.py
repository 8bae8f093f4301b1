"""A bundle says what the model is made of in the words of three standards, whose own readers take it."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.core import documents, tokens
from stages.core.errors import HeadwaterError
from stages.release import bundle, seal
from tests.conftest import ROOT


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _locked(path: str) -> dict[str, Any]:
    """What dvc.lock says of a file or folder, whose list goes to the cache."""
    there = Path(path)
    if there.is_file():
        return {"path": path, "md5": _md5(there.read_bytes())}
    names = sorted(file.relative_to(there).as_posix() for file in there.rglob("*") if file.is_file())
    listed = json.dumps([{"md5": _md5((there / name).read_bytes()), "relpath": name} for name in names]).encode()
    cached = Path(".dvc/cache/files/md5", _md5(listed)[:2], f"{_md5(listed)[2:]}.dir")
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_bytes(listed)
    return {"path": path, "md5": f"{_md5(listed)}.dir"}


def _stage(command: str, deps: list[str], outs: list[str], **params: Any) -> dict[str, Any]:
    name = command.rpartition(".")[2]
    sides = {"deps": [_locked(path) for path in deps], "outs": [_locked(path) for path in outs]}
    return {"cmd": command, **sides, "params": {"params.yaml": {name: params}}}


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build of three stages with what the bundle reads of it."""
    monkeypatch.chdir(tmp_path)
    for folder in ("data/extract/documents", "data/pack", "data/export", "metrics"):
        Path(folder).mkdir(parents=True)
    page: dict[str, Any] = {
        "id": "ab" * 16,
        "url": "https://example.org/",
        "date": "2026-01-01T00:00:00Z",
        "source": "a.warc.gz",
    }
    page |= {"offset": 0, "language": "en", "language_score": 1.0, "title": "A page", "published": ""}
    page["text"] = "Words."
    with documents.Writer(Path("data/extract/documents/a.parquet")) as shard:
        shard.write(page)
    Path("data/pack", tokens.DESCRIPTION).write_text("{}")
    Path("data/export/config.json").write_text("{}")
    Path("data/export/model.safetensors").write_bytes(b"weights")
    Path("metrics/evaluate.json").write_text(json.dumps({"tuned": {"bits_per_byte": 1.5, "stderr": 0.25}}))
    Path("requirements.lock").write_text((ROOT / "requirements.lock").read_text("utf-8"))
    stages = {
        "extract": _stage("python -m stages.extract", ["requirements.lock"], ["data/extract/documents"]),
        "pack": _stage("python -m stages.pack", ["data/extract/documents"], ["data/pack"]),
        "export": _stage(
            "python -m stages.export",
            ["data/pack", "metrics/evaluate.json"],
            ["data/export"],
            name="small",
            licence="apache-2.0",
        ),
    }
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    return tmp_path


def _content(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("bundle", name).read_text("utf-8"))
    return found


def test_a_bundle_holds_the_export_and_what_is_known_of_it(build: Path) -> None:
    bundle.make(Path("bundle"), None)
    assert seal.check(Path("bundle"), None) == []
    bom = _content("bom.cdx.json")
    model = bom["metadata"]["component"]
    assert {one["name"] for one in model["components"]} == {"config.json", "model.safetensors"}
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    figures = {one["type"]: one["value"] for one in model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]}
    assert figures == {"bits_per_byte": "1.5", "stderr": "0.25"}
    assert {"data/extract/documents", "data/pack"} <= {one["name"] for one in bom["components"]}
    assert any(one["name"] == "torch" for one in bom["components"])
    (shard,) = (one for one in _content("croissant.json")["distribution"] if one["@type"] == "cr:FileObject")
    assert shard["md5"] == _md5(Path("data/extract/documents/a.parquet").read_bytes())
    assert {"build:stages/extract", "build:stages/export"} <= set(_content("prov.json")["activity"])


def test_the_same_build_gives_the_same_bundle(build: Path) -> None:
    for name in ("one", "two"):
        bundle.make(Path(name), None)
    assert Path("one", seal.SUMS).read_bytes() == Path("two", seal.SUMS).read_bytes()


def test_what_is_not_what_was_built_is_not_handed_over(build: Path) -> None:
    Path("data/export/model.safetensors").write_bytes(b"others")
    with pytest.raises(HeadwaterError, match=r"model\.safetensors is not what dvc\.lock says: run `dvc repro`"):
        bundle.make(Path("bundle"), None)
    assert not Path("bundle").exists()


def test_an_existing_folder_is_left_alone(build: Path) -> None:
    Path("bundle").mkdir()
    with pytest.raises(HeadwaterError, match="is there already"):
        bundle.make(Path("bundle"), None)


def test_sha256sum_reads_the_seal(build: Path) -> None:
    bundle.make(Path("bundle"), None)
    assert subprocess.run(["sha256sum", "--check", "--quiet", seal.SUMS], cwd="bundle").returncode == 0


def test_cyclonedx_takes_the_bill_of_materials(build: Path) -> None:
    validation = pytest.importorskip("cyclonedx.validation.json", reason="needs: pip install '.[statements]'")
    schema = pytest.importorskip("cyclonedx.schema")
    bundle.make(Path("bundle"), None)
    text = Path("bundle/bom.cdx.json").read_text("utf-8")
    assert validation.JsonStrictValidator(schema.SchemaVersion.V1_6).validate_str(text) is None


def test_mlcroissant_takes_the_description_of_the_data(build: Path) -> None:
    croissant = pytest.importorskip("mlcroissant", reason="needs: pip install '.[statements]'")
    bundle.make(Path("bundle"), None)
    assert croissant.Dataset("bundle/croissant.json").metadata.name == "small-training-documents"


def test_prov_takes_the_record_of_the_build(build: Path) -> None:
    model = pytest.importorskip("prov.model", reason="needs: pip install '.[statements]'")
    bundle.make(Path("bundle"), None)
    with Path("bundle/prov.json").open(encoding="utf-8") as file:
        assert len(model.ProvDocument.deserialize(file).get_records()) > 10
