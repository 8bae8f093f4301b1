"""A cluster of Debian's Slurm, started for a test: its controller and nodes on the two machines of hosts.py."""

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.engines.hosts import Host

# No control groups: containers and test machines often have none. A job that is queued again waits for as long as a
# step's credential lasts, two minutes where nothing else is said. Nodes that do not answer are given up in seconds.
_CONFIGURATION = """
ClusterName=headwater
SlurmctldHost={controller.name}({controller.address})
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,bf_interval=2
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=10
KillWait=30
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
GresTypes=gpu
NodeName={names} CPUs=2 RealMemory=8000 Gres=gpu:1 State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=120
PartitionName=urgent Nodes=ALL State=UP PriorityTier=2
"""


class Cluster:
    """Slurm on some hosts, the first of which is its controller too.

    Args:
        hosts: Its nodes.
        folder: With a short path, for sockets; made by the caller.
    """

    def __init__(self, hosts: Sequence[Host], folder: Path) -> None:
        self.hosts, self.folder = hosts, folder
        (folder / "state").mkdir()
        names = ",".join(host.name for host in hosts)
        configuration = _CONFIGURATION.format(controller=hosts[0], folder=folder, names=names)
        (folder / "slurm.conf").write_text(configuration)
        (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")  # a GPU for the asking
        (folder / "munge.key").write_bytes(secrets.token_bytes(128))
        (folder / "munge.key").chmod(0o400)
        path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": path}
        munge = {name: f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")}
        self._start(hosts[0], ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *munge.values()])
        self._until((folder / "munge.socket").exists, "munged")
        self._start(hosts[0], ["slurmctld", "-D"])
        for host in hosts:
            (folder / f"spool-{host.name}").mkdir()
            self._start(host, ["slurmd", "-D", "-N", host.name])
        self._until(lambda: self.run("sinfo", "--noheader", "--format=%D %t") == f"{len(hosts)} idle", "the nodes")

    def run(self, *command: str | Path, folder: Path | None = None) -> str:
        """What a command of Slurm says on the controller's machine."""
        cwd = folder or self.folder
        return self.hosts[0].run(command, env=self.environment, cwd=cwd).stdout.strip()

    def _start(self, host: Host, command: Sequence[str]) -> None:
        with (self.folder / f"{command[0]}-{host.name}.out").open("w") as said:
            host.start(command, env=self.environment, cwd=self.folder, stdout=said, stderr=said)

    def _until(self, there: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + 200
        while True:
            try:
                if there():
                    return
            except AssertionError:  # a command that finds no controller yet
                pass
            said = "\n".join(path.read_text()[-2000:] for path in self.folder.glob("*.log"))
            assert time.monotonic() < deadline, f"{what} did not start: {said}"
            time.sleep(0.2)


@contextmanager
def cluster(hosts: Sequence[Host]) -> Iterator[Cluster]:
    """A cluster that ends with the test; skips it where Slurm is missing."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if not shutil.which(name, path=path)]
    if missing:
        pytest.skip(f"{missing[0]} is not installed: apt-get install slurm-wlm munge")
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)
    try:
        yield Cluster(hosts, folder)
    finally:
        for host in hosts:
            host.off()
        shutil.rmtree(folder)
