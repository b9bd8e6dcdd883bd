"""What tests of several rooms share: commands, damaged files, the open sets where they are."""

import contextlib
import errno
import io
import os
import random
import runpy
import signal
import struct
import sys
import warnings
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
from torch.testing import assert_close

from sjepa.config import ROOT, data_dir
from sjepa.errors import SjepaError
from sjepa.files import alone


def command(module: str, *args, cwd: Path) -> SimpleNamespace:
    """What `python -m MODULE …` comes to, in this process: `returncode`, `stdout`, `stderr`."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with (contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err),
          mock.patch.object(sys, "argv", [module, *map(str, args)]), warnings.catch_warnings()):
        warnings.simplefilter("ignore", RuntimeWarning)  # the module is loaded already
        try:
            runpy.run_module(module, run_name="__main__")
        except SystemExit as ended:
            status = ended.code
    return SimpleNamespace(returncode=status, stdout=out.getvalue(), stderr=err.getvalue())


def forked(log: Path, work: Callable, *args) -> BaseProcess:
    """A child that has all loaded, in a session of its own, does `work` and speaks into `log`."""
    def child():
        os.setsid()
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        sys.stdout, sys.stderr = open(1, "w"), open(2, "w")
        work(*args)

    process = get_context("fork").Process(target=child)
    process.start()
    return process


@contextlib.contextmanager
def another_at_work(path: Path):
    """Another process makes `path`, and dies at the end of the block."""
    ready = get_context("fork").Event()

    def child():
        with alone(path):
            ready.set()
            signal.pause()

    process = get_context("fork").Process(target=child)
    process.start()
    try:
        assert ready.wait(60)
        yield
    finally:
        process.kill()
        process.join()


def full_disk(*_, **__):
    """What a write to a full disk raises."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def assert_same_weights(mine, theirs, atol=2e-6, rtol=1e-4) -> None:
    """Of two networks; without biases of keys, which shift no softmax.

    Their gradient is rounding alone, which AdamW then brings to full size.
    """
    mine, theirs = ({name: value for name, value in network.state_dict().items()
                     if not name.endswith("qkv.bias")} for network in (mine, theirs))
    assert_close(mine, theirs, atol=atol, rtol=rtol)


def poison(data, clips) -> None:
    """Make each of the `clips` of a store on a device NaN: a result that is finite read none."""
    for clip in clips:
        for start in data.offsets[clip]:
            if start >= 0:
                data.frames[start : start + data.lengths[clip]] = float("nan")


def swap(old: str, new: str):
    """A change of a text: the first `old` becomes `new`."""
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


def edit(line: int, new, field: int | None = None, mark: str = " "):
    """A change of a text: line number `line` becomes `new`, or its word `field` the words `new`."""
    def change(text: str) -> str:
        rows = text.split("\n")
        words = rows[line - 1].split(mark)
        rows[line - 1] = new if field is None else mark.join(
            [*words[:field], *new, *words[field + 1 :]])
        return "\n".join(rows)

    return change


def damage(path: Path, change: Callable[[str], str]) -> None:
    """Change a file's text, each letter of which is a byte."""
    path.write_bytes(change(path.read_bytes().decode("latin-1")).encode("latin-1"))


def listing(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@contextlib.contextmanager
def refused(said: str, folder: Path | None = None):
    """The block ends in a sentence that matches `said`, and changes nothing below `folder`."""
    def there():
        return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}

    before = there() if folder else None
    with pytest.raises(SjepaError, match=said) as caught:
        yield caught
    assert "\n" not in str(caught.value)
    assert not folder or there() == before


WORDS = [b"", b"nan", b"inf", b"1e999", b"-1", b"0", b"9" * 30, b"9" * 5000, b"1.5", b"{", b"}",
         b"[", b"end", b"\x00", b"\xff", b"\xef\xbb\xbf", b"[" * 3000, b"1_0", b"0x10",
         "é٣".encode()]
SIZES = [0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF]


def changed(data: bytes, rng: random.Random) -> bytes:
    """One to four changes of bytes, numbers, words, lines or blocks."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, kind = rng.randrange(len(data) + 1), rng.randrange(8)
        if kind == 0:
            data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at]
        elif kind == 2:
            data = data[:at] + struct.pack("<I", rng.choice(SIZES)) + data[at + 4 :]
        elif kind == 3:  # a block again, or gone
            end = min(len(data), at + rng.choice((1, 16, 1000)))
            data = data[:at] + data[at:end] * rng.choice((0, 2, 3)) + data[end:]
        elif kind == 4:
            data = data[:at] + rng.choice(WORDS) + data[at:]
        else:
            data = _in_a_line(data, rng)
    return data


def _in_a_line(data: bytes, rng: random.Random) -> bytes:
    """A word of a line replaced, or a line gone, doubled or moved."""
    rows = data.split(b"\n")
    line = rng.randrange(len(rows))
    row, kind = rows.pop(line), rng.randrange(5)
    if kind < 3:
        between = b"," if b"," in row else b" "
        words = row.split(between)
        words[rng.randrange(len(words))] = rng.choice(WORDS)
        rows.insert(line, between.join(words))
    elif kind == 3:
        rows[line:line] = [row] * rng.choice((0, 2))
    else:
        rows.insert(rng.randrange(len(rows) + 1), row)
    return b"\n".join(rows)


def open_folder(what: str) -> Path:
    """The folder of the open sets that has `what` in it; skips without."""
    for place in (data_dir(), ROOT.parent / "shared" / "data"):
        if (place / what).exists():
            return place
    pytest.skip(f"the open sets are not here: set SJEPA_DATA to the folder that has {what}")


def raw_samples(name: str) -> tuple[Path, Path]:
    """The folder of the open sets, and the one of raw samples of set `name`; skips without."""
    place = open_folder(f"raw-samples/{name}")
    return place, place / "raw-samples" / name
