"""An open data set from its owners: `python -m sjepa.download NAME --out DIR`.

The archive comes to `DIR/NAME`, its data files to `DIR/NAME/raw`; nothing of it is run. The
checksum of the first download is noted in `DIR/NAME/SHA256SUMS`, and every later one is compared
with it: nobody publishes checksums of these archives.
"""

import os
import re
import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from sjepa.config import data_dir
from sjepa.datasets.specs import Archive, Origin, names, spec
from sjepa.datasets.store import file_hash
from sjepa.errors import Parser, SjepaError

_ROOM = 3  # times the expected bytes an archive may unpack to
_ABOUT = re.compile(r"(licen[cs]e|copying|read.?me).*", re.IGNORECASE)


def _wanted(archive: zipfile.ZipFile, suffixes: tuple[str, ...], limit: int) -> list:
    """The data files, licences and read-mes of an archive, which is not trusted."""
    wanted = []
    for info in archive.infolist():
        path = PurePosixPath(info.filename)
        # A backslash or a drive letter means nothing here and a place elsewhere on Windows.
        if path.is_absolute() or ".." in path.parts or re.search(r"[\\:]", info.filename):
            raise SjepaError(f"{archive.filename} is refused whole: {info.filename!r} in it leads "
                             "out of the folder")
        hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
        named = path.suffix.lower() in suffixes or _ABOUT.fullmatch(path.name)
        if named and not hidden and not info.is_dir():
            wanted.append(info)
    if not any(info.filename.lower().endswith(suffixes) for info in wanted):
        raise SjepaError(f"{archive.filename} holds no {' or '.join(suffixes)} file: it is "
                         "another archive")
    size = sum(info.file_size for info in wanted)
    if size > limit:
        raise SjepaError(f"{archive.filename} would unpack to {size:,} bytes, expected at most "
                         f"{limit:,}: nothing was unpacked")
    return wanted


def unpack(archive: Path, folder: Path, suffixes: tuple[str, ...], limit: int) -> int:
    """Unpack the data files of a zip file into `folder`, which is replaced whole or left alone.

    An archive that says it has more than `limit` bytes is refused; one that says less than it
    holds is read no further than it says, and refused for its checksum. Returns the number of
    files; a damaged or unsafe archive is a `SjepaError`.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as file:
            wanted = _wanted(file, suffixes, limit)
            file.extractall(partial, wanted)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, UnicodeError, RuntimeError,
            NotImplementedError) as error:
        raise SjepaError(f"{archive} is no whole, plain zip file ({error}): delete it and "
                         "download it again") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return len(wanted)


def _fetch(archive: Archive, origin: Origin, file: Path, sums: Path) -> None:
    """See to it that `file` is the archive, as far as the checksum of an earlier one tells."""
    try:
        import pooch
    except ImportError as error:
        raise SjepaError("downloads need the package pooch: pip install 'sjepa[download]', or "
                         f"get {archive.url} with a browser and put it at {file}") from error
    known = sums.read_text(errors="replace").partition(" ")[0].strip() if sums.exists() else None
    try:
        # Fetched beside the file where there is none of that checksum, compared, then moved.
        pooch.retrieve(archive.url, known, file.name, file.parent,
                       downloader=pooch.HTTPDownloader(progressbar=True, timeout=60))
    except ValueError as error:  # the checksum
        raise SjepaError(f"what {archive.url} sent has another SHA-256 than {known}. It was "
                         f"removed; if the owners packed it anew, as GitHub may, delete {sums}: "
                         "the content is checked when the store is made") from error
    except OSError as error:  # also every fault of the connection
        raise SjepaError(f"{archive.url}: {error}. Run the command again later, or get the file "
                         f"with a browser, see {origin.page}, put it at {file} and run the "
                         "command again") from error


def download(name: str, out: str | Path) -> Path:
    """Fetch the archive of the open set `name`, check it, and unpack it into `out/name/raw`.

    Raises:
        SjepaError: the set is licensed to persons or made here, the download failed, the archive
            is not the one expected, or it is unsafe.
    """
    origin = spec(name).origin
    if origin is None:
        raise SjepaError(f"{name} is made here, there is nothing to download: "
                         f"python -m sjepa.prepare {name} --out data")
    archive = origin.archive
    if archive is None:
        raise SjepaError(f"{origin.title} is not to be downloaded from here, it is {origin.terms}: "
                         f"{origin.ask}; then unpack that and run python -m sjepa.prepare "
                         f"{name} --raw DIR --out data")
    folder = Path(out).expanduser() / name
    file, raw, sums = folder / archive.file, folder / "raw", folder / "SHA256SUMS"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(archive, origin, file, sums)
        if not raw.exists() or raw.stat().st_mtime_ns < file.stat().st_mtime_ns:
            count = unpack(file, raw, archive.suffixes, _ROOM * archive.unpacked)
            print(f"{raw}: {count:,} files", flush=True)
        # Only now, when it has proved to be a whole archive: the next is held to it.
        digest = file_hash(file)
        sums.write_text(f"{digest}  {file.name}\n")
        print(f"SHA-256 {digest}, to be compared with at the next download; it is in {sums}")
    except OSError as error:
        raise SjepaError(f"cannot write {error.filename or folder}: {error.strerror}") from error
    return raw


def main(argv: list[str] | None = None) -> None:
    """The command line: say whose data it is, get it, and say how it becomes a store."""
    parser = Parser(prog="python -m sjepa.download", description=__doc__)
    parser.add_argument("name", metavar="NAME",
                        help=", ".join(each for each in names() if spec(each).origin))
    parser.add_argument("--out", required=True, help="folder of downloads; the set gets DIR/NAME")
    args = parser.parse_args(argv)
    origin = spec(args.name).origin
    if origin and origin.archive:
        print(f"{origin.title}, {origin.page}\nlicence: {origin.licence}; {origin.terms}\n"
              f"cite: {origin.cite}\nfrom: {origin.archive.url}", flush=True)
    raw = download(args.name, args.out)
    print(f"next: python -m sjepa.prepare {args.name} --raw {raw} --out {data_dir()}")
