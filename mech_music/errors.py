"""Errors that are for people: one clear line, no traceback."""


class UserError(Exception):
    """A mistake the user can mend.

    The message is one line that names the wrong value, the allowed ones and the fix.
    The command line prints it as it is and exits with status 1.
    """


def first_line(error: BaseException) -> str:
    """A library's error, short enough to stand in brackets in ours: its kind and the first line of what it says."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:120]}" if text else type(error).__name__
