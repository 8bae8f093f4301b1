"""When a server may be asked again: what it tells one download holds for all that go on at the same time."""

import email.utils
import re
import threading
import time

from stages.core.errors import HeadwaterError
from stages.core.progress import log

FIRST_WAIT = 1.0  # seconds before the second try; doubled before each other, unless the server says how long to wait
_LONGEST_WAIT = 300.0


class LaterError(Exception):
    """The server asks to come again later, in its Retry-After perhaps."""

    def __init__(self, message: str, retry_after: str) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Patience:
    """Waits before requests, by host, for downloads in several threads."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._ended = threading.Event()

    def postpone(self, host: str, problem: Exception, said: str, failed: int) -> None:
        """Let no request go to ``host`` for a while, after ``failed`` tries in a row have brought nothing.

        Raises:
            HeadwaterError: the server asks for more time than is waited.
        """
        seconds = min(FIRST_WAIT * 2 ** (max(failed, 1) - 1), _LONGEST_WAIT)
        if isinstance(problem, LaterError) and problem.retry_after:
            seconds = seconds_asked(problem.retry_after, seconds)
        if seconds > _LONGEST_WAIT:
            raise HeadwaterError(
                f"{host}: {said} and asks to be left alone for {min(seconds, 1e7) / 3600:,.1f} hours; "
                "what has come is kept: run again then"
            )
        if seconds >= 1 and failed:
            log(f"{host}: {said}; trying again in {seconds:.0f} s")
        self._until[host] = max(self._until.get(host, 0.0), time.monotonic() + seconds)

    def wait(self, host: str) -> None:
        """Until ``host`` may be asked."""
        while (left := self._until.get(host, 0.0) - time.monotonic()) > 0:
            self._ended.wait(left)
            self.check()

    def check(self) -> None:
        """Raises a HeadwaterError once :meth:`end` was called."""
        if self._ended.is_set():
            raise HeadwaterError("the downloads were stopped; what has come is kept: run again to go on")

    def end(self) -> None:
        """Let all that goes on in other threads end soon."""
        self._ended.set()


def seconds_asked(retry_after: str, otherwise: float) -> float:
    """What a Retry-After header asks for: seconds, or a date; ``otherwise`` where it is neither."""
    if re.fullmatch(r"[0-9]+", retry_after.strip()):
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, TypeError, IndexError, OverflowError):
        return otherwise
