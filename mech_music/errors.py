"""Errors that are for people: one clear line, no traceback."""


class UserError(Exception):
    """A mistake the user can mend.

    The message is one line that names the wrong value, the allowed ones and the fix.
    The command line prints it as it is and exits with status 1.
    """
