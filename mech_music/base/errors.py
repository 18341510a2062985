"""Errors that are for people: one clear line, no traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake the user can mend.

    The message is one line that names the wrong value, the allowed ones and the fix.
    The command line prints it as it is and exits with status 1.
    """


class Refused(UserError):
    """What could not begin: nothing was made, so that nothing is kept of it."""


def first_line(error: BaseException) -> str:
    """A library's error, short enough to stand in brackets in ours: its kind and the first line of what it says."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:120]}" if text else type(error).__name__


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """``did you mean X? `` for the nearest allowed word, or nothing if none is near."""
    near = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.5)
    return f"did you mean {near[0]}? " if near else ""


def unknown(kind: str, word: str, allowed: Iterable[str], among: str = "") -> str:
    """The line for a word that is not allowed. ``among``: how the allowed ones are listed, if they are too many."""
    choices = list(allowed)
    return f"unknown {kind} '{word}'; {did_you_mean(word, choices)}Allowed: {among or ', '.join(choices)}"
