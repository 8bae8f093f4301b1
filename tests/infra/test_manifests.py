"""Containers and manifests: against published schemas where those are installed, and the rest of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows import service
from stages.core.stage import GRACE
from stages.training.planning import launch

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "infra" / "kubernetes"


def manifests() -> list[Any]:
    """All objects of infra/kubernetes."""
    files = [path for path in sorted(KUBERNETES.glob("*.yaml")) if path.name != "kustomization.yaml"]
    return [one for path in files for one in yaml.safe_load_all(path.read_text())]


def named(kind: str, name: str) -> Any:
    """One of them."""
    metadata = [(one["kind"], one["metadata"].get("name", one["metadata"].get("generateName"))) for one in manifests()]
    return manifests()[metadata.index((kind, name))]


def pods() -> list[Any]:
    """What the pods of all of them are."""
    return [
        template["template"]["spec"]
        for one in manifests()
        if "template" in (template := one.get("spec", {})) or (template := jobs(one))
    ]


def jobs(manifest: Any) -> Any:
    """The job of a JobSet; empty of anything else."""
    replicated = manifest.get("spec", {}).get("replicatedJobs")
    return replicated[0]["template"]["spec"] if replicated else {}


def compose() -> Any:
    """infra/compose.yaml."""
    return yaml.safe_load((ROOT / "infra" / "compose.yaml").read_text())


def program(name: str) -> str:
    """A program that is installed; the test is skipped otherwise."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"needs {name}: see infra/README.md")
    return found


def test_manifests_are_what_kubernetes_takes() -> None:
    schemas = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate: see infra/README.md")
    for manifest in manifests():
        if manifest["kind"] == "JobSet":  # its jobs are plain ones; the JobSet itself is no part of Kubernetes
            manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "one"}, "spec": jobs(manifest)}
        schemas.validate(manifest, "1.34", strict=True)
    wrong = named("Job", "data-")
    wrong["spec"]["template"]["spec"]["restartPolice"] = "Never"
    with pytest.raises(schemas.ValidationError):
        schemas.validate(wrong, "1.34", strict=True)


def test_no_pod_is_root_or_has_rights_in_the_cluster() -> None:
    assert len(pods()) == 5
    for pod in pods():
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }


def test_machines_of_the_training_job_are_those_that_the_planner_starts() -> None:
    job = jobs(named("JobSet", "pretrain-"))
    container = job["template"]["spec"]["containers"][0]
    gpus = int(next(one["value"] for one in container["env"] if one["name"] == "GPUS"))
    place = launch.machines(gpus, int(container["resources"]["limits"]["nvidia.com/gpu"]))
    assert place.count == job["parallelism"] == job["completions"]
    assert container["ports"][0]["containerPort"] == launch.PORT
    # What the planner's command leaves to its surroundings, the container's script sets.
    for name in ("HEAD", "RANK"):
        assert f'="${name}"' in launch.torchrun(place)
        assert f"{name}=" in container["command"][-1]


def test_the_training_job_has_time_to_save_before_it_is_killed_by_kubernetes_or_by_torchrun() -> None:
    pod = jobs(named("JobSet", "pretrain-"))["template"]["spec"]
    environment = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}
    patience = int(environment.get("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", 30))  # torchrun's own
    assert GRACE <= patience < pod["terminationGracePeriodSeconds"]


def test_pool_and_settings_of_the_server_are_those_of_make_up() -> None:
    pool = yaml.safe_load((ROOT / service.DEPLOYMENTS).read_text())["definitions"]["pool"]["name"]
    worker = named("Deployment", "worker")["spec"]["template"]["spec"]["containers"][0]
    assert worker["command"][-1] == compose()["services"]["worker"]["command"][-1] == pool
    server = named("Deployment", "prefect")["spec"]["template"]["spec"]["containers"][0]
    environment = {one["name"]: one.get("value") for one in server["env"]}
    for name, value in service.SETTINGS.items():
        assert environment[name] == compose()["services"]["server"]["environment"][name] == value


def test_the_worker_for_stages_on_a_gpu_and_the_deployment_that_is_described_are_of_one_pool() -> None:
    readme = (ROOT / "infra" / "README.md").read_text()
    (described,) = re.findall(r"    - name: (\w+)\n      entrypoint: flows/build.py:build_one\n.*name: (\w+)}", readme)
    worker = named("Deployment", "gpu-worker")["spec"]["template"]["spec"]["containers"][0]
    assert described == (worker["command"][-1],) * 2
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_compose_has_no_secret_and_is_reached_from_this_machine_alone(tmp_path: Path) -> None:
    for one in compose()["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in one.get("ports", []))
        secret = [
            name for name in one.get("environment", {}) if name.endswith(("PASSWORD", "SECRET_KEY", "AUTH_STRING"))
        ]
        assert all("${HEADWATER_" in one["environment"][name] for name in secret)
    command = [program("docker-compose"), "--file", str(ROOT / "infra" / "compose.yaml")]
    example = ["--env-file", str(ROOT / "infra" / "compose.env"), "config", "--quiet"]
    done = subprocess.run([*command, *example], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (tmp_path / "empty").touch()
    empty = ["--env-file", str(tmp_path / "empty"), "config", "--quiet"]
    without = subprocess.run([*command, *empty], capture_output=True, text=True, check=False)
    assert without.returncode != 0
    assert any(hint in without.stderr for hint in ("letters and digits", "of the Prefect UI", "of the S3 store"))


def test_the_dockerfile_is_linted() -> None:
    done = subprocess.run(
        [program("hadolint"), str(ROOT / "infra" / "docker" / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
