"""Engines: whichever builds the shards, they are the same, and what goes wrong is one clear line."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

import stages.core
from stages.core import engines, runtime
from stages.core.errors import HeadwaterError
from stages.core.fingerprint import file_hash
from stages.core.shards import Metrics, Unit, build
from tests.conftest import ROOT

# What stands in for Slurm: it runs the script that it is given as Slurm would, one task of the array after the other.
SBATCH = """#!/bin/bash
set -e
for script; do :; done
echo "$@" >> "$SLURM_STAND_IN/submitted"
cp "$script" "$SLURM_STAND_IN/script"
tasks=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$script")
touch "$SLURM_STAND_IN/queued"
( cd /
  export SLURM_NODELIST=here
  for task in $(seq 0 "$tasks"); do SLURM_ARRAY_TASK_ID=$task bash "$SLURM_STAND_IN/script" || true; done
  rm "$SLURM_STAND_IN/queued"
) > "$SLURM_STAND_IN/log" 2>&1 &
echo "Submitted batch job 17"
"""
STAND_INS = {
    "sbatch": SBATCH,
    "srun": '#!/bin/bash\nwhile [[ $1 == -* ]]; do [[ $1 == -n ]] && shift; shift; done\nexec "$@"\n',
    "scontrol": "#!/bin/bash\necho localhost\n",
    "squeue": '#!/bin/bash\n[[ ! -e "$SLURM_STAND_IN/queued" ]] || echo 17 cpu headwater\n',
    "scancel": '#!/bin/bash\necho "$@" >> "$SLURM_STAND_IN/cancelled"\n',
}


def upper(suffix: str, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Upper-case a file; refuses one that says so."""
    text = inputs[0].read_text()
    if text == "refuse":
        raise HeadwaterError("this file is refused")
    outputs["text"].write_text(text.upper() + suffix)
    return {"in": 1, "out": 1, "dropped": {}}


