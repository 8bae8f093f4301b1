"""Refreshes of a small DVC project: new files in an inbox are taken in, built, committed and judged."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from flows.refresh import take_in
from stages.core.errors import HeadwaterError
from tests.flows.test_promote import PIPELINE, RULES, WORK, dvc, last

if TYPE_CHECKING:
    from tests.flows.conftest import Project, Server


@pytest.fixture
def growing(project: "Project") -> "Project":
    """A project whose model gets better with each page."""
    (project.root / "infra").mkdir()
    (project.root / "incoming").unlink()
    (project.root / "incoming" / "crawl").mkdir(parents=True)
    (project.root / "inbox").mkdir()
    project.write("incoming/crawl/1", "page")
    work = 'level, passes = str(1 / len(list(Path("incoming/crawl").iterdir()))), "safe"'
    project.write("work.py", WORK.replace('level, passes = Path("incoming").read_text().split()', work))
    project.write("dvc.yaml", PIPELINE.replace("deps: [incoming]", "deps: [incoming/crawl]"))
    project.write("infra/promotion.yaml", yaml.safe_dump(RULES))
    project.write(".gitignore", "/data/\n/inbox/\n")
    dvc(project, "repro", "--quiet")
    project.commit()
    return project


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_new_crawl_is_built_and_promoted_and_without_any_it_ends_as_cached(
    growing: "Project", server: "Server"
) -> None:
    assert last(growing.run("refresh", "--inbox", "inbox")) == "Cached: no new crawl"
    growing.write("inbox/2", "page")
    refreshes = [growing.start("--inbox", "inbox", flow="refresh") for _ in range(3)]
    ends = []
    for process in refreshes:
        output, _ = process.communicate(timeout=250)
        assert process.returncode == 0, output
        ends.append(last(output).partition(":")[0])
    assert sorted(ends) == ["Cached", "Cached", "Promoted"]
    assert (growing.root / "incoming/crawl/2").exists()
    assert growing.git("status", "--porcelain", "--untracked-files=no") == ""
    tag = growing.git("rev-parse", "model@v1.0.0^{commit}")
    assert tag == growing.git("rev-parse", "HEAD")
    assert json.loads((growing.root / "metrics/evaluate.json").read_text()) == {"safe": True}


@pytest.mark.slow
def test_without_a_server_none_is_started_to_say_that_nothing_is_new(growing: "Project") -> None:
    del growing.environment["PREFECT_API_URL"]
    assert growing.run("refresh", "--inbox", "inbox") == "Cached: no new crawl\n"
    log = growing.root.parent / ".prefect" / "server.log"

    # The same where the source of crawl is asked, here a file that DVC does not watch.
    growing.write("source", "page")
    crawl = "stages:\n  crawl: {cmd: cp source fetched, outs: [fetched]}\n"
    growing.write("dvc.yaml", (growing.root / "dvc.yaml").read_text().replace("stages:\n", crawl))
    growing.write(".gitignore", "/data/\n/inbox/\n/source\n")
    dvc(growing, "repro", "--quiet")
    growing.commit()
    assert last(growing.run("refresh", "--look-again")) == "Cached: no new crawl"
    assert not log.exists()
    growing.write("source", "another page")
    assert last(growing.run("refresh", "--look-again")).startswith(("Promoted:", "Kept:"))
    assert (growing.root / "fetched").read_text() == "another page"
    assert growing.git("status", "--porcelain", "--untracked-files=no") == ""
    assert log.exists()

    growing.write("params.yaml", "changed: true\n")
    growing.commit()
    growing.write("params.yaml", "")
    refused = growing.run("refresh", status=1)
    assert refused == "error: params.yaml is not committed; commit it or take it back before a refresh\n"


def test_a_file_is_taken_in_once_and_another_of_its_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inbox = tmp_path / "inbox"
    (inbox / "a").mkdir(parents=True)
    (inbox / "a" / "1.warc").write_text("one")
    (inbox / ".2.warc.partial").write_text("half")
    assert take_in(inbox) == [Path("incoming/crawl/a/1.warc")]
    assert take_in(inbox) == []
    (inbox / "a" / "1.warc").write_text("another")
    with pytest.raises(HeadwaterError, match="give it a name of its own"):
        take_in(inbox)
    with pytest.raises(HeadwaterError, match="no such folder"):
        take_in(tmp_path / "inboxes")
