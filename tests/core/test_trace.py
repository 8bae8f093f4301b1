"""Questions to a build: what became of a page, what a step saw, where a text stands, and what no longer agrees."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from stages.core import hardware, takedown
from stages.core.trace import __main__ as trace
from stages.core.trace.lineage import Fact
from tests.document_path import Project, write_crawl

STAGES = ("crawl", "extract", "filter", "dedup", "decontaminate", "tokenizer", "pack", "pretrain")

_AUTHOR = "-c user.name=test -c user.email=test@example.org"

Ask = Callable[..., tuple[int, list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A small build up to the pretrained model, with its dvc.lock."""
    with pytest.MonkeyPatch.context() as patch:
        project = Project(tmp_path_factory.mktemp("trace") / "project", patch, workers=1)
        write_crawl(project.folder / "incoming" / "crawl", 2, 24)
        project.build(STAGES[0], STAGES[-1])
        for arguments in (("init", "--no-scm", "--quiet"), ("commit", "--force", "--quiet", *STAGES)):
            subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True, cwd=project.folder)
        commit = f"{_AUTHOR} commit --quiet --message Build"
        for command in ("init --quiet", "add dvc.lock metrics", commit, "tag model@v1.0.0"):
            subprocess.run(["git", *command.split()], check=True, cwd=project.folder)
        yield project


@pytest.fixture(scope="module")
def built(project: Project) -> Path:
    """Its folder."""
    return project.folder