def die(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """What the kernel does to a worker that takes too much memory."""
    os.kill(os.getpid(), 9)
    return {}


@pytest.fixture
def units(tmp_path: Path) -> list[Unit]:
    paths = [tmp_path / f"{name}.txt" for name in "abcde"]
    for path in paths:
        path.write_text(path.stem * 3)
    return [Unit((path,), {"text": path.name}) for path in paths]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with the commands of Slurm; gives the folder that tells what was asked of them."""
    folder = tmp_path / "slurm"
    for name, text in STAND_INS.items():
        path = folder / "bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_STAND_IN", str(folder))
    return folder


def settle(**settings: object) -> None:
    """Change the profile of the test."""
    file = Path(os.environ["HEADWATER_PROFILE"])
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | settings))
    runtime.profile.cache_clear()


def shards_of(work: Path) -> dict[str, str]:
    """The results in a work area: the fingerprint of each unit and the hash of what was made."""
    return {path.name: file_hash(path) for path in (work / "stage").iterdir()}


def test_a_profile_says_only_what_it_changes(profile: Path) -> None:
    settle(workers=3, slurm={"partition": "night"})
    found = runtime.profile()
    default = yaml.safe_load(runtime.DEFAULT.read_text())
    assert (found.workers, found.slurm.partition, found.slurm.time) == (3, "night", default["slurm"]["time"])
    settle(slurm={"partitoin": "night"})
    with pytest.raises(HeadwaterError, match=r"slurm\.partitoin is not a parameter; did you mean 'partition'"):
        runtime.profile()


@pytest.mark.parametrize("path", sorted((ROOT / "infra" / "profiles").iterdir()), ids=lambda path: path.stem)
def test_the_profiles_that_come_with_the_project_can_be_taken(
    profile: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWATER_PROFILE", str(path))
    runtime.profile.cache_clear()
    assert runtime.profile().engine == yaml.safe_load(path.read_text()).get("engine")


@pytest.mark.parametrize("prepared", [True, False], ids=["forked by the stage", "from a server"])
@pytest.mark.parametrize("stopped", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_a_stage_that_is_stopped(
    profile: Path, tmp_path: Path, stopped: signal.Signals, prepared: bool
) -> None:
    settle(workers=2)
    code = f"""
import os, time
from stages.core import engines

def linger(path):
    open(path, "w").close()
    time.sleep(60)

if __name__ == "__main__":
    {"engines.prepare()" if prepared else ""}
    jobs = [(f"{tmp_path}/{{number}}",) for number in range(4)]
    for _ in engines.run(linger, jobs, module="stages.core.engines", label="stage"):
        pass
"""
    script = tmp_path / "lingering.py"
    script.write_text(code)
    stage = subprocess.Popen(
        [sys.executable, script], env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not all((tmp_path / str(number)).exists() for number in range(2)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    stage.send_signal(stopped)
    stage.communicate(timeout=60)  # every worker that is left would hold the output open


def test_another_machine_with_other_code_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    call = engines.Elsewhere(upper, __name__)
    monkeypatch.setattr("stages.core.fingerprint.code", lambda _: "other")
    with pytest.raises(HeadwaterError, match="has other code or libraries for"):
        call("!", [], {})


def test_slurm_runs_what_local_runs(profile: Path, units: list[Unit], slurm: Path) -> None:
    local = build(upper, "!", units, label="stage")
    expected = shards_of(profile)
    settle(engine="slurm", work=str(profile.with_name("other")), workers=2)
    settle(
        slurm={"partition": "night", "time": "1:00:00", "memory_gb": 3, "units_per_task": 2, "options": {"qos": "x"}}
    )
    built = build(upper, "!", units, label="stage")
    assert [one.metrics for one in built] == [one.metrics for one in local]
    assert shards_of(profile.with_name("other")) == expected
    script = (slurm / "script").read_text().splitlines()
    assert script[0] == "#!/bin/bash"
    directives = {"--partition=night", "--time=1:00:00", "--mem-per-cpu=3G", "--array=0-2%2", "--qos=x", "--requeue"}
    assert {f"#SBATCH {directive}" for directive in directives} <= set(script)
    assert script[-1].startswith("srun ")
    assert "/executor.pik" in script[-1]
    assert (slurm / "submitted").read_text().startswith("--export=ALL,RUN_OFFSET=0 ")
    assert not (slurm / "cancelled").exists()
    build(upper, "!", units, label="stage")
    assert len((slurm / "submitted").read_text().splitlines()) == 1


def test_more_tasks_than_an_array_may_have_wait_for_one_another(profile: Path, slurm: Path, tmp_path: Path) -> None:
    from stages.core import engine_slurm

    call = engines.Elsewhere(upper, __name__)
    job = engine_slurm.executor(call, [()] * 2500, tmp_path / "slurm-job", "headwater-many")
    (slurm / "bin" / "sbatch").write_text('#!/bin/bash\necho "$@" >> "$SLURM_STAND_IN/submitted"\necho job 17\n')
    job.run()
    asked = [line.split() for line in (slurm / "submitted").read_text().splitlines()]
    assert [words[0] for words in asked] == [f"--export=ALL,RUN_OFFSET={offset}" for offset in range(3)]
    assert [words[1:-1] for words in asked] == [[], ["--dependency=afterany:17"], ["--dependency=afterany:17"]]


def test_what_fails_under_slurm_is_one_clear_line_and_loses_nothing_finished(
    profile: Path, units: list[Unit], slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.core.engine_slurm._POLL", 0.1)
    units[2].inputs[0].write_text("refuse")
    settle(engine="slurm", slurm={"units_per_task": 5})
    with pytest.raises(HeadwaterError, match="this file is refused"):
        build(upper, "!", units, label="stage")
    deadline = time.monotonic() + 60
    while len(shards_of(profile)) < 4:  # the tasks that run already are not lost
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with pytest.raises(HeadwaterError, match=r"5 of 5 units failed under Slurm.*finished shards are kept"):
        build(die, None, units, label="dead")
    assert "--name headwater-dead-" in (slurm / "cancelled").read_text()
    (slurm / "bin" / "sbatch").write_text("#!/bin/bash\necho no such partition >&2\nexit 1\n")
    with pytest.raises(HeadwaterError, match="sbatch refused the job"):
        build(die, None, units, label="dead")
    monkeypatch.setenv("PATH", str(profile.parent))
    with pytest.raises(HeadwaterError, match="sbatch is not installed here"):
        build(die, None, units, label="dead")


def test_ray_that_is_missing_is_named(profile: Path, units: list[Unit], monkeypatch: pytest.MonkeyPatch) -> None:
    settle(engine="ray")
    monkeypatch.delitem(sys.modules, "stages.core.engine_ray", raising=False)
    monkeypatch.delattr(stages.core, "engine_ray", raising=False)  # where another test had it
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(HeadwaterError, match=r"Ray is not installed: pip install '\.\[ray\]'"):
        build(upper, "!", units, label="stage")
