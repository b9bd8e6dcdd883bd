"""The one error that users are meant to read, and how command lines end with it."""

from __future__ import annotations

import sys
from collections.abc import Callable


class SjepaError(ValueError):
    """Bad input: one sentence that says what is wrong, where, and what to do about it."""


def main_with_errors(main: Callable[[], None]) -> None:
    """Run `main`; bad input ends it with one sentence on stderr and status 2, no traceback."""
    try:
        main()
    except SjepaError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
