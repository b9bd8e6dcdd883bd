"""Takes the data files out of a zip file that came from elsewhere, and nothing else.

The archive is not trusted: a name that leaves the folder, a link or a device, a file that is there
twice, more bytes than expected, and the whole archive is refused. No code of it runs, no file of it
becomes executable.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from sjepa.errors import SjepaError

_ABOUT = re.compile(r"(licen[cs]e|copying|read.?me).*", re.IGNORECASE)


def _why_unsafe(info: zipfile.ZipInfo) -> str:
    """Why a member must not be unpacked; empty if it may be."""
    # A backslash or a drive letter means nothing here and a place elsewhere on Windows.
    if re.match(r"/|[A-Za-z]:", info.filename) or "\\" in info.filename:
        return "is an absolute path or none of a zip file"
    if ".." in PurePosixPath(info.filename).parts:
        return "leads out of the folder"
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if info.flag_bits & 1:
        return "is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed in an unusual way"
    return ""


def _wanted(info: zipfile.ZipInfo, suffixes: tuple[str, ...]) -> bool:
    """True for a data file, a licence and a read-me; not for hidden files and macOS' doubles."""
    path = PurePosixPath(info.filename)
    if info.is_dir() or any(part.startswith((".", "__MACOSX")) for part in path.parts):
        return False
    return path.suffix.lower() in suffixes or bool(_ABOUT.fullmatch(path.name))


def _select(archive: zipfile.ZipFile, suffixes: tuple[str, ...], limit: int) -> list:
    """The members to unpack.

    Raises:
        SjepaError: something in the archive is unsafe, or there is nothing to unpack.
    """
    name, seen = archive.filename, set()
    for info in archive.infolist():
        if why := _why_unsafe(info):
            raise SjepaError(f"{name} is refused whole: {info.filename!r} in it {why}")
    wanted = [info for info in archive.infolist() if _wanted(info, suffixes)]
    for info in wanted:
        key = info.filename.casefold()  # one file on disks that ignore case
        if key in seen:
            raise SjepaError(f"{name} is refused whole: {info.filename!r} is in it twice")
        seen.add(key)
    if not any(PurePosixPath(info.filename).suffix.lower() in suffixes for info in wanted):
        raise SjepaError(f"{name} holds no {' or '.join(suffixes)} file: it is another archive")
    size = sum(info.file_size for info in wanted)
    if size > limit:
        raise SjepaError(f"{name} would unpack to {size:,} bytes, expected at most {limit:,}: "
                         "nothing was unpacked")
    return wanted


def unpack(archive: Path, folder: Path, suffixes: tuple[str, ...], limit: int) -> int:
    """Unpack the data files of a zip file into `folder`, which is replaced whole or left alone.

    Args:
        archive: the zip file.
        folder: gets the files, in the archive's own folders.
        suffixes: of the data files, in lower case, such as `.csv`.
        limit: bytes; an archive that says more is refused. One that says less than it holds is
            read no further than it says, and refused for its checksum.

    Returns:
        The number of files.

    Raises:
        SjepaError: the archive is damaged or unsafe, or the disk is full.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as file:
            wanted = _select(file, suffixes, limit)
            for info in tqdm(wanted, f"unpack {archive.name}", unit="file", mininterval=0.5):
                target = partial / info.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with file.open(info) as source, target.open("xb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, UnicodeError) as error:
        raise SjepaError(f"{archive} is no whole zip file ({error}): delete it and download it "
                         "again") from error
    except OSError as error:
        where = error.filename or partial
        raise SjepaError(f"cannot unpack {archive} to {where}: {error.strerror}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return len(wanted)
