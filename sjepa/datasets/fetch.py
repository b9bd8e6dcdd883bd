"""One file over HTTP: streamed to `FILE.part`, and from where it stood after a cut.

The server's word that the file is still the same (its ETag, or else the date of change) is kept in
`FILE.part.json`; without it, or when it or the size changed, the download starts over.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from sjepa.errors import SjepaError

TRIES = 5
TIMEOUT = 60.0  # seconds without a byte
_BLOCK = 1 << 16
_AGAIN = (408, 425, 429)  # besides all of 500 and above: answers that a second try may change


class Unreachable(SjepaError):
    """The server refuses the file or does not answer."""


class _Dropped(Exception):
    """A try failed in a way that the next one may not."""


@dataclass
class _Seen:
    """What the server said of the file when its first byte came.

    Attributes:
        url: where it came from.
        tag: a strong ETag, or the date of change; empty if there was neither.
        size: bytes of the whole file; None if the server did not say.
    """

    url: str
    tag: str = ""
    size: int | None = None


class _Part:
    """The file so far, and what is known of the whole."""

    def __init__(self, path: Path, url: str):
        self.path = path.with_name(path.name + ".part")
        self.note = path.with_name(path.name + ".part.json")
        self.seen = _Seen(url)
        try:
            seen = _Seen(**json.loads(self.note.read_text()))
        except (OSError, ValueError, TypeError):
            seen = _Seen("")
        if seen.url == url and seen.tag:
            self.seen = seen
        else:
            self.forget()
        if self.seen.size is not None and self.have > self.seen.size:
            self.forget()

    @property
    def have(self) -> int:
        """Bytes on disk."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def whole(self) -> bool:
        """True if all bytes are there."""
        return self.have == self.seen.size

    def forget(self) -> None:
        """Start over."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
        self.seen = _Seen(self.seen.url)

    def begin(self, seen: _Seen) -> None:
        """An empty file, of which the server says `seen`."""
        self.seen = seen
        self.path.write_bytes(b"")
        self.note.write_text(json.dumps(asdict(seen)))


def _tag(headers) -> str:
    """What tells one version of the file from another; a weak ETag does not."""
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified", "")


def _open(part: _Part):
    """The server's answer to a request for the bytes that are not there yet."""
    url = part.seen.url
    headers = {"User-Agent": "sjepa", "Accept-Encoding": "identity"}
    if part.have and part.seen.tag:  # without a tag nothing tells whether the rest would fit
        headers |= {"Range": f"bytes={part.have}-", "If-Range": part.seen.tag}
    try:
        request = urllib.request.Request(url, headers=headers)
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        says = f"the server answers {error.code} {error.reason}"
        if error.code == 416:  # the file is shorter now than what is here
            part.forget()
        if error.code in (416, *_AGAIN) or error.code >= 500:
            raise _Dropped(says) from error
        raise Unreachable(f"{url}: {says}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise Unreachable(f"{url}: the server's certificate is not to be trusted "
                              f"({reason.verify_message})") from error
        raise _Dropped(f"no answer ({reason})") from error
    if url.startswith("https:") and not answer.url.startswith("https:"):
        answer.close()
        raise SjepaError(f"{url} sends on to {answer.url}, which is not encrypted: refused")
    return answer


def _continues(answer, part: _Part) -> bool:
    """True if the answer is the rest of what is here, False if it is the whole file."""
    if answer.status == 200:
        return False
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
    same = found and int(found[1]) == part.have
    same = same and _tag(answer.headers) in ("", part.seen.tag)
    if same and found[2] != "*":
        part.seen.size = part.seen.size or int(found[2])  # the first answer may not have told it
        same = part.seen.size == int(found[2])
    if not same:
        part.forget()
        raise _Dropped("the server sent another piece than was asked for")
    return True


def _write(out, block: bytes) -> None:
    left = memoryview(block)
    while left:
        left = left[out.write(left) :]


def _copy(answer, out, bar) -> None:
    """Write the answer to `out` as it comes."""
    while True:
        try:
            block = answer.read1(_BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _Dropped(f"the connection broke ({error})") from error
        if not block:
            return
        _write(out, block)
        bar.update(len(block))


def _try(part: _Part, name: str) -> None:
    """One request: as much of the file as comes."""
    with _open(part) as answer:
        if not _continues(answer, part):
            length = answer.headers.get("Content-Length", "")
            size = int(length) if length.isdecimal() else None
            part.begin(_Seen(part.seen.url, _tag(answer.headers), size))
        # Unbuffered: what was written is on disk, and a full disk is told at once.
        with (
            part.path.open("ab", buffering=0) as out,
            tqdm(None, name, part.seen.size, initial=part.have, unit="B", unit_scale=True,
                 mininterval=0.5) as bar,
        ):
            _copy(answer, out, bar)
            os.fsync(out.fileno())
    if part.seen.size is not None and not part.whole:
        have, size = part.have, part.seen.size
        if have > size:
            part.forget()
        raise _Dropped(f"{have:,} of {size:,} bytes came")


def fetch(url: str, path: Path, wait: float = 1.0) -> Path:
    """Download `url` to `path.part`.

    Args:
        url: http or https.
        path: the file's final place, which is not touched.
        wait: seconds before the second try; twice as long before each further one.

    Returns:
        The whole file `path.part`. The caller checks it and moves it.

    Raises:
        SjepaError: the server refuses or does not answer (`Unreachable`), it sends on to an
            address that is not encrypted, or the disk is full. What came so far stays for the
            next call.
    """
    try:
        part = _Part(path, url)
        for attempt in range(TRIES):
            if part.whole:
                break
            try:
                _try(part, path.name)
                break
            except _Dropped as error:
                why = error
            if attempt < TRIES - 1:
                time.sleep(wait * 2**attempt)
        else:
            raise Unreachable(f"{url}: {why}; tried {TRIES} times: run the command again later, "
                              "it goes on from where it stood if the server can")
        part.note.unlink(missing_ok=True)
    except OSError as error:
        raise SjepaError(f"cannot write {error.filename or path}: {error.strerror}") from error
    return part.path
