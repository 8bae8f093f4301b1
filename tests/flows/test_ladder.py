"""A ladder over a small DVC project whose loss follows a law: the law is found, and the next size is foretold."""

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from flows import ladder
from stages.core.errors import HeadwaterError
from tests.flows.test_search import SWEEP

if TYPE_CHECKING:
    from tests.flows.conftest import Project

ROOT = Path(__file__).resolve().parents[2]

PIPELINE = """
stages:
  train:
    cmd: python work.py
    deps: [incoming]
    params: [train]
    outs: [data/train]
    metrics: [metrics/train.json: {cache: false}]
"""

WORK = """
import json
from pathlib import Path
import yaml

params = yaml.safe_load(Path("params.yaml").read_text())["train"]
Path("data").mkdir(exist_ok=True)
Path("data/train").write_text(json.dumps(params))
size = params["width"] ** 2
Path("metrics").mkdir(exist_ok=True)
loss = 1.5 + 20 / size ** 0.5 + abs(params["rate"] - 0.1)
Path("metrics/train.json").write_text(json.dumps({"parameters": size, "loss": loss}))
"""

PARAMS: dict[str, Any] = {"train": {"rate": 0.5, "width": 1}}

LADDER: dict[str, Any] = {
    "size": "train.parameters",
    "sizes": [{"size": width**2, "values": {"train.width": width}} for width in (10, 20, 40)],
    "next": {"size": 6400, "values": {"train.width": 80}},
    "sweep": {
        **SWEEP,
        "sampler": "grid",
        "trials": 2,
        "parameters": {"train.rate": {"values": [0.1, 0.3]}},
    },
}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_law_is_found_and_the_next_size_is_foretold(project: "Project") -> None:
    for name, text in (("dvc.yaml", PIPELINE), ("work.py", WORK), ("params.yaml", yaml.safe_dump(PARAMS))):
        project.write(name, text)
    project.write(".gitignore", "/data/\n")
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], cwd=project.root, env=project.environment, check=True)
    project.commit()
    project.write("l.yaml", yaml.safe_dump(LADDER))
    predicted = project.run("ladder", "l.yaml").splitlines()[-1]
    assert "of 6,400 it predicts 1.7500; " in predicted
    folder = (project.root / predicted.rpartition("; ")[2]).parent
    assert "measured" not in json.loads((folder / "ladder.json").read_text())["next"]

    assert "measured 1.7500: +0.00 %" in project.run("ladder", "l.yaml", "--next")
    found = json.loads((folder / "ladder.json").read_text())
    assert found["law"] == {
        "E": pytest.approx(1.5, rel=1e-3),
        "A": pytest.approx(20, rel=1e-2),
        "a": pytest.approx(0.5, rel=1e-2),
    }
    assert [one["size"] for one in found["sizes"]] == [100, 400, 1600]
    assert abs(found["next"]["error"]) < 1e-4
    assert "<svg" in (folder / "index.html").read_text()

    wrong = {**LADDER, "sizes": [{"size": 90, "values": {"train.width": 10}}, *LADDER["sizes"][1:]]}
    project.write("l.yaml", yaml.safe_dump(wrong))
    refused = project.run("ladder", "l.yaml", status=1).splitlines()[-1]
    assert refused == "error: size 90: train.parameters is 100; write that, or mend its values"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": LADDER["sizes"][:2]}, "sizes must be at least three"),
        ({"next": LADDER["sizes"][0]}, "next.size must be larger than all sizes"),
        (
            {"next": {"size": 6400, "values": {"train.widht": 80}}},
            "size 6400: train.widht is not in params.yaml; did you",
        ),
        ({"sweep": {**LADDER["sweep"], "objectives": {"train.loss": "maximize"}}}, "must be one loss to minimize"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(
    change: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS))
    Path("l.yaml").write_text(yaml.safe_dump({**LADDER, **change}))
    with pytest.raises(HeadwaterError) as refused:
        ladder.load(Path("l.yaml"))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("path", sorted((ROOT / "infra/sweeps/ladders").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_ladders_that_are_shipped_name_parameters_that_there_are(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert ladder.load(path).sweep.target in yaml.safe_load(Path("dvc.yaml").read_text())["stages"]
