"""A clock that is set while a build is under way: the build ends as ever, and so do its tasks on the server."""

import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.flows.conftest import Project, Server

# A clock that goes by as many seconds ahead of the machine's as a file says. libfaketime also bends what measures
# durations, and has sleep fail.
CLOCK = """
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long ahead(void) {
    char text[32] = {0};
    int file = open(getenv("CLOCK_AHEAD"), O_RDONLY);
    if (file >= 0 && read(file, text, sizeof text - 1) < 0) abort();
    close(file);
    return atol(text);
}

int clock_gettime(clockid_t id, struct timespec *now) {
    int status = syscall(SYS_clock_gettime, id, now);
    if (status == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += ahead();
    return status;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    int status = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return status;
}

time_t time(time_t *out) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (out) *out = exact.tv_sec;
    return exact.tv_sec;
}
"""


@pytest.fixture
def clock(project: "Project", tmp_path: Path) -> Path:
    """The file that says by how many seconds the clock of the project's builds is ahead."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler, for a clock that can be set: apt-get install gcc libc6-dev")
    source, library, ahead = (tmp_path / name for name in ("clock.c", "clock.so", "ahead"))
    source.write_text(CLOCK)
    ahead.write_text("0")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, source], check=True)
    project.environment.update(LD_PRELOAD=str(library), CLOCK_AHEAD=str(ahead))
    return ahead


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [-3600, 86400], ids=["back-an-hour", "forward-a-day"])
def test_a_clock_that_is_set_leaves_no_task_open(
    project: "Project", server: "Server", clock: Path, seconds: int
) -> None:
    project.write("slow", "left")
    build = project.start()
    deadline = time.monotonic() + 100
    while not (project.root / "pids").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    clock.write_text(str(seconds))
    (project.root / "slow").unlink()
    said, _ = build.communicate(timeout=200)
    assert build.returncode == 0, said
    run = server.last_run()
    assert run["state_name"] == "Completed"
    tasks = server.tasks(run["id"])
    assert {name: task["state_name"] for name, task in tasks.items()} == dict.fromkeys(
        ["source", "left", "right", "joined"], "Completed"
    )
    clock.write_text("0")
    project.build()
    assert sorted(project.ran()) == ["joined", "left", "right", "source"]
