"""An open data set from its owners: `python -m sjepa.download NAME --out DIR`.

The archive comes to `DIR/NAME`, its data files to `DIR/NAME/raw`; nothing of it is run. Where no
checksum is known, that of the first download is noted in `DIR/NAME/SHA256SUMS`, and every later one
is compared with it.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from filelock import FileLock

from sjepa.checkpoint import save_atomically
from sjepa.config import data_dir
from sjepa.datasets.fetch import Unreachable, fetch
from sjepa.datasets.origins import ORIGINS, Archive, Origin
from sjepa.datasets.store import file_hash
from sjepa.datasets.unpack import unpack
from sjepa.errors import SjepaError, main_with_errors

_ROOM = 3  # times the expected bytes an archive may unpack to


def read_sums(path: Path) -> dict[str, str]:
    """`{file: SHA-256}` of a file as `sha256sum` writes it; empty if there is none."""
    if not path.exists():
        return {}
    lines = path.read_text(errors="replace").splitlines()
    rows = [line.split(maxsplit=1) for line in lines if line.strip()]
    if any(len(row) != 2 or len(row[0]) != 64 for row in rows):
        raise SjepaError(f"{path} is no list of SHA-256 sums: delete it, and the checksum of what "
                         "is there is noted anew")
    return {name.lstrip("*"): digest.lower() for digest, name in rows}


def fault(file: Path, archive: Archive, sums: Path) -> str:
    """What is wrong with a downloaded file; empty if nothing is.

    Its checksum is compared with the known one, else with the one noted in `sums`.
    """
    size, found = file.stat().st_size, file_hash(file)
    if archive.size not in (None, size):
        return f"has {size:,} bytes, expected {archive.size:,}"
    expected = archive.sha256 or read_sums(sums).get(archive.file)
    if expected in (None, found):
        return ""
    noted = "" if archive.sha256 else (
        f" as noted in {sums} at the first download. If the owners pack it anew, as GitHub may, "
        "delete that line; the content is checked when the store is made"
    )
    return f"has SHA-256 {found}, expected {expected}{noted}"


def note(file: Path, sums: Path) -> str:
    """Note the checksum of a file in `sums`, as `sha256sum -c` reads it; the checksum."""
    noted = read_sums(sums) | {file.name: file_hash(file)}
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(noted.items()))
    save_atomically(lambda path: path.write_text(text), sums)
    return noted[file.name]


def _get(archive: Archive, page: str, file: Path, sums: Path) -> None:
    """See to it that `file` is the archive, as far as checksums tell."""
    if file.exists():
        if wrong := fault(file, archive, sums):
            raise SjepaError(f"{file} {wrong}. Move it away, and it is fetched anew")
        return
    try:
        part = fetch(archive.url, file)
    except Unreachable as error:
        raise SjepaError(f"{error}. Or get it with a browser, see {page}, put it at {file} and "
                         "run the command again") from error
    if wrong := fault(part, archive, sums):
        part.unlink()
        raise SjepaError(f"what {archive.url} sent {wrong}. It was removed")
    os.replace(part, file)


def _origin(name: str) -> Origin:
    if name in ("synthetic", "synthetic20"):
        raise SjepaError(f"{name} is made by a formula, there is nothing to download: "
                         f"python -m sjepa.prepare {name} --out data")
    if name not in ORIGINS:
        raise SjepaError(f"unknown data set {name!r}: known are {', '.join(ORIGINS)}")
    return ORIGINS[name]


def download(name: str, out: str | Path) -> Path:
    """Fetch the archive of an open set, check it, and unpack its data files.

    Args:
        name: a key of `ORIGINS`.
        out: the set gets the folder `out/name`.

    Returns:
        The folder of the owners' files, `out/name/raw`.

    Raises:
        SjepaError: the set is licensed to persons, the download failed, the archive is not the one
            expected, or it is unsafe.
    """
    origin = _origin(name)
    archive = origin.archive
    if archive is None:
        raise SjepaError(f"{origin.title} is not to be downloaded from here, it is {origin.terms}: "
                         f"{origin.ask}; then unpack that and run python -m sjepa.prepare {name} "
                         "--raw DIR --out data")
    folder = Path(out).expanduser() / name
    file, raw, sums = folder / archive.file, folder / "raw", folder / "SHA256SUMS"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):  # a second process waits, and finds all done
            _get(archive, origin.page, file, sums)
            if not raw.exists() or raw.stat().st_mtime_ns < file.stat().st_mtime_ns:
                room = _ROOM * archive.unpacked
                print(f"{raw}: {unpack(file, raw, archive.suffixes, room):,} files", flush=True)
            # Only now, when it has proved to be a whole archive: the next is held to it.
            print(f"SHA-256 {note(file, sums)}" + ("" if archive.sha256 else (
                f", to be compared with at the next download; it is in {sums}")))
    except OSError as error:
        raise SjepaError(f"cannot write {error.filename or folder}: {error.strerror}") from error
    return raw


def main(argv: list[str] | None = None) -> None:
    """The command line: say whose data it is, get it, and say how it becomes a store."""
    parser = argparse.ArgumentParser(prog="python -m sjepa.download", description=__doc__)
    parser.add_argument("name", metavar="NAME", help=", ".join(ORIGINS))
    parser.add_argument("--out", required=True, help="folder of downloads; the set gets DIR/NAME")
    args = parser.parse_args(argv)
    origin = _origin(args.name)
    if origin.archive:
        print(f"{origin.title}, {origin.page}\nlicence: {origin.licence}; {origin.terms}\n"
              f"cite: {origin.cite}\nfrom: {origin.archive.url}", flush=True)
    raw = download(args.name, args.out)
    print(f"next: python -m sjepa.prepare {args.name} --raw {raw} --out {data_dir()}")


if __name__ == "__main__":
    main_with_errors(main)
