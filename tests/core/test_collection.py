"""The work area stays within its bound, and what is in use stays in it."""

import itertools
import os
import threading
from pathlib import Path

from stages.core import runtime
from stages.core.collection import RECORD, collect


def result(name: str, size: int, used: float) -> Path:
    """A result of that many bytes, used at a time."""
    folder = runtime.profile().work / "stage" / name
    (folder / "text").mkdir(parents=True)
    (folder / "text" / "a.txt").write_bytes(bytes(size - 2))
    (folder / RECORD).write_text("{}", "utf-8")
    os.utime(folder, (used, used))
    return folder


def test_the_least_recently_used_go_and_what_is_kept_stays(profile: Path) -> None:
    file = Path(os.environ["HEADWATER_PROFILE"])
    file.write_text(file.read_text("utf-8").replace("work_limit_gb: 10", "work_limit_gb: 0.000003"), "utf-8")
    runtime.profile.cache_clear()
    old, middle, late = (result(name, 1000, used) for used, name in enumerate(("old", "middle", "late")))
    collect()
    assert old.exists()
    newest = result("newest", 500, 4)  # sizes are noted, so a fourth one is the only one that is looked at
    collect(keep=[old])
    assert [path.exists() for path in (old, middle, late, newest)] == [True, False, True, True]
    result("middle", 400, 5)  # built again, with another size
    collect()
    assert [path.exists() for path in (old, late, newest)] == [True, True, True]
    (profile / "sizes.json").write_text("torn", "utf-8")
    result("more", 2000, 6)
    collect()
    assert [path.exists() for path in (old, late, newest)] == [False, False, True]


def test_the_work_area_is_collected_while_others_build_in_it(profile: Path, tmp_path: Path) -> None:
    area = runtime.profile().work / "stage"
    results = [area / str(number) for number in range(100)]
    for result in results:
        result.mkdir(parents=True)
    ended = threading.Event()

    def others() -> None:
        for result in itertools.cycle(results):
            if ended.is_set():
                return
            partial = result.rename(result.with_suffix(".partial"))
            partial.rename(result)

    thread = threading.Thread(target=others)
    thread.start()
    try:
        for _ in range(50):
            collect()
    finally:
        ended.set()
        thread.join()