@pytest.fixture
def ask(built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Asks the build; the exit code and the facts."""

    def _ask(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
        monkeypatch.chdir(built)
        monkeypatch.setattr(sys, "argv", ["trace", *arguments, "--json"])
        capsys.readouterr()
        code = trace.main()
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return _ask


def _documents(folder: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def _of(facts: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [fact for fact in facts if fact["fact"] == kind]


def test_a_page_is_followed_from_its_record_to_the_steps_and_models_that_saw_it(built: Path, ask: Ask) -> None:
    page = _documents(built / "data/decontaminate/training")[0]
    code, facts = ask("url", page["url"])
    assert code == 0
    (capture,) = _of(facts, "capture")
    assert (capture["warc"], capture["offset"], capture["read_back"]) == (page["source"], page["offset"], True)
    assert [fact["stage"] for fact in _of(facts, "document")] == ["extract", "filter", "dedup", "decontaminate"]
    (tokens,) = _of(facts, "tokens")
    (trained,) = _of(facts, "trained")
    assert _of(facts, "model")[0]["path"] == "data/pretrain/model"
    assert (tokens["tokens"] > 0, len(trained["steps"]) > 0) == (True, True)
    # Every step that is named saw the page, and a step that is not named did not.
    for step in {*trained["steps"][:2], 1}:
        _, seen = ask("step", "data/pretrain/model", str(step))
        assert (page["id"] in {one["id"] for one in seen}) == (step in trained["steps"])


def test_a_page_that_was_dropped_is_told_why(built: Path, ask: Ask) -> None:
    dropped = _documents(built / "data/filter/dropped")[0]
    code, facts = ask("id", dropped["id"])
    last = _of(facts, "document")[-1]
    assert (code, last["dropped_by"], last["reason"]) == (0, "filter", dropped["reason"])
    assert not _of(facts, "tokens")
    assert _of(facts, "trained")[0]["steps"] == []


def test_a_copy_is_told_the_page_that_was_kept(built: Path, ask: Ask) -> None:
    dropped = next(row for row in _documents(built / "data/dedup/dropped") if row["duplicate_of"])
    kept = {row["id"]: row["url"] for row in _documents(built / "data/dedup/kept")}
    _, facts = ask("id", dropped["id"])
    assert _of(facts, "document")[-1]["duplicate_of_url"] == kept[dropped["duplicate_of"]]


def test_a_text_is_found_word_for_word_with_its_page(built: Path, ask: Ask) -> None:
    page = _documents(built / "data/decontaminate/training")[0]
    paragraph = max(page["text"].split("\n"), key=len)
    code, facts = ask("text", f"Nobody ever wrote it so. {paragraph} <s> And what follows is new.")
    assert code == 0
    longest = facts[0]
    assert page["url"] in {where["url"] for where in longest["in"]}
    assert longest["text"].strip() in page["text"]
    assert len(longest["text"]) > len(paragraph) / 4  # rows of 256 tokens cut it
    assert _of(ask("text", "seven purple zeppelins quarrel about quantum marmalade on Tuesdays")[1], "nothing")


def test_everything_behind_a_model_is_named_with_hashes(built: Path, ask: Ask) -> None:
    code, facts = ask("model", "data/pretrain/model")
    assert code == 0
    assert {fact["stage"] for fact in _of(facts, "stage")} == set(STAGES)
    assert [Path(fact["path"]).name for fact in _of(facts, "source")] == ["000.warc.gz", "001.warc.gz"]
    pretrain = next(fact for fact in _of(facts, "stage") if fact["stage"] == "pretrain")
    assert (pretrain["params"]["steps"], set(pretrain["inputs"])) == (
        30,
        {"data/pack", "data/tokenizer", "incoming/pretrain"},
    )


def test_the_machines_of_a_run_are_named_where_they_are_known(built: Path, ask: Ask) -> None:
    before = {fact["stage"]: fact["unknown"] for fact in _of(ask("model", "data/pretrain/model")[1], "hardware")}
    assert set(before) == set(STAGES)
    hardware.begin("pretrain")
    hardware.end("pretrain", built / "metrics" / "pretrain.json")
    (known,) = (one for one in _of(ask("model", "data/pretrain/model")[1], "hardware") if "unknown" not in one)
    assert known == {"fact": "hardware", "stage": "pretrain", **hardware.here(), "engine": "local"}


def test_a_host_is_counted_and_each_of_its_pages_told_in_a_line(built: Path, ask: Ask) -> None:
    trained = _documents(built / "data/decontaminate/training")
    name = takedown.host(trained[0]["url"])
    code, (first, *facts) = ask("host", name)
    assert ask("host", name.upper())[1][1:] == facts  # however it is written
    told = _of(facts, "page")
    dropped = [row for stage in STAGES[1:5] for row in _documents(built / "data" / stage / "dropped")]
    rows = [row for row in (*dropped, *_documents(built / "data/extract/documents")) if name in row["url"]]
    assert (code, first["pages"], len(told)) == (0, len({row["id"] for row in rows}), first["pages"])
    ends = {row["id"]: f"{row['stage']}: {row['reason']}" for row in rows if "reason" in row}
    assert {page["id"]: page["ended"] for page in told if ":" in page["ended"]} == ends
    assert sum(page["tokens"] for page in told) == first["tokens"] == _of(facts, "tokens")[0]["tokens"]
    steps = set(_of(facts, "trained")[0]["steps"])
    assert steps >= set(_of(ask("id", trained[0]["id"])[1], "trained")[0]["steps"])


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (("url", "http://site.example/nowhere.html"), "the nearest: http://site.example/"),
        (("step", "data/pretrain/model", "31"), "ask for 1 to 30"),
        (("step", "data/export", "1"), "these were: data/pretrain/model"),
        (("model", "somewhere"), "it made data/pretrain/model"),
        (("text", "two words"), "too short"),
    ],
)
def test_a_question_without_an_answer_says_what_can_be_asked(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    built: Path,
    question: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(built)
    monkeypatch.setattr(sys, "argv", ["trace", *question])
    assert trace.main() == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_what_no_longer_agrees_is_said(built: Path, ask: Ask) -> None:
    page = _documents(built / "data/extract/documents")[0]
    warc = built / "data/crawl/warcs" / page["source"]
    whole = warc.read_bytes()
    warc.unlink()  # the cache shares its bytes
    try:
        warc.write_bytes(whole[: page["offset"] + 40] + bytes(8) + whole[page["offset"] + 48 :])
        code, facts = ask("id", page["id"])
        assert code == 1
        assert "another document" in _of(facts, "capture")[0]["problem"]
        assert [fact["path"] for fact in _of(facts, "disagrees")] == [f"data/crawl/warcs/{page['source']}"]
        warc.unlink()
        code, facts = ask("id", page["id"])
        assert (code, "to read it from again" in _of(facts, "capture")[0]["problem"]) == (1, True)
    finally:
        warc.write_bytes(whole)
    (built / "data/pack").rename(built / "data/elsewhere")
    try:
        code, facts = ask("id", page["id"])
        assert (code, facts[-1]["fact"], facts[-1]["paths"]) == (1, "gone", ["data/pack"])
        assert "dvc pull" in facts[-1]["way_out"]
    finally:
        (built / "data/elsewhere").rename(built / "data/pack")


def test_a_build_whose_cache_was_emptied_is_verified_by_its_files(built: Path, ask: Ask) -> None:
    page = _documents(built / "data/decontaminate/training")[0]
    cache, shard = built / ".dvc/cache", next((built / "data/pack").glob("*.npy"))
    whole = shard.read_bytes()
    cache.rename(built / "elsewhere")
    try:
        code, facts = ask("id", page["id"])
        assert (code, _of(facts, "unverified")) == (0, [])
        assert len(_of(ask("model", "data/pretrain/model")[1], "source")) == 2
        shard.unlink()
        shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        told = [fact for fact in _of(ask("id", page["id"])[1], "unverified") if "data/pack/" in fact["path"]]
        assert "`dvc fetch` brings the list back" in told[0]["because"]
        missing = ask("diff", "HEAD")[1][0]
        assert (missing["fact"], "dvc fetch" in missing["because"]) == ("unknown", True)
    finally:
        shard.write_bytes(whole)
        (built / "elsewhere").rename(cache)


def test_what_a_stage_made_is_compared_with_that_and_not_with_what_a_stage_after_it_had_read(
    built: Path, ask: Ask
) -> None:
    page, file = _documents(built / "data/decontaminate/training")[0], built / "dvc.lock"
    whole = file.read_text("utf-8")
    lock = yaml.safe_load(whole)
    for entry in lock["stages"]["pack"]["deps"]:
        if entry["path"] == "data/decontaminate/training":
            entry["md5"] = f"{0:032x}.dir"  # as after `dvc repro tokenizer`
    try:
        file.write_text(yaml.safe_dump(lock), "utf-8")
        facts = ask("id", page["id"])[1]
        assert (_of(facts, "unverified"), _of(facts, "disagrees")) == ([], [])
    finally:
        file.write_text(whole, "utf-8")


def test_pages_to_be_taken_down_are_found_until_the_build_is_made_again(built: Path, ask: Ask) -> None:
    assert ask("takedown")[0] == 0
    page = _documents(built / "data/decontaminate/training")[0]
    listed = built / "incoming" / "takedown.txt"
    before = listed.read_text("utf-8")
    try:
        listed.write_text(f"{page['url']}\n", "utf-8")
        code, facts = ask("takedown")
    finally:
        listed.write_text(before, "utf-8")
    assert code == 1
    places = {fact["in"] for fact in _of(facts, "left")}
    assert places >= {"data/extract/documents", "data/decontaminate/training", "data/pack"}
    assert [fact["model"] for fact in _of(facts, "affected")] == ["data/pretrain/model"]
    assert [fact["path"] for fact in _of(facts, "disagrees")] == ["incoming/takedown.txt"]
    assert [fact["tag"] for fact in _of(facts, "earlier")] == ["model@v1.0.0"]


def test_a_page_that_is_not_there_because_the_list_names_it_is_told_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, built: Path
) -> None:
    monkeypatch.chdir(built)
    listed = built / "incoming" / "takedown.txt"
    before = listed.read_text("utf-8")
    said = {"url": "https://gone.example/a%20page", "host": "www.gone.org", "id": "0" * 32}
    try:
        listed.write_text(f"http://gone.example/a%20page\ngone.org\n{said['id']}\n", "utf-8")
        for asked, value in said.items():
            monkeypatch.setattr(sys, "argv", ["trace", asked, value])
            assert trace.main() == 1
            assert (
                capsys.readouterr().err == f"error: no page with the {asked} {value}: incoming/takedown.txt names it\n"
            )
    finally:
        listed.write_text(before, "utf-8")


def test_the_copies_of_a_page_are_named(built: Path, ask: Ask) -> None:
    dropped = next(row for row in _documents(built / "data/dedup/dropped") if row["duplicate_of"])
    kept = next(row for row in _documents(built / "data/dedup/kept") if row["id"] == dropped["duplicate_of"])
    for url in (dropped["url"], kept["url"]):
        code, facts = ask("copies", url)
        assert code == 0
        assert {dropped["id"], dropped["duplicate_of"]} <= {fact["id"] for fact in facts}


def test_what_is_different_from_an_earlier_build_is_told_with_its_cause(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(project.folder, tmp_path / "again")
    monkeypatch.chdir(tmp_path / "again")
    values = yaml.safe_load(Path("params.yaml").read_text("utf-8"))
    values["filter"]["gopher"]["min_words"] = 400
    Path("params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), "utf-8")
    project.build("filter", "decontaminate")
    subprocess.run([sys.executable, "-m", "dvc", "commit", "--force", "--quiet", *STAGES[2:5]], check=True)
    monkeypatch.setattr(sys, "argv", ["trace", "diff", "HEAD", "--json"])
    capsys.readouterr()
    assert trace.main() == 0
    facts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (parameter,) = _of(facts, "parameter")
    assert (parameter["name"], parameter["after"]) == ("filter.gopher.min_words", 400)
    moved = {(fact["before"], fact["after"]): fact["documents"] for fact in _of(facts, "documents")}
    assert moved["data/decontaminate/training", "filter: gopher_too_few_words"] > 0
    assert "filter.out" in {fact["name"] for fact in _of(facts, "figure")}
    monkeypatch.setattr(sys, "argv", ["trace", "diff", "nowhere"])
    assert trace.main() == 1
    assert "no dvc.lock in that revision" in capsys.readouterr().err


def test_a_damaged_index_is_built_again(built: Path, ask: Ask) -> None:
    text = max(_documents(built / "data/decontaminate/training")[0]["text"].split("\n"), key=len)
    whole = ask("text", text)[1]
    index = next((built / "work" / "trace-passages").glob("*/hashes/hashes.npy"))
    index.write_bytes(index.read_bytes()[:-16] + bytes(16))
    assert ask("text", text)[1] == whole


def test_what_pages_say_acts_on_no_terminal() -> None:
    shown = trace.shown(Fact("document", {"title": "a\x1b[2Jb\nc", "rows": list(range(40)), "of": {"n": {2: 0.5}}}))
    assert "\x1b" not in shown
    assert "a⟨U+001B⟩[2Jb c" in shown
    assert "(40 in all)" in shown
    assert "2  0.5" in shown
