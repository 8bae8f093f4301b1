"""Take in new crawl, rebuild what it touches, commit what came out, and hand it over to `promote`.

New crawl is a file in an inbox that `incoming/crawl` does not have, or whatever the source of `crawl` brings when it
looks again (URLs and snapshots, which DVC cannot watch). Where nothing is new it ends as Cached, in seconds: no server
is started to say that. Of several at the same time one works, and the others then find nothing to do.
"""

import argparse
import contextlib
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.settings import get_current_settings
from prefect.states import Completed, Failed

from flows import command, graph, guard, history, processes, running, server, tree
from flows.build import build
from flows.promote import promote
from stages.core.errors import HeadwaterError

INCOMING = Path("incoming/crawl")


@flow(name="refresh", flow_run_name="new crawl", persist_result=False)
def refresh(inbox: str | None = None, look_again: bool = False) -> State:
    """Bring everything up to date with the crawl there is now; ends as Cached, Promoted or Kept.

    Args:
        inbox: Folder whose files are taken into incoming/crawl; they stay in the inbox too.
        look_again: Ask the source of crawl for what is new, as `dvc repro --force crawl` does.
    """
    processes.claim()
    try:
        with _alone():
            history.require_clean("a refresh")
            taken = take_in(Path(inbox)) if inbox else []
            if taken:
                get_run_logger().info("%d new files: %s", len(taken), ", ".join(map(str, taken[:5])))
            if look_again:
                _succeeded(build(stages=("crawl",), force=True, return_state=True))
            if all(stage.unchanged for stage in graph.read()):
                if not _commit():
                    return Completed(name="Cached", message="no new crawl")
            else:
                _succeeded(build(return_state=True))
                _commit()
            judged = promote(return_state=True)
            _succeeded(judged)
            return Completed(name=judged.name, message=judged.message)
    except HeadwaterError as error:
        return Failed(message=str(error))


def nothing_new(inbox: Path | None, look_again: bool) -> bool:
    """Whether there is nothing to take in, to build or to commit; changes no file that git tracks.

    Raises:
        HeadwaterError: the inbox is not there, or something is not committed.
    """
    with _alone():
        history.require_clean("a refresh")
        return (
            not (inbox and _new(inbox))
            and all(stage.unchanged for stage in graph.read())
            and (not look_again or _source_has_no_more())
        )


def _source_has_no_more() -> bool:
    """Whether the source of crawl, when asked, brings what is there; what else it brings, the flow asks for again."""
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--force", "--single-item", "crawl"]
    with tree.held():
        process = guard.start(command, {"PATH": running.search_path()}, output=sys.stderr.fileno())
        try:
            if process.wait():
                return False  # the flow will say why
        finally:
            guard.stop(process)
            process.wait()
    if history.git("status", "--porcelain", "--untracked-files=no"):
        history.git("checkout", "--quiet", "HEAD", "--", "dvc.lock", "metrics")
        return False
    return True


def take_in(inbox: Path) -> list[Path]:
    """Copy what ``incoming/crawl`` does not have from a folder, each file whole or not at all; their new paths.

    One with the name of a file that is there, and another size, is refused: what was crawled under a name stays.

    Raises:
        HeadwaterError: the inbox is not there, or has such a file.
    """
    new = _new(inbox)
    for path, target in new:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        shutil.copy2(path, partial)
        partial.replace(target)
    return [target for _, target in new]


def _new(inbox: Path) -> list[tuple[Path, Path]]:
    """The files of an inbox that ``incoming/crawl`` does not have, each with the place that it would have there."""
    if not inbox.is_dir():
        raise HeadwaterError(f"{inbox}: no such folder to take new crawl from")
    new = []
    for path in sorted(path for path in inbox.rglob("*") if path.is_file() and not path.name.startswith(".")):
        target = INCOMING / path.relative_to(inbox)
        if not target.exists():
            new.append((path, target))
        elif target.stat().st_size != path.stat().st_size:
            raise HeadwaterError(f"{path} is not the {target} that is there; give it a name of its own")
    return new


def _succeeded(state: State) -> None:
    if not state.is_completed():
        raise HeadwaterError(str(state.message))


def _commit() -> bool:
    """Commit what a build writes into files that git tracks; whether there was anything."""
    history.git("add", "--", "dvc.lock", "metrics")
    if not history.git("diff", "--cached", "--name-only"):
        return False
    history.git("commit", "--quiet", "--message", "Refresh: built with the crawl there is now")
    return True


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Wait for other refreshes of this working tree; the lock ends with its process, however that ends."""
    path = get_current_settings().home / "refresh.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another refresh is under way; waiting for it", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@command.explained
def main() -> int:
    """The command line of ``python -m flows.refresh``; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m flows.refresh", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--inbox", type=os.path.abspath, help="folder whose files are taken into incoming/crawl")
    parser.add_argument("--look-again", action="store_true", help="ask the source of crawl for what is new")
    arguments = parser.parse_args()
    inbox = arguments.inbox and Path(arguments.inbox)
    if not server.up() and nothing_new(inbox, arguments.look_again):
        print("Cached: no new crawl")
        return 0
    with server.used():
        state = refresh(arguments.inbox, arguments.look_again, return_state=True)
    print(f"error: {state.message}" if state.is_failed() else f"{state.name}: {state.message}")
    return 0 if state.is_completed() else 130 if state.is_cancelled() else 1


if __name__ == "__main__":
    sys.exit(main())
