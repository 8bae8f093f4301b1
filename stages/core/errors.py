"""The kinds of error that are addressed to the user."""


class HeadwaterError(Exception):
    """Something the user can mend: one line that names the thing and the way out.

    The stage harness prints it without a traceback and exits with its code. Anything else that escapes a stage is a bug
    and keeps its traceback.
    """

    code = 1
    """Exit code of the stage."""


class PreemptedError(HeadwaterError):
    """The stage was told to stop (SIGTERM), has saved where it was, and goes on from there when it is run again.

    Its exit code is EX_TEMPFAIL of sysexits.h, "temporary failure; user is invited to retry".
    """

    code = 75
