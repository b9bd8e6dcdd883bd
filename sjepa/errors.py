"""The one error that users are meant to read."""

from __future__ import annotations


class SjepaError(ValueError):
    """Bad input: one sentence that says what is wrong, where, and what to do about it.

    The command lines print the sentence alone and exit with status 2; a traceback would bury it.
    """
