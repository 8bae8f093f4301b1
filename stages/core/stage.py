"""The stage harness: from a ``run`` function to a command with parameters, paths, metrics and clear errors."""

import argparse
import contextlib
import errno
import gc
import importlib
import inspect
import json
import os
import signal
import sys
import threading
import time
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from stages.core import engines, hardware
from stages.core import params as parameters
from stages.core.errors import HeadwaterError, PreemptedError
from stages.core.progress import log
from stages.core.runtime import profile
from stages.core.shards import Metrics, replace

__all__ = ["GRACE", "Metrics", "main"]

GRACE = 600
"""Seconds that processes that train together have to end their step and write a checkpoint when they are told to stop;
torchrun's own are 30."""

_LAUNCHER = "HEADWATER_LAUNCHER"  # process that started this one to train with others
_FULL = (errno.ENOSPC, errno.EDQUOT)


def main(run: Callable[..., Metrics], *, workers: bool = False, distributed: bool = False) -> None:
    """The command line of a stage: ``python -m stages.<stage> --<path> PATH … --metrics PATH``.

    Reads ``params.yaml[<stage>]``, takes each ``Path`` of ``run`` as a flag, checks that no document went missing
    without a reason, and writes the metrics. Exits with one line and code 1 on an error that the user can mend, code 75
    where it was told to stop (SIGTERM) and is to be run again, code 130 where it was interrupted.

    Args:
        run: The stage: ``run(params, *, path, …) -> Metrics``.
        workers: Whether the stage builds many shards, in worker processes where the profile asks for more than one.
        distributed: Whether the stage trains, and so runs under torchrun where the profile asks for more processes.
    """
    spec = sys.modules["__main__"].__spec__
    if spec is None:
        sys.exit(f"error: run a stage as a module from the project's root: python -m stages.{Path(sys.argv[0]).stem}")
    # By its own name, not as __main__: its functions are sent to worker processes and are part of fingerprints.
    module = importlib.import_module(spec.name)
    stage = spec.name.rpartition(".")[2]
    try:
        code = _run(stage, module.run, workers, distributed)
        gc.freeze()  # as it ends, Python would look through all that was imported once more: .3 s
        sys.exit(code)
    except HeadwaterError as error:
        reason, code = str(error), error.code
    except Exception as error:
        # On a full disk, libraries that write by themselves raise what they like.
        refused = error if isinstance(error, OSError) else _refused()
        if refused is None or not (said := _said(refused)):
            raise
        reason, code = said, 1
    except KeyboardInterrupt:
        log(f"{stage}: stopped; finished work is kept, run again to continue")
        sys.exit(130)
    log(f"error: {stage}: {reason}")
    sys.exit(code)


def _refused() -> OSError | None:
    """What the work area's disk says to a file of a megabyte, if it is full."""
    probe = profile().work / f"probe-{os.getpid()}"
    try:
        probe.write_bytes(bytes(1 << 20))
    except OSError as error:
        return error if error.errno in _FULL else None
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return None


def _said(error: OSError) -> str:
    """What a user can mend of an error of the operating system; empty where it is a bug."""
    if error.errno in _FULL:
        work = profile().work.resolve()
        return f"no space left on the disk of {work} or of the outputs; free some and run again: finished work is kept"
    if error.filename is None:
        return ""
    if error.errno == errno.EROFS:
        return f"{error.filename}: its disk can only be read; mount it to be written, or name another place"
    refused = error.errno in (errno.EACCES, errno.EPERM)
    return f"{error.filename}: permission denied; let this user read it, or write there" if refused else ""


def _run(stage: str, run: Callable[..., Metrics], workers: bool, distributed: bool) -> int:
    kind = typing.get_type_hints(run)["params"]
    paths = _paths(run)
    arguments = vars(_parser(stage, run, kind, paths).parse_args())
    target = arguments.pop("metrics")
    values = parameters.load(kind, stage)
    if workers:
        engines.prepare()
    if distributed and profile().processes > 1 and "WORLD_SIZE" not in os.environ:
        _torchrun(stage)
    if launcher := os.environ.get(_LAUNCHER):
        _end_with(int(launcher))
    hardware.begin(stage)
    metrics = run(values, **arguments)
    if int(os.environ.get("RANK", "0")) == 0:
        _write(stage, metrics, target)
        hardware.end(stage, target)
    return 0


