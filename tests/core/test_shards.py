"""Shards: a result is taken only when it is whole and nothing it depends on has changed."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest.mock import Mock

import pytest

from stages.core import runtime, shards
from stages.core.collection import RECORD
from stages.core.errors import HeadwaterError
from stages.core.shards import Metrics, Unit, build, publish
from tests.conftest import ROOT


def upper(params: dict[str, str], inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Upper-case a file; notes beside it that this ran."""
    text = inputs[0].read_text()
    outputs["text"].write_text(text.upper() + params["end"])
    with (inputs[0].parent / "ran").open("a") as ran:
        ran.write(inputs[0].name + "\n")
    return {"in": 1, "out": 1, "dropped": {}}


def overtaken(params: dict[str, str], inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Upper-case a file, while another process finishes the same result: it lies beside, and gets its name now."""
    for aside in outputs["text"].parents[2].glob("*.aside"):
        aside.rename(aside.with_suffix(""))
    return upper(params, inputs, outputs)


def die(params: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """What the kernel does to a worker that takes too much memory."""
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{name}.txt" for name in "abc"]
    for path in paths:
        path.write_text(path.stem * 3)
    return paths


def units(paths: list[Path]) -> list[Unit]:
    return [Unit(inputs=(path,), outputs={"text": path.name}) for path in paths]


def ran(sources: list[Path]) -> list[str]:
    file = sources[0].parent / "ran"
    names = sorted(file.read_text().split()) if file.exists() else []
    file.unlink(missing_ok=True)
    return names


def test_only_what_a_change_touches_is_built_again(profile: Path, sources: list[Path]) -> None:
    build(upper, {"end": "!"}, units(sources), label="stage")
    assert ran(sources) == ["a.txt", "b.txt", "c.txt"]
    build(upper, {"end": "!"}, units(sources), label="stage")
    assert ran(sources) == []
    sources[1].write_text("changed")
    built = build(upper, {"end": "!"}, units(sources), label="stage")
    assert ran(sources) == ["b.txt"]
    assert [one.outputs["text"].read_text() for one in built] == ["AAA!", "CHANGED!", "CCC!"]
    build(upper, {"end": "?"}, units(sources), label="stage")
    assert ran(sources) == ["a.txt", "b.txt", "c.txt"]


def test_an_input_that_is_missing_is_named(profile: Path, sources: list[Path]) -> None:
    sources[1].unlink()
    with pytest.raises(HeadwaterError, match=f"{sources[1]}: not here; `dvc repro` makes"):
        build(upper, {"end": "!"}, units(sources), label="stage")


def test_a_damaged_or_unrecorded_result_is_not_there(profile: Path, sources: list[Path]) -> None:
    built = build(upper, {"end": "!"}, units(sources), label="stage")
    ran(sources)
    built[0].outputs["text"].write_text("damaged")
    (built[1].outputs["text"].parents[1] / RECORD).unlink()
    again = build(upper, {"end": "!"}, units(sources), label="stage")
    assert ran(sources) == ["a.txt", "b.txt"]
    assert [one.outputs["text"].read_text() for one in again] == ["AAA!", "BBB!", "CCC!"]


def test_a_result_that_another_process_finished_first_is_left_to_those_who_read_it(
    profile: Path, sources: list[Path]
) -> None:
    (first,) = build(overtaken, {"end": "!"}, units(sources[:1]), label="stage")
    folder = first.outputs["text"].parents[1]
    number = first.outputs["text"].stat().st_ino
    folder.rename(f"{folder}.aside")
    (again,) = build(overtaken, {"end": "!"}, units(sources[:1]), label="stage")
    assert again.outputs["text"].stat().st_ino == number
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_what_a_killed_process_left_is_removed_and_what_another_user_builds_is_not(
    profile: Path, sources: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (built,) = build(upper, {"end": "!"}, units(sources[:1]), label="stage")
    folder = built.outputs["text"].parents[1]
    shutil.rmtree(folder)
    left = [folder.with_name(f"{folder.name}.partial-{socket.gethostname()}-{process}") for process in (11, 12)]
    for partial in left:
        partial.mkdir()

    def kill(process: int, _: int) -> None:
        raise ProcessLookupError if process == 11 else PermissionError

    monkeypatch.setattr(os, "kill", kill)
    build(upper, {"end": "!"}, units(sources[:1]), label="stage")
    assert [partial.exists() for partial in left] == [False, True]


def test_any_number_of_workers_makes_the_same_and_keeps_the_order(
    profile: Path, sources: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(os.environ["HEADWATER_PROFILE"])
    file.write_text(file.read_text().replace("workers: 1", "workers: 3"))
    built = build(upper, {"end": "!"}, units(sources), label="stage")
    assert [one.outputs["text"].read_text() for one in built] == ["AAA!", "BBB!", "CCC!"]


def test_a_killed_worker_is_one_clear_line_and_loses_nothing_finished(profile: Path, sources: list[Path]) -> None:
    file = Path(os.environ["HEADWATER_PROFILE"])
    file.write_text(file.read_text().replace("workers: 1", "workers: 2"))
    build(upper, {"end": "!"}, units(sources), label="stage")
    ran(sources)
    with pytest.raises(HeadwaterError, match="a worker process was killed"):
        build(die, None, units(sources), label="stage")
    build(upper, {"end": "!"}, units(sources), label="stage")
    assert ran(sources) == []


def test_what_a_kill_while_publishing_left_is_gone_after_the_next_run(
    profile: Path, sources: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built, folder = build(upper, {"end": "!"}, units(sources), label="stage"), tmp_path / "data" / "stage"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            publish(built, "text", folder)
    publish(built, "text", folder)
    assert list(folder.parent.iterdir()) == [folder]


def test_publishing_leaves_exactly_the_outputs(profile: Path, sources: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "out" / "text"
    publish(build(upper, {"end": "!"}, units(sources), label="stage"), "text", folder)
    publish(build(upper, {"end": "!"}, units(sources[:2]), label="stage"), "text", folder)
    assert [path.name for path in shards.files(folder)] == ["a.txt", "b.txt"]
    assert not list(folder.parent.glob(".*"))


def test_the_work_area_forgets_what_was_not_used_for_longest(profile: Path, sources: list[Path]) -> None:
    old = build(upper, {"end": "old"}, units(sources), label="stage")
    for one in old:
        os.utime(one.outputs["text"].parents[1], (1, 1))
    file = Path(os.environ["HEADWATER_PROFILE"])
    file.write_text(file.read_text().replace("work_limit_gb: 10", "work_limit_gb: 0.0000001"))
    runtime.profile.cache_clear()
    new = build(upper, {"end": "new"}, units(sources), label="stage")
    assert all(one.outputs["text"].exists() for one in new)
    assert not any(one.outputs["text"].exists() for one in old)


def test_counts_are_added_key_by_key() -> None:
    assert shards.total([{"in": 2, "dropped": {"a": 1}}, {"in": 3, "dropped": {"b": 1, "a": 1}}]) == {
        "dropped": {"a": 2, "b": 1},
        "in": 5,
    }


SLOW = """
import sys, time
from pathlib import Path
from stages.core.shards import Unit, build
from tests.core.slow_unit import slow
paths = sorted(Path(sys.argv[1]).glob("*.txt"))
build(slow, None, [Unit((path,), {"text": path.name}) for path in paths], label="stage")
"""


def test_a_build_killed_at_any_moment_continues_and_ends_in_the_same_bytes(profile: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:02}.txt").write_text(str(number))
    command = [sys.executable, "-c", SLOW, str(folder)]
    for pause in (0.6, 0.7):
        process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)
        time.sleep(pause)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    records = [json.loads(path.read_text()) for path in sorted(profile.glob("stage/*/commit.json"))]
    assert len(records) == 12
    texts = sorted(path.read_text() for path in profile.glob("stage/*/text/*.txt"))
    assert texts == sorted(f"{number} done" for number in range(12))
    assert not list(profile.glob("stage/*.partial-*"))
