"""Commands of DVC from a process that has DVC loaded, for to load it takes longer than to see to a small stage.

The process is forked for each command, and the fork is under guard as `flows.guard` has it: it leads a session and
process group of its own, and when the pipe that the flow holds is closed, on purpose or because the flow died of
whatever cause, the group is told to end (SIGTERM: training then saves where it is), and what is left of it killed.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import IO, NoReturn

from flows import guard

_REQUEST = 65536  # bytes of a command at most
_FILES = 3  # that come with it: what holds it, its output, and where its exit status goes


class Command:
    """A command under way; a `guard.Process`."""

    def __init__(self, stdin: IO[str], stdout: IO[str], status: IO[str]) -> None:
        self.stdin, self.stdout, self._status = stdin, stdout, status

    def wait(self) -> int:
        """Its exit status once it has ended; negative if it had to be killed."""
        with self._status:
            return int(self._status.read() or -signal.SIGKILL)


class Dvc:
    """A process that has DVC loaded; it ends with the one that made it."""

    def __init__(self, path: str) -> None:
        """Start it; ``path`` is where its commands find programs."""
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.warm", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PATH": path},
                start_new_session=True,
            )

    def start(self, arguments: Sequence[str]) -> Command:
        """Start DVC with ``arguments``, its output and errors on one pipe."""
        (gate, held), (output, written), (status, told) = os.pipe(), os.pipe(), os.pipe()
        try:
            socket.send_fds(self._requests, [json.dumps(arguments).encode()], [gate, written, told])
        finally:
            for end in (gate, written, told):
                os.close(end)
        return Command(os.fdopen(held, "w"), os.fdopen(output, encoding="utf-8", errors="replace"), os.fdopen(status))

    def close(self) -> None:
        """End it; commands under way go on."""
        self._requests.close()
        self._process.wait()


def _serve(requests: socket.socket) -> None:
    from dvc.cli import main, parse_args
    from dvc.repo import Repo

    Repo().close()  # loads what every command does
    parse_args(["repro"])
    forks: set[int] = set()
    while True:
        request, files, _, _ = socket.recv_fds(requests, _REQUEST, _FILES)
        forks -= {fork for fork in forks if os.waitpid(fork, 0 if not request else os.WNOHANG)[0]}
        if not request:
            return
        if fork := os.fork():
            forks.add(fork)
        else:
            requests.close()
            _guarded(main, json.loads(request), *files)
        for end in files:
            os.close(end)


def _guarded(main: Callable[[Sequence[str]], int], arguments: list[str], gate: int, output: int, told: int) -> NoReturn:
    """Run a command of DVC in a fork of this process, which guards it."""
    os.setsid()
    for standard in (1, 2):
        os.dup2(output, standard)
    os.close(output)
    command = os.fork()
    if not command:
        os.close(gate)
        os.close(told)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        sys.argv = ["dvc", *arguments]  # what its locks say of who has them
        # DVC waits for a stage that an interrupt ends, but would itself be ended by what tells a stage to save.
        signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
        status = main(arguments)
        sys.stdout.flush()
        os._exit(status)
    for standard in (1, 2):
        os.close(standard)  # the output ends with the command
    status = guard.keep(gate, lambda: os.waitstatus_to_exitcode(os.waitpid(command, 0)[1]), asked=signal.SIGTERM)
    os.write(told, str(status).encode())
    os._exit(0)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
