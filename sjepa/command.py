"""How the command lines end: one sentence and status 2 for bad input, no traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from .errors import SjepaError


def main_with_errors(main: Callable[[], None]) -> None:
    """Run `main`; turn the errors that users are meant to read into one line on stderr."""
    try:
        main()
    except SjepaError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
