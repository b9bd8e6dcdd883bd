"""What the readers of the owners' text files share: finding them, reading them, naming a fault."""

import gzip
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NoReturn

import numpy as np

from sjepa.errors import SjepaError

MAX_BYTES = 1 << 27  # 128 MiB: twenty minutes of 60 joints at 30 Hz; the longest file has 3 MiB
MAX_FRAMES = 100_000  # an hour at 30 Hz, as for NTU
MAX_POSITIONS = 5_000_000  # joints in all frames: 200 joints for twelve minutes at 30 Hz
MAX_NUMBER = 1e6  # degrees, cm, inches, metres: more is broken, and may overflow later


class TextFormatError(SjepaError):
    """A file off its grammar: `FILE, line N: expected X, found Y`, with these as attributes."""

    def __init__(self, path: str, line: int, expected: str, found: str) -> None:
        super().__init__(path, line, expected, found)  # all four, so that it survives pickling
        self.path, self.line, self.expected, self.found = path, line, expected, found

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: expected {self.expected}, found {self.found}"


def walk_files(raw: Path, glob: str) -> Iterator[Path]:
    """All files below `raw` that match `glob`, also in capitals; none without such a folder."""
    def give_up(error: OSError) -> NoReturn:
        raise SjepaError(f"{error.filename} cannot be listed: {error.strerror}") from error

    for folder, _, names in os.walk(raw, onerror=give_up) if raw.is_dir() else ():
        yield from (Path(folder, name) for name in names if fnmatchcase(name.lower(), glob))


def find_files(raw: Path, glob: str, scheme: re.Pattern, like: str) -> list[Path]:
    """As `walk_files`, sorted by what `parse_name` reads; each file's name is on the scheme.

    Raises:
        SjepaError: a folder that cannot be read, a name that stands twice, or as `parse_name`.
    """
    found: dict[str, Path] = {}
    for path in sorted(walk_files(raw, glob)):
        name = parse_name(path, scheme, like)[0]
        if name in found:
            raise SjepaError(f"{found[name]} and {path} have the same name: remove one")
        found[name] = path
    return [found[name] for name in sorted(found)]


def parse_name(path: Path, scheme: re.Pattern, like: str) -> re.Match:
    """The match of `scheme` with the name of `path` without its suffix; `like` is a good name.

    With as many of its folders before it as the scheme has slashes.

    Raises:
        SjepaError: the name is off the scheme.
    """
    parts = path.with_suffix("").parts[-1 - scheme.pattern.count("/") :]
    match = scheme.fullmatch("/".join(parts))
    if match is None:
        raise SjepaError(f"{path} is off the owners' naming scheme: expected a name like {like}")
    return match


def read_list(name: str) -> list[list[str]]:
    """The rows of a file in `sjepa/datasets/lists`, tab-separated; comments are left out."""
    text = (Path(__file__).parent / "lists" / name).read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines() if not line.startswith("#")]


@dataclass(frozen=True)
class TextFile:
    """The lines of a file, without their ends, and the way to say what is wrong in one of them."""

    path: str
    lines: list[str]

    def fail(self, line: int, expected: str, found: str) -> NoReturn:
        """Raise a `TextFormatError`; what comes from the file is cut to a readable length."""
        expected, found = (re.sub(r"[\x00-\x1f\x7f]", "?", text) for text in (expected, found))
        raise TextFormatError(self.path, line, expected[:160], found[:60])

    def bound(self, frames: int, joints: int) -> None:
        """Refuse a file whose positions would fill the memory."""
        if frames * joints > MAX_POSITIONS:
            raise SjepaError(f"{self.path} has {frames:,} frames of {joints:,} joints, more than "
                             f"{MAX_POSITIONS:,} positions: cut it")

    def rows(self) -> list[tuple[int, str]]:
        """Line number, from 1, and text of each line that is not blank."""
        return [(line, text) for line, text in enumerate(self.lines, 1) if text.strip()]

    def numbers(self, line: int, words: list[str], count: int, expected: str,
                limit: float = MAX_NUMBER) -> list[float]:
        """`words` of a line as `count` numbers within `limit`, as `table` has it."""
        bad = [repr(word) for word in words if not _is_number(word, limit)]
        if bad or len(words) != count:
            self.fail(line, expected, bad[0] if bad else f"{len(words)} fields")
        return [float(word) for word in words]

    def table(self, rows: list[tuple[int, str]], columns: int, expected: str,
              limit: float = MAX_NUMBER) -> np.ndarray:
        """Numbers `[len(rows), columns]` float64 of (line number, text) pairs, read at once.

        Those of more than `limit` in size are faults; infinity lets anything pass, NaN too.
        """
        try:
            values = np.loadtxt([text for _, text in rows], np.float64, comments=None, ndmin=2)
        except ValueError:
            values = np.empty((0, 0))
        if values.shape != (len(rows), columns) or not _within(values, limit).all():
            values = np.array([  # word by word, to name the fault
                self.numbers(line, text.split(), columns, expected, limit) for line, text in rows])
        return values.reshape(len(rows), columns)

    def frames(self, joints: int, columns: int, expected: str,
               limit: float = MAX_NUMBER) -> np.ndarray:
        """Numbers `[T, joints, columns]` float64 of a file with a row a joint; commas may part."""
        rows = [(line, text.replace(",", " ")) for line, text in self.rows()]
        if not 0 < len(rows) <= MAX_FRAMES * joints or len(rows) % joints:
            self.fail(len(self.lines), f"{joints} rows a frame", f"{len(rows)} rows")
        return self.table(rows, columns, expected, limit).reshape(-1, joints, columns)


def _within(values: np.ndarray, limit: float) -> np.ndarray:
    return (limit == np.inf) | (np.abs(values) <= limit)  # false for NaN where there is a limit


def _is_number(word: str, limit: float) -> bool:
    try:  # Python reads 1_0 too, and the digits of any script
        return word.isascii() and "_" not in word and bool(_within(np.float64(word), limit))
    except ValueError:
        return False


def read_text(path: str | os.PathLike) -> TextFile:
    """Reads a text file, also a `.gz`; lines end in LF or CRLF or both.

    It should be UTF-8; other letters, in comments and names, become question marks.

    Raises:
        SjepaError: it cannot be read, or is too large.
    """
    try:
        with (gzip.open if os.fspath(path).endswith(".gz") else open)(path, "rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise SjepaError(f"{path} has more than {MAX_BYTES >> 20} MiB, far more than any "
                             "recording: get it again, or cut it")
        text = raw.decode("utf-8-sig", errors="replace")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SjepaError(f"{path} is no whole gzip file ({error}): get it again") from error
    except OSError as error:
        raise SjepaError(f"{path} cannot be read: {error.strerror}") from error
    return TextFile(os.fspath(path), text.replace("\r\n", "\n").split("\n"))
