"""Two machines in this one: each has a network, a name and processes of its own; they share the file system."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NETWORK = "10.98.0"
_SETUP = """
hostname {name}
mount --bind {hosts} /etc/hosts
ip link set lo up
echo ready
cat  # until the tests end, however they do; with this first process all others of the host end
true
"""


class Host:
    """A machine named ``node0``, ``node1``, …; a process that waits holds its namespaces."""

    def __init__(self, number: int, folder: Path) -> None:
        self.name, self.address = f"node{number}", f"{NETWORK}.{number + 1}"
        setup = _SETUP.format(name=self.name, hosts=folder / "hosts")
        command = ["unshare", "--net", "--uts", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"]
        self._holder = subprocess.Popen(
            [*command, "sh", "-ec", setup], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._holder.stdout
        assert self._holder.stdout.readline() == "ready\n"
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children")
        self.pid = int(children.read_text())
        self._started: list[subprocess.Popen[str]] = []

    def start(self, command: Sequence[str | Path], **how: Any) -> "subprocess.Popen[str]":
        """Start a command on this machine, as Popen does here."""
        entered = ["nsenter", f"--target={self.pid}", "--net", "--uts", "--mount", "--pid"]
        # nsenter leaves the working folder; a signal for it is meant for what it started.
        here = f"--wdns={how.pop('cwd', Path.cwd())}"
        process = subprocess.Popen([*entered, here, "--", *map(str, command)], text=True, **how)
        self._started.append(process)
        return process

    def run(self, command: Sequence[str | Path], limit: float = 60, **how: Any) -> "subprocess.CompletedProcess[str]":
        """Run a command on this machine to its end; one that fails is an error."""
        process = self.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)
        out, err = process.communicate(timeout=limit)
        assert process.returncode == 0, out + err
        return subprocess.CompletedProcess(process.args, 0, out, err)

    def cable(self, state: str) -> None:
        """Plug the cable in (``up``) or pull it (``down``)."""
        self.run(["ip", "link", "set", "eth0", state])

    def off(self) -> None:
        """End everything on this machine."""
        self._holder.kill()
        self._holder.communicate()
        for process in self._started:
            process.wait(10)


@contextmanager
def network() -> Iterator[tuple[Host, Host]]:
    """Two machines with a cable between them; skips the test where the kernel refuses."""
    missing = [name for name in ("ip", "unshare", "nsenter") if not shutil.which(name)]
    if missing:
        pytest.skip(f"{missing[0]} is not installed: apt-get install iproute2 util-linux")
    asked = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    if asked.returncode:
        pytest.skip("this user may not make network namespaces: run as root, with CAP_SYS_ADMIN and CAP_NET_ADMIN")
    folder = Path(tempfile.mkdtemp(prefix="hosts-"))
    lines = ["127.0.0.1 localhost", *(f"{NETWORK}.{number + 1} node{number}" for number in range(2))]
    (folder / "hosts").write_text("\n".join(lines) + "\n")
    hosts: list[Host] = []
    try:
        hosts += [Host(0, folder)]
        hosts += [Host(1, folder)]
        one, other = hosts
        cable = f"ip link add eth0 type veth peer name eth0 netns {other.pid}"
        subprocess.run(["nsenter", f"--target={one.pid}", "--net", *cable.split()], check=True)
        for host in hosts:
            host.run(["ip", "address", "add", f"{host.address}/24", "dev", "eth0"])
            host.cable("up")
        yield one, other
    finally:
        for host in hosts:
            host.off()
        shutil.rmtree(folder)
