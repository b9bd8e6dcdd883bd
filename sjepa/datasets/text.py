"""What the readers of the owners' text files share: finding them, reading them, naming a fault."""

from __future__ import annotations

import fnmatch
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from sjepa.errors import SjepaError

MAX_BYTES = 1 << 27  # 128 MiB: twenty minutes of 60 joints at 30 Hz; the longest file has 3 MiB
MAX_FRAMES = 100_000  # an hour at 30 Hz, as for NTU
MAX_NUMBER = 1e6  # degrees, cm, inches, metres: more is broken, and may overflow later


class TextFormatError(SjepaError):
    """A file off its grammar: `FILE, line N: expected X, found Y`.

    Attributes:
        path: the file, as the caller gave it.
        line: line number, counted from 1.
        expected: what the grammar wants there.
        found: what is there.
    """

    def __init__(self, path: str, line: int, expected: str, found: str) -> None:
        super().__init__(path, line, expected, found)  # all four, so that it survives pickling
        self.path, self.line, self.expected, self.found = path, line, expected, found

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: expected {self.expected}, found {self.found}"


# --- finding ------------------------------------------------------------------------------------


def walk_files(raw: Path, glob: str) -> Iterator[Path]:
    """All files below `raw` whose names match `glob`; none if there is no such folder.

    Args:
        raw: a folder.
        glob: such as `*.bvh`, in capitals or not: public copies hold a few `.AMC`.

    Raises:
        SjepaError: a folder that cannot be read.
    """

    def give_up(error: OSError) -> NoReturn:
        raise SjepaError(f"{error.filename} cannot be listed: {error.strerror}") from error

    matches = re.compile(fnmatch.translate(glob), re.IGNORECASE).fullmatch
    for folder, _, names in os.walk(raw, onerror=give_up) if raw.is_dir() else ():
        yield from (Path(folder, name) for name in filter(matches, names))


def find_files(raw: Path, glob: str, scheme: re.Pattern, like: str) -> list[Path]:
    """As `walk_files`, sorted by name, every name on the scheme and there once.

    Args:
        raw, glob: see `walk_files`.
        scheme: what their names without suffix must match as a whole.
        like: a good name, for the message.

    Raises:
        SjepaError: a folder that cannot be read, a name off the scheme, or one that stands twice.
    """
    found: dict[str, Path] = {}
    for path in walk_files(raw, glob):
        parse_name(path, scheme, like)
        if path.stem in found:
            one, other = sorted((path, found[path.stem]))
            raise SjepaError(f"{one} and {other} have the same name: remove one")
        found[path.stem] = path
    return [found[name] for name in sorted(found)]


def parse_name(path: Path, scheme: re.Pattern, like: str) -> tuple[str, ...]:
    """The groups of `scheme` in the name of `path` without its suffix.

    Raises:
        SjepaError: the name is off the scheme.
    """
    match = scheme.fullmatch(path.stem)
    if match is None:
        raise SjepaError(f"{path} is off the owners' naming scheme: expected a name like {like}")
    return match.groups()


def read_list(name: str) -> list[list[str]]:
    """The rows of a file in `sjepa/datasets/lists`, tab-separated; comments are left out."""
    text = (Path(__file__).parent / "lists" / name).read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines() if not line.startswith("#")]


# --- reading ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TextFile:
    """The lines of a file, without their ends, and the way to say what is wrong in one of them."""

    path: str
    lines: list[str]

    def fail(self, line: int, expected: str, found: str) -> NoReturn:
        """Raise a `TextFormatError`; what comes from the file is cut to a readable length."""
        raise TextFormatError(self.path, line, _short(expected, 160), _short(found, 60))

    def words(self) -> Iterator[tuple[int, list[str]]]:
        """Line number, from 1, and blank-separated words of each line that is not blank."""
        split = ((number, line.split()) for number, line in enumerate(self.lines, 1))
        return ((number, words) for number, words in split if words)

    def numbers(self, line: int, words: list[str], count: int, expected: str) -> list[float]:
        """`words` of a line as `count` finite numbers of at most `MAX_NUMBER` in size."""
        if len(words) != count:
            self.fail(line, expected, f"{len(words)} fields")
        values = [to_number(word) for word in words]
        for word, value in zip(words, values, strict=True):
            if not abs(value) <= MAX_NUMBER:  # false for NaN too
                self.fail(line, expected, repr(word))
        return values

    def table(self, rows: list[tuple[int, str]], columns: int, expected: str) -> np.ndarray:
        """Numbers `[len(rows), columns]` float64 of (line number, text) pairs, read at once.

        Where that fails, they are read once more word by word, to name the fault.
        """
        try:
            values = np.loadtxt([text for _, text in rows], np.float64, comments=None, ndmin=2)
        except ValueError:
            values = np.empty((0, 0))
        if values.shape == (len(rows), columns) and (np.abs(values) <= MAX_NUMBER).all():
            return values
        careful = [self.numbers(line, text.split(), columns, expected) for line, text in rows]
        return np.array(careful, np.float64).reshape(-1, columns)


def _short(text: str, length: int) -> str:
    text = re.sub(r"[\x00-\x1f\x7f]", "?", text)
    return text if len(text) <= length else text[: length - 3] + "..."


def to_number(word: str) -> float:
    """A decimal number; NaN for anything else."""
    try:  # float() takes 1_000 and the digits of all scripts, the grammars do not
        return float(word) if word.isascii() and "_" not in word else math.nan
    except ValueError:
        return math.nan


def read_text(path: str | os.PathLike, limit: int = MAX_BYTES) -> TextFile:
    """Reads a text file: UTF-8 or else Latin-1, lines that end in LF or CRLF, also mixed.

    Args:
        path: the file.
        limit: bytes; a larger file is not read.

    Raises:
        SjepaError: it cannot be read, or is too large.
    """
    name = os.fspath(path)
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size > limit:
                raise SjepaError(f"{name} has more than {limit >> 20} MiB, far more than any "
                                 "recording: get it again, or cut it")
            raw = file.read()
    except OSError as error:
        raise SjepaError(f"{name} cannot be read: {error.strerror}") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:  # comments and names from programs of the nineties
        text = raw.decode("latin-1")
    return TextFile(name, text.replace("\r\n", "\n").split("\n"))
