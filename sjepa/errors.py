"""The one error that users are meant to read, and how command lines end with it."""

import argparse
import contextlib
import re
import signal
import sys
from collections.abc import Callable
from typing import NoReturn


class SjepaError(ValueError):
    """Bad input: one sentence that says what is wrong, where, and what to do about it."""

    def __str__(self) -> str:
        """The sentence; of a word that is longer than any path, its beginning."""
        return re.sub(r"(\S{100})\S{300,}", r"\1…", super().__str__())


class Parser(argparse.ArgumentParser):
    """A command line whose faults are one sentence, as all others are."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and where its options are listed."""
        raise SjepaError(f"{message}; `{self.prog} --help` lists what there is")


def main_with_errors(main: Callable[[], None]) -> None:
    """Run `main`; what users can mend ends it with one sentence on stderr and no traceback.

    The status is 2, or that of the signal: of Ctrl-C, or of writing to a pipe that nobody reads.
    """
    try:
        main()
        if sys.stdout:
            sys.stdout.flush()
    except KeyboardInterrupt:
        _end("interrupted", signal.SIGINT)
    except BrokenPipeError:
        _end("nobody reads what this prints any more; files that were written are whole: "
             "the same command goes on", getattr(signal, "SIGPIPE", 0))
    except SjepaError as error:
        _end(f"error: {error}")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _end(f"error: {where}{error.strerror or error}")


def _end(sentence: str, number: int = 0) -> None:
    with contextlib.suppress(OSError):
        print(sentence, file=sys.stderr, flush=True)
    if number:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
    sys.exit(2)
