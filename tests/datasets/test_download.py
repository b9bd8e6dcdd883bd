"""Downloads against a server that misbehaves: resumed, checked, safely unpacked, or a sentence."""

import errno
import hashlib
import http.server
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sjepa import download as command
from sjepa.config import ROOT, data_dir
from sjepa.datasets import fetch as fetching
from sjepa.datasets import origins, prepare_store
from sjepa.datasets.fetch import TRIES, fetch
from sjepa.datasets.origins import CONTENT, ORIGINS, content_fingerprint, content_rows
from sjepa.datasets.store import open_store
from sjepa.datasets.unpack import unpack
from sjepa.datasets.writer import StoreWriter
from sjepa.errors import SjepaError

BODY = np.random.default_rng(0).bytes(300_000)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.body`; each request takes the next of `server.faults`, if one is left."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        server.ranges.append(self.headers.get("Range"))
        fault = server.faults.pop(0) if server.faults else ""
        if isinstance(fault, int):
            self.send_response(fault)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body, begin = server.body, 0
        wanted = self.headers.get("Range")
        same = self.headers.get("If-Range") == server.etag or fault == "deaf to If-Range"
        if wanted and same and fault != "ignores Range":
            begin = int(wanted.removeprefix("bytes=").rstrip("-"))
            if begin >= len(body):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            at = begin - 1000 if fault == "wrong Content-Range" else begin
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {at}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if server.etag:
            self.send_header("ETag", server.etag)
        if fault == "drops in chunks":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"2710\r\n" + body[begin : begin + 10_000] + b"\r\n")
            self.close_connection = True
            return
        self.send_header("Content-Length", str(len(body) - begin))
        self.end_headers()
        stop = begin + (len(body) - begin) // 2 if fault == "drops" else len(body)
        self.wfile.write(body[begin:stop])
        self.close_connection = fault == "drops"


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.body, server.etag, server.faults, server.ranges = BODY, '"one"', [], []
        server.url = f"http://127.0.0.1:{server.server_address[1]}/file.zip"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def get(server, path):
    return fetch(server.url, path, wait=0).read_bytes()


# --- one file over HTTP -------------------------------------------------------------------------


def test_a_whole_file_comes_in_one_request(server, tmp_path):
    assert get(server, tmp_path / "f") == BODY and server.ranges == [None]
    assert [path.name for path in tmp_path.iterdir()] == ["f.part"]  # the final place is untouched


def test_a_cut_download_goes_on_where_it_stood(server, tmp_path):
    server.faults = ["drops", "drops"]
    assert get(server, tmp_path / "f") == BODY
    assert server.ranges == [None, "bytes=150000-", "bytes=225000-"]


def test_the_next_process_goes_on_too(server, tmp_path):
    server.faults = ["drops"] + [503] * (TRIES - 1)
    with pytest.raises(SjepaError, match=f"answers 503 .* tried {TRIES} times"):
        get(server, tmp_path / "f")
    assert (tmp_path / "f.part").read_bytes() == BODY[:150_000]
    assert get(server, tmp_path / "f") == BODY and server.ranges[-1] == "bytes=150000-"


@pytest.mark.parametrize("fault, ranges", [
    ("ignores Range", [None, "bytes=150000-"]),
    ("wrong Content-Range", [None, "bytes=150000-", None]),
])
def test_a_server_that_cannot_resume_makes_it_start_over(server, tmp_path, fault, ranges):
    server.faults = ["drops", fault]
    assert get(server, tmp_path / "f") == BODY and server.ranges == ranges


@pytest.mark.parametrize("fault", ["", "deaf to If-Range"])
@pytest.mark.parametrize("size", [300_000, 200_000, 100_000])
def test_a_file_that_changed_is_never_mixed_with_the_old_one(server, tmp_path, fault, size):
    server.faults = ["drops", *[404] * TRIES]
    with pytest.raises(SjepaError):
        get(server, tmp_path / "f")
    server.faults, server.etag, server.body = [fault], '"two"', BODY[::-1][:size]
    assert get(server, tmp_path / "f") == server.body


def test_a_changed_size_under_the_old_tag_starts_over(server, tmp_path):
    server.faults = ["drops", 404]
    with pytest.raises(SjepaError):
        get(server, tmp_path / "f")
    server.body = BODY[::-1][:200_000]
    assert get(server, tmp_path / "f") == server.body


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_tag_nothing_is_resumed(server, tmp_path, etag):
    server.etag, server.faults = etag, ["drops", "drops"]
    assert get(server, tmp_path / "f") == BODY and server.ranges == [None] * 3


def test_a_cut_is_noticed_where_no_length_was_told(server, tmp_path):
    server.faults = ["drops in chunks"]
    assert get(server, tmp_path / "f") == BODY and server.ranges == [None, "bytes=10000-"]


def test_another_address_does_not_continue_the_file(server, tmp_path):
    server.faults = ["drops", 404]
    with pytest.raises(SjepaError):
        get(server, tmp_path / "f")
    server.url += "?other"
    assert get(server, tmp_path / "f") == BODY and server.ranges[-1] is None


def test_a_part_left_whole_by_a_kill_is_not_asked_for_again(server, tmp_path):
    (tmp_path / "f.part").write_bytes(BODY)
    seen = {"url": server.url, "tag": '"one"', "size": len(BODY)}
    (tmp_path / "f.part.json").write_text(json.dumps(seen))
    assert get(server, tmp_path / "f") == BODY and server.ranges == []


def test_a_passing_fault_is_tried_again_and_a_refusal_is_not(server, tmp_path):
    server.faults = [500, 429]
    assert get(server, tmp_path / "f") == BODY and len(server.ranges) == 3
    server.faults = [404]
    with pytest.raises(SjepaError, match=f"^{server.url}: the server answers 404 Not Found$"):
        get(server, tmp_path / "g")
    assert len(server.ranges) == 4 and not (tmp_path / "g.part").exists()


def test_nobody_there_and_silence_are_one_sentence(server, tmp_path, monkeypatch):
    with pytest.raises(SjepaError, match=r"http://127.0.0.1:9/f: no answer \(.*refused"):
        fetch("http://127.0.0.1:9/f", tmp_path / "f", wait=0)
    monkeypatch.setattr(fetching, "TIMEOUT", 0.05)
    monkeypatch.setattr(Handler, "do_GET", lambda self: threading.Event().wait(0.5))
    with pytest.raises(SjepaError, match="no answer .*timed out.*; tried 5 times"):
        get(server, tmp_path / "f")


def test_a_certificate_that_nobody_vouches_for_is_refused(server, tmp_path, monkeypatch):
    import ssl
    import urllib.error

    fault = ssl.SSLCertVerificationError(1, "certificate verify failed")
    fault.verify_message = "self-signed certificate"
    calls = []

    def refuse(*args, **kwargs):
        calls.append(args)
        raise urllib.error.URLError(fault)

    monkeypatch.setattr(fetching.urllib.request, "urlopen", refuse)
    with pytest.raises(SjepaError, match="certificate is not to be trusted .self-signed"):
        get(server, tmp_path / "f")
    assert len(calls) == 1  # a second try would not make it better


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_one_sentence(server, tmp_path, monkeypatch):
    begin = fetching._Part.begin

    def begin_on_a_full_disk(part, seen):
        begin(part, seen)
        part.path.unlink()
        part.path.symlink_to("/dev/full")

    monkeypatch.setattr(fetching._Part, "begin", begin_on_a_full_disk)
    with pytest.raises(SjepaError, match=f"^cannot write .*{os.strerror(errno.ENOSPC)}$"):
        get(server, tmp_path / "f")
    assert server.ranges == [None]  # the network is not blamed for it


# --- unpacking ----------------------------------------------------------------------------------


def zip_of(**members):
    """A zip file; a member's value is its text, or a `ZipInfo` with a text."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in members.items():
            file.writestr(name, text)
    return out.getvalue()


GOOD = {"set-1/a/one.csv": "1", "set-1/LICENSE": "terms", "set-1/run.py": "boom",
        "set-1/.hidden.csv": "", "__MACOSX/set-1/._one.csv": ""}


def test_only_data_files_and_terms_are_unpacked(tmp_path):
    (tmp_path / "z.zip").write_bytes(zip_of(**GOOD))
    assert unpack(tmp_path / "z.zip", tmp_path / "raw", (".csv",), 100) == 2
    files = {str(p.relative_to(tmp_path / "raw")): p.read_text()
             for p in (tmp_path / "raw").rglob("*") if p.is_file()}
    assert files == {"set-1/a/one.csv": "1", "set-1/LICENSE": "terms"}


def link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize("name, says", [
    ("../out.csv", "leads out"), ("a/../../out.csv", "leads out"), ("/etc/out.csv", "absolute"),
    ("C:/out.csv", "absolute"), ("..\\out.csv", "absolute"), ("A/ONE.csv", "is in it twice"),
    ("link.csv", "is a link"), ("../run.py", "leads out"),
])
def test_an_unsafe_archive_is_refused_whole(tmp_path, name, says):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("a/one.csv", "1")
        file.writestr(link(name) if name.startswith("link") else name, "/etc/passwd")
    home = tmp_path / "home"
    home.mkdir()
    (home / "z.zip").write_bytes(out.getvalue())
    with pytest.raises(SjepaError, match=f"refused whole: .*{says}"):
        unpack(home / "z.zip", home / "raw", (".csv",), 100)
    assert [p.name for p in tmp_path.rglob("*")] == ["home", "z.zip"]


def test_an_archive_that_would_fill_the_disk_is_refused(tmp_path):
    (tmp_path / "z.zip").write_bytes(zip_of(**{"a.csv": "0" * 1000}))
    with pytest.raises(SjepaError, match="would unpack to 1,000 bytes, expected at most 999"):
        unpack(tmp_path / "z.zip", tmp_path / "raw", (".csv",), 999)
    assert not (tmp_path / "raw").exists()


def test_a_member_that_lies_about_its_size_is_cut_off(tmp_path):
    data = bytearray(zip_of(**{"a.csv": "0" * 1_000_000}))
    true, told = (1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")
    assert data.count(true) == 2
    (tmp_path / "z.zip").write_bytes(bytes(data.replace(true, told)))
    with pytest.raises(SjepaError, match="is no whole zip file"):
        unpack(tmp_path / "z.zip", tmp_path / "raw", (".csv",), 999)
    assert [path.name for path in tmp_path.iterdir()] == ["z.zip"]


@pytest.mark.parametrize("damage", ["text", "cut", "flip", "other"])
def test_a_damaged_archive_leaves_what_was_there(tmp_path, damage):
    good = zip_of(**{"a.csv": "one" * 1000})
    flipped = bytearray(good)
    flipped[len("PK") + 40] ^= 255  # in the packed bytes
    data = {"text": b"<html>sign in</html>", "cut": good[: len(good) // 2],
            "flip": bytes(flipped), "other": zip_of(**{"a.txt": "one"})}[damage]
    (tmp_path / "z.zip").write_bytes(data)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "old.csv").write_text("old")
    with pytest.raises(SjepaError, match="no whole zip file|holds no .csv file"):
        unpack(tmp_path / "z.zip", tmp_path / "raw", (".csv",), 10_000)
    assert [p.name for p in tmp_path.rglob("*.csv")] == ["old.csv"]
    assert not (tmp_path / "raw.partial").exists()


# --- the command --------------------------------------------------------------------------------


@pytest.fixture
def archive(server, monkeypatch):
    """A set `kindergator` whose archive the local server has; gives it other expectations."""
    server.body = zip_of(**GOOD)

    def expect(**known):
        origin = ORIGINS["kindergator"]
        there = replace(origin.archive, url=server.url, file="set.zip", unpacked=100, **known)
        monkeypatch.setitem(origins.ORIGINS, "kindergator", replace(origin, archive=there))

    expect()
    monkeypatch.setattr(command, "fetch", lambda url, path: fetch(url, path, wait=0))
    return expect


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_the_first_checksum_is_noted_and_later_ones_are_held_to_it(
    server, archive, tmp_path, capsys
):
    command.main(["kindergator", "--out", str(tmp_path)])
    said = capsys.readouterr().out
    digest = hashlib.sha256(server.body).hexdigest()
    folder = tmp_path / "kindergator"
    assert (folder / "SHA256SUMS").read_text() == f"{digest}  set.zip\n" and digest in said
    assert names(folder) == ["SHA256SUMS", "raw", "set.zip"]
    assert f"python -m sjepa.prepare kindergator --raw {folder / 'raw'} --out" in said
    assert ORIGINS["kindergator"].licence in said and ORIGINS["kindergator"].cite in said

    command.download("kindergator", tmp_path)
    assert len(server.ranges) == 1  # nothing to fetch, all is compared

    os.remove(folder / "set.zip")
    server.body, server.etag = zip_of(**GOOD, more=""), '"two"'
    found = hashlib.sha256(server.body).hexdigest()
    with pytest.raises(SjepaError, match=f"has SHA-256 {found}, expected {digest} as noted"):
        command.download("kindergator", tmp_path)
    assert names(folder) == ["SHA256SUMS", "raw"]  # what came is removed, what was there stays

    (folder / "SHA256SUMS").unlink()
    command.download("kindergator", tmp_path)
    assert found in (folder / "SHA256SUMS").read_text()


@pytest.mark.parametrize("known, says", [
    ({"sha256": "0" * 64}, f"has SHA-256 .*, expected {'0' * 64}. It was removed"),
    ({"size": 5}, "has [0-9,]+ bytes, expected 5. It was removed"),
])
def test_a_wrong_file_is_removed(server, archive, tmp_path, known, says):
    archive(**known)
    with pytest.raises(SjepaError, match=says):
        command.download("kindergator", tmp_path)
    assert names(tmp_path / "kindergator") == []


def test_the_known_checksum_passes_and_a_file_put_by_hand_is_not_removed(
    server, archive, tmp_path
):
    archive(sha256=hashlib.sha256(server.body).hexdigest(), size=len(server.body))
    file = tmp_path / "kindergator" / "set.zip"
    file.parent.mkdir()
    file.write_bytes(server.body)
    assert names(command.download("kindergator", tmp_path)) == ["set-1"] and server.ranges == []
    file.write_bytes(b"x" * len(server.body))
    with pytest.raises(SjepaError, match="Move it away"):
        command.download("kindergator", tmp_path)
    assert file.exists()


def test_a_page_instead_of_the_file_is_told_and_not_taken_for_the_first_download(
    server, archive, tmp_path
):
    good, server.body = server.body, b"<html>please sign in</html>"
    with pytest.raises(SjepaError, match="no whole zip file .*delete it and download it again"):
        command.download("kindergator", tmp_path)
    folder = tmp_path / "kindergator"
    assert names(folder) == ["set.zip"]  # no checksum is noted, nothing unpacked
    (folder / "set.zip").unlink()
    server.body, server.etag = good, '"two"'
    assert command.download("kindergator", tmp_path).is_dir()


def test_another_archive_is_unpacked_anew(server, archive, tmp_path):
    raw = command.download("kindergator", tmp_path)
    shutil.rmtree(raw / "set-1")
    os.utime(raw, (0, 0))  # as if the archive had been replaced since, and the unpacking killed
    command.download("kindergator", tmp_path)
    assert (raw / "set-1" / "a" / "one.csv").exists()


def test_a_refusal_says_what_a_person_can_do(server, archive, tmp_path):
    server.faults = [403]
    with pytest.raises(SjepaError, match="answers 403 Forbidden. Or get it with a browser, see "
                       f"{ORIGINS['kindergator'].page}, put it at .*set.zip"):
        command.download("kindergator", tmp_path)


def test_a_broken_list_of_checksums_is_named(server, archive, tmp_path):
    (tmp_path / "kindergator").mkdir()
    (tmp_path / "kindergator" / "SHA256SUMS").write_text("set.zip\n")
    with pytest.raises(SjepaError, match="SHA256SUMS is no list of SHA-256 sums"):
        command.download("kindergator", tmp_path)


@pytest.mark.parametrize("name, said", [
    ("ntu120", "nturgbd_skeletons_s018_to_s032.zip"), ("pku2", "Skeleton_v2.7z"),
    ("synthetic", "nothing to download"),
    ("ntu61", "unknown data set 'ntu61': known are kindergator, nwucla"),
])
def test_what_is_not_to_be_downloaded_is_told(tmp_path, name, said):
    with pytest.raises(SjepaError, match=said):
        command.main([name, "--out", str(tmp_path / "o")])
    assert not (tmp_path / "o").exists()


def test_a_licensed_set_is_one_sentence_from_outside(tmp_path):
    made = subprocess.run(
        [sys.executable, "-m", "sjepa.download", "ntu60", "--out", "o"], cwd=tmp_path,
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert made.returncode == 2 and made.stdout == ""
    assert made.stderr.startswith("error: ") and made.stderr.count("\n") == 1
    assert "ask the ROSE lab at https://rose1.ntu.edu.sg" in made.stderr


# --- what is known of each set ------------------------------------------------------------------


def test_the_page_tells_what_the_catalogue_knows():
    page = " ".join((ROOT / "book" / "data.md").read_text().split())
    for name, origin in ORIGINS.items():
        assert origin.page in page and origin.licence in page, name
        assert f"python -m sjepa.prepare {name} --raw " in page, name
        assert (f"python -m sjepa.download {name} --out " in page) == bool(origin.archive), name
        if origin.archive:
            assert origin.archive.url in page, name
            assert CONTENT[name].sha256 in page, name
            assert f"{CONTENT[name].clips:,} clips" in page, name
            assert f"{CONTENT[name].frames:,} frames" in page, name


def store_of(folder, order, shift=0.0):
    rng = np.random.default_rng(0)
    clips = [rng.normal(size=(5 + k % 3, 1, 25, 3)) for k in range(12)]
    with StoreWriter(folder, "kindergator", ["a", "b"]) as writer:
        for k in order:
            writer.add(clips[k] + shift, label=k % 2, name=f"{folder.name}{k}", subject=k % 4,
                       view=k % 3, rep=k, setup=k)
    return open_store(folder)


def test_the_content_does_not_depend_on_order_names_or_rounding(tmp_path):
    first = content_fingerprint(store_of(tmp_path / "x", range(12)))
    assert first[:2] == (12, 72)
    other = store_of(tmp_path / "y", reversed(range(12)), shift=1e-4)
    assert content_fingerprint(other) == first


@pytest.mark.parametrize("column", ["labels", "subjects", "views", "setups", "lengths"])
def test_the_content_depends_on_what_is_told_of_every_clip(tmp_path, column):
    store = store_of(tmp_path / "x", range(12))
    first = content_fingerprint(store)
    values = getattr(store, column)
    values[:2] = values[1::-1]  # the first two clips differ in all of them
    assert content_fingerprint(store).sha256 != first.sha256


CONVERTED = {"kindergator": "kindergator_int16.npz", "nwucla": "nwucla.npz",
             "hdm05": "hdm05_11.npz", "bandai": "bandai_int16.npz"}


@pytest.mark.parametrize("name", CONVERTED)
def test_the_open_data_has_the_known_content(name, tmp_path):
    home = data_dir()
    if not (home / CONVERTED[name]).is_file():
        pytest.skip(f"{CONVERTED[name]} is not in $SJEPA_DATA")
    store = open_store(prepare_store(name, home, tmp_path, workers=1))
    assert content_fingerprint(store) == CONTENT[name]
    samples = home / "raw-samples" / name
    if not samples.is_dir():
        pytest.skip("no raw samples in $SJEPA_DATA to hold against the conversion")
    raw = content_rows(open_store(prepare_store(name, samples, tmp_path / "raw", workers=1)))
    assert raw and not Counter(raw) - Counter(content_rows(store))
