"""What runs leave behind: memory of the Prefect server and size of its database, over builds that find nothing to do.

    python -m tests.benchmarks.server_growth [--runs 200] [--stages 12]

Prints both every tenth of the runs, and what one run adds. Old runs are removed after 90 days (flows/service.py).
"""

import argparse
import logging
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.flows import ROOT, chain, served

# Builds one after the other in one process: what a server keeps of a run is the same, and takes a fifth of the time.
_BUILDS = """
import sys
from flows.build import build
for _ in range(int(sys.argv[1])):
    assert build(return_state=True).is_completed()
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--stages", type=int, default=12)
    arguments = parser.parse_args()
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        project = chain(Path(folder, "project"), arguments.stages)
        (project / "text0").write_text("text")
        subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], cwd=project, check=True)
        home = Path(folder, "prefect")
        server, url = served(home)
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PREFECT_HOME": str(Path(folder, "client")),
            "PREFECT_API_URL": f"{url}/api",
        }
        try:
            print(f"runs of {arguments.stages} stages   server MB   database MB")
            step = max(arguments.runs // 10, 1)
            sizes = [_sizes(server.pid, home)]
            for number in range(step, arguments.runs + 1, step):
                command = [sys.executable, "-c", _BUILDS, str(step)]
                subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True)
                sizes.append(_sizes(server.pid, home))
                print(f"{number:17} {sizes[-1][0]:13.0f} {sizes[-1][1]:13.2f}", flush=True)
            half = len(sizes) // 2
            memory, database = (
                (sizes[-1][kind] - sizes[half][kind]) / step / (len(sizes) - 1 - half) for kind in (0, 1)
            )
            print(f"one run of the second half adds {1000 * memory:.0f} kB of memory, {1000 * database:.0f} kB on disk")
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


def _sizes(pid: int, home: Path) -> tuple[float, float]:
    """Resident memory of the server, and its database with what is not yet merged into it, in MB."""
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resident / 1e6, sum(path.stat().st_size for path in home.glob("prefect.db*")) / 1e6


if __name__ == "__main__":
    main()
