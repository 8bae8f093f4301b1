"""The one kind of error that is addressed to the user."""


class HeadwaterError(Exception):
    """Something the user can mend: one line that names the thing and the way out.

    The stage harness prints it without a traceback and exits with code 1. Anything else that escapes a stage is a bug
    and keeps its traceback.
    """
