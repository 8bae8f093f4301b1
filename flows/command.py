"""Flows as commands: what their users can mend is one line, and the last line of a search says what it found."""

import errno
import functools
import shutil
import sys
from collections.abc import Callable
from typing import ParamSpec

import httpx
from prefect.client.schemas.objects import State
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import get_current_settings

from stages.core.errors import HeadwaterError

_FULL = 1_000_000  # bytes that a disk has left when writes to it fail
_KEPT = "what is finished is kept, run again to continue"

_Arguments = ParamSpec("_Arguments")


def explained(main: Callable[_Arguments, int]) -> Callable[_Arguments, int]:
    """Have a command end with a line and exit status 1 where its user can mend what is wrong, and 130 on Ctrl-C."""

    @functools.wraps(main)
    def run(*arguments: _Arguments.args, **named: _Arguments.kwargs) -> int:
        try:
            return main(*arguments, **named)
        except KeyboardInterrupt:
            return 130
        except HeadwaterError as error:
            reason = str(error)
        except (OSError, httpx.TransportError, PrefectHTTPStatusError) as error:
            home = get_current_settings().home.resolve()
            if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or shutil.disk_usage(home).free < _FULL:
                reason = f"no space left on the disk of {home}; free some: {_KEPT}"
            elif isinstance(error, httpx.TransportError):
                reason = f"the Prefect server does not answer any more; {_KEPT}"
            else:
                raise
        print(f"error: {reason}", file=sys.stderr)
        return 1

    return run


def ended(state: State) -> int:
    """Print how a search ended; the exit status: 0, 1 where it failed, 130 where it was stopped."""
    print(state.message if state.is_completed() else f"error: {state.message}", file=sys.stderr)
    return 0 if state.is_completed() else 130 if state.is_cancelled() else 1