def _torchrun(stage: str) -> NoReturn:
    """Start this stage once for each process, as torchrun does, which ends them all when one fails or it is told to."""
    # By name: what starts a stage is no part of what it makes.
    launcher = importlib.import_module("torch.distributed.run")
    elastic = importlib.import_module("torch.distributed.elastic.multiprocessing.api")
    errors = importlib.import_module("torch.distributed.elastic.multiprocessing.errors")
    os.environ[_LAUNCHER] = str(os.getpid())
    # The bare "--" keeps torchrun from taking the stage's flags for abbreviations of its own.
    options = ["--standalone", f"--nproc-per-node={profile().processes}", f"--shutdown-timeout={GRACE}"]
    try:
        launcher.main([*options, "-m", "--", f"stages.{stage}", *sys.argv[1:]])
    except elastic.SignalException as error:
        sys.exit(PreemptedError.code if error.sigval == signal.SIGTERM else 130)
    except errors.ChildFailedError as error:  # what each process had to say, it has said
        codes = {failure.exitcode for failure in error.failures.values()}
        told = PreemptedError.code in codes and codes <= {PreemptedError.code, -signal.SIGTERM}
        sys.exit(PreemptedError.code if told else 1)
    sys.exit(0)


def _end_with(launcher: int) -> None:
    """Have this process end when the one that started it is gone: killed, that ends none, and they would train on."""

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _paths(run: Callable[..., Metrics]) -> dict[str, bool]:
    """Names of the paths that ``run`` takes; true for a tuple of paths, which takes several values on one flag."""
    hints = typing.get_type_hints(run)
    names = [p.name for p in inspect.signature(run).parameters.values() if p.kind is p.KEYWORD_ONLY]
    return {name: typing.get_origin(hints[name]) is tuple for name in names}


class _Several(argparse.Action):
    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, tuple(values))


def _parser(stage: str, run: Callable[..., Metrics], kind: Any, paths: dict[str, bool]) -> argparse.ArgumentParser:
    try:
        values = parameters.load(kind, stage)
    except HeadwaterError:
        values = None
    lines = [f"{parameters.FILE}, section {stage}:", *parameters.describe(kind, values)]
    parser = argparse.ArgumentParser(
        prog=f"python -m stages.{stage}",
        description=inspect.getdoc(sys.modules[run.__module__]),
        epilog="\n".join(lines).replace("%", "%%"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    documented = _argument_docs(run)
    for name, several in paths.items():
        flag = "--" + name.replace("_", "-")
        if several:
            parser.add_argument(flag, nargs="+", type=Path, required=True, action=_Several, help=documented.get(name))
        else:
            parser.add_argument(flag, type=Path, required=True, metavar="PATH", help=documented.get(name))
    parser.add_argument("--metrics", type=Path, required=True, metavar="PATH", help="JSON file for the counts")
    return parser


def _argument_docs(run: Callable[..., Metrics]) -> dict[str, str]:
    """What the ``Args:`` section of ``run`` says of each path; one line each."""
    docs = {}
    for line in (inspect.getdoc(run) or "").splitlines():
        name, colon, meaning = line.strip().partition(": ")
        if colon and name.isidentifier():
            docs[name] = meaning.replace("%", "%%")
    return docs


def _write(stage: str, metrics: Metrics, target: Path) -> None:
    dropped = metrics.setdefault("dropped", {})
    if metrics["in"] != metrics["out"] + sum(dropped.values()):
        raise AssertionError(f"{stage}: in {metrics['in']} is not out {metrics['out']} plus dropped {dropped}")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    partial.write_text(json.dumps(metrics, indent=1, ensure_ascii=False, sort_keys=True) + "\n", "utf-8")
    replace(partial, target)
    reasons = ", ".join(
        f"{reason} {count:,}" for reason, count in sorted(dropped.items(), key=lambda kv: -kv[1]) if count
    )
    log(f"{stage}: in {metrics['in']:,}, out {metrics['out']:,}" + (f", dropped: {reasons}" if reasons else ""))
