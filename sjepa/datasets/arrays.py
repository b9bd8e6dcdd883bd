"""Arrays from npz and npy files that cannot be trusted."""

import sys
import zipfile
from pathlib import Path

import numpy as np

from sjepa.errors import SjepaError

_RATIO, _ALWAYS = 200, 1 << 26  # bytes of arrays a byte of their file, and what is always read


def read_arrays(path: Path, *names: str) -> dict[str, np.ndarray]:
    """The arrays of numbers and texts in an npz, those of `names` that it has or all; or of an npy.

    No size that the file states is believed: an array is made only where the archive has its bytes,
    and no more than a file of its length may hold. Anything else in it is a `SjepaError`.
    """
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                return {"": _read_array(file, path.stat().st_size)}
        with zipfile.ZipFile(path) as archive:
            there = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            wanted = {name: there[name] for name in names or there if name in there}
            room = max(_RATIO * path.stat().st_size, _ALWAYS)
            if sum(member.file_size for member in wanted.values()) > room:
                raise ValueError(f"it would fill more than {room:,} bytes")
            found = {}
            for name, member in wanted.items():
                with archive.open(member) as file:
                    found[name] = _read_array(file, member.file_size)
            return found
    except OSError as error:
        raise SjepaError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # damaged files raise anything
        raise SjepaError(f"{path} is no readable {path.suffix[1:]} of numbers "
                         f"({str(error)[:100] or repr(error)}): get it again") from error


def _read_array(file, size: int) -> np.ndarray:
    """The array in an open `.npy` file of `size` bytes, if those are as many as its header says."""
    version = np.lib.format.read_magic(file)
    header = {(1, 0): np.lib.format.read_array_header_1_0,
              (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if header is None:
        raise ValueError(f"version {version} of the npy format")
    shape, _, dtype = header(file)
    if dtype.kind not in "biufSU" or dtype.subdtype or not dtype.itemsize:
        raise ValueError(f"values of type {dtype}")
    if size - file.tell() != int(dtype.itemsize * np.prod(shape, dtype=object)):
        raise ValueError(f"its header states {list(shape)} of {dtype}, its size another")
    file.seek(0)
    array = np.lib.format.read_array(file)
    if dtype.kind == "U" and (array.ravel("K").view(dtype.str[0] + "u4") > sys.maxunicode).any():
        raise ValueError("letters that are none")
    return array
