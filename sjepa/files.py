"""Files that are whole or not there: atomic writes, locks, and JSON that cannot be trusted."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sjepa.errors import SjepaError


def save_atomically(write: Callable[[Path], Any], path: Path) -> None:
    """`write(temporary path)`, then put the whole file in the place of `path`; folders are made.

    Raises:
        SjepaError: it cannot be written, for want of room perhaps; what was at `path` stays.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())  # else a power cut may leave the name and not the bytes
        os.replace(partial, path)
    except OSError as error:
        raise SjepaError(f"cannot write {path}: {error.strerror or error}; what was there before "
                         "is whole") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def make_writable(folder: Path, room: int = 0, what: str = "its checkpoints") -> None:
    """Make a folder and write into it, before hours are spent on what it shall hold.

    Raises:
        SjepaError: it cannot be made or written, or its disk has not the `room` in bytes that
            `what` needs.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise SjepaError(f"cannot write into {folder} ({error.strerror}): choose another out"
                         ) from error
    if free < room:
        raise SjepaError(f"{folder}: its disk has {free >> 20:,} MiB left, and {what} will need "
                         f"{room >> 20:,}: make room, or choose another folder")


@contextmanager
def alone(path: Path, wait: bool = True) -> Iterator[None]:
    """One process at a time makes `path`; within one it may be entered again.

    The lock is a file beside `path`, which the system frees when its process dies. It holds between
    machines too, where their shared file system has locks (NFS unless mounted with `nolock` or
    `local_lock`, Lustre with `flock`).

    Raises:
        SjepaError: another process has it, and `wait` is False.
    """
    lock = FileLock(path.with_name(f".{path.name}.lock"), is_singleton=True)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout as error:
        raise SjepaError(f"another process is at work on {path}: wait for it, or choose another "
                         "out") from error
    try:
        yield
    finally:
        if lock.lock_counter == 1:  # a process that waits for the file notices that it went
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def read_json(path: Path) -> Any:
    """What a JSON file of at most 128 MiB holds.

    Raises:
        SjepaError: it cannot be read, is too large or too deep, or is no JSON.
    """
    try:
        if path.stat().st_size > 1 << 27:
            raise ValueError("it has more than 128 MiB")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise SjepaError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SjepaError(f"{path} is damaged ({str(error)[:100]}): make or get it again") from error
