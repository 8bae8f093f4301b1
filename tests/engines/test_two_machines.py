"""Training on two machines by the command that the planner prints, whose cable is pulled in the middle."""

import os
import subprocess
from pathlib import Path

import pytest

from stages.training.planning import launch
from tests.engines import training
from tests.engines.hosts import Host, network

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

PATIENCE = 15
"""Seconds after which a machine is given up."""


def started(hosts: tuple[Host, Host], folder: Path, variables: dict[str, str]) -> "list[subprocess.Popen[str]]":
    """The planner's command on both machines; each writes a log named for it."""
    command = ["bash", "-c", launch.torchrun(training.PLACE)]
    processes = []
    for number, host in enumerate(hosts):
        environment = {**os.environ, **variables, "HEAD": hosts[0].name, "RANK": str(number)}
        with (folder / f"{host.name}.log").open("a") as log:
            processes.append(host.start(command, cwd=folder, env=environment, stdout=log, stderr=log))
    return processes


def test_a_machine_that_is_cut_off_ends_the_run_and_the_next_one_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = training.undisturbed(tmp_path / "whole")
    folder = tmp_path / "project"
    variables = training.prepare(folder, f"lost_after: {PATIENCE}\n")
    monkeypatch.chdir(folder)  # for the flags that dvc.yaml gives the stage
    with network() as hosts:
        logs = [folder / f"{host.name}.log" for host in hosts]
        first = started(hosts, folder, variables)
        training.until(lambda: training.reached(folder, 2 * training.EVERY), logs[0].read_text)
        hosts[1].cable("down")
        codes = [process.wait(240) for process in first]  # whose machine is still alone
        assert codes == [1, 1]
        for log in logs:
            said = log.read_text()
            assert said.count("error: pretrain: another process of this training") == 1, said
        assert not (folder / "run.model").exists()
        assert not (folder / "run.json").exists()
        hosts[1].cable("up")
        again = started(hosts, folder, variables)
        assert [process.wait(600) for process in again] == [0, 0], logs[0].read_text() + logs[1].read_text()
        assert "pretrain: continues at step" in logs[0].read_text()
    assert training.files(folder) == undisturbed
