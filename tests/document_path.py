"""A project of its own in a folder: this checkout's code, a small crawl, and the stages as dvc.yaml calls them."""

import gzip
import importlib
import json
import shlex
import shutil
import typing
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.core import params, recipe, runtime
from tests import warcs
from tests.conftest import ROOT
from tests.site import write_site


class Project:
    """Runs stages with the paths of dvc.yaml, in this process, and counts the units that they build.

    Args:
        folder: Where to make it; becomes the working folder.
        settings: Of its execution profile.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        self.folder = folder
        write_project(folder)
        monkeypatch.chdir(folder)
        monkeypatch.setenv("HEADWATER_PROFILE", str(folder / "profile.yaml"))
        self.settle(**settings)
        self.stages = yaml.safe_load((folder / "dvc.yaml").read_text("utf-8"))["stages"]

    def settle(self, **settings: Any) -> None:
        """Change the execution profile."""
        (self.folder / "profile.yaml").write_text(yaml.safe_dump(settings), "utf-8")
        runtime.profile.cache_clear()

    def build(self, first: str, last: str) -> Counter[str]:
        """Run the stages from one to another; how many units of each label were built that were not there before."""
        before = set(self._units())
        names = list(self.stages)
        for name in names[names.index(first) : names.index(last) + 1]:
            module = importlib.import_module(f"stages.{name}")
            made = module.run(params.load(module.Params, name), **_paths(module.run, self.stages[name]["cmd"]))
            Path("metrics").mkdir(exist_ok=True)
            Path("metrics", f"{name}.json").write_text(json.dumps(made), "utf-8")
        return Counter(path.parent.name for path in set(self._units()) - before)

    def _units(self) -> list[Path]:
        return [record.parent for record in Path(runtime.profile().work).glob("*/*/commit.json")]


def _paths(run: Any, command: str) -> dict[str, Any]:
    """The values of a command's flags, as ``run`` takes them."""
    kinds = typing.get_type_hints(run)
    found: dict[str, list[Path]] = {}
    for word in shlex.split(command)[3:]:
        if word.startswith("--"):
            values = found.setdefault(word[2:].replace("-", "_"), [])
        else:
            values.append(Path(word))
    return {
        name: tuple(paths) if kinds[name] is not Path else paths[0] for name, paths in found.items() if name in kinds
    }


def write_project(folder: Path) -> None:
    """What a project needs to read archives in its own incoming/crawl, with the smoke recipe applied."""
    for name in ("crawl", "evaluation", "quality", "finetune", "pretrain", "robots"):
        (folder / "incoming" / name).mkdir(parents=True)
    shutil.copy(ROOT / "incoming" / "takedown.txt", folder / "incoming")
    shutil.copytree(ROOT / "stages", folder / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "infra", folder / "infra")
    shutil.copy(ROOT / "requirements.lock", folder)
    (folder / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text("utf-8"), "utf-8")
    values = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), "utf-8")
    recipe.apply(str(ROOT / "infra" / "recipes" / "smoke"), folder / "params.yaml")
    values = yaml.safe_load((folder / "params.yaml").read_text("utf-8"))
    values["crawl"]["source"] = "warc"
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), "utf-8")


def write_crawl(folder: Path, archives: int, pages: int) -> list[Path]:
    """WARC files of the tests' web site, its pages dealt out to them in turn."""
    site = folder.parent / "site"
    write_site(site, archives * pages)
    records: list[list[bytes]] = [[] for _ in range(archives)]
    for number, path in enumerate(sorted(site.rglob("*.html"))):
        url = f"http://site.example/{path.relative_to(site)}"
        records[number % archives].append(gzip.compress(warcs.response(path.read_bytes(), url), mtime=0))
    return [warcs.write(folder / f"{number:03}.warc.gz", b"".join(own)) for number, own in enumerate(records)]
