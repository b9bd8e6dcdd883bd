"""Downloads: fetched whole, held to their checksum, safely unpacked, or a sentence."""

import http.server
import io
import os
import shutil
import sys
import threading
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from formats import listing, refused
from sound import put

from sjepa.config import ROOT
from sjepa.datasets import download as command
from sjepa.datasets import names, spec
from sjepa.datasets.download import unpack
from sjepa.datasets.sources import kindergator
from sjepa.datasets.store import file_hash


def zip_of(**members):
    """A zip file of texts by name."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in members.items():
            file.writestr(name, text)
    return out.getvalue()


GOOD = {"set-1/a/one.csv": "1", "set-1/LICENSE": "terms", "set-1/run.py": "boom",
        "set-1/.hidden.csv": "", "__MACOSX/set-1/._one.csv": ""}


def test_only_data_files_and_terms_are_unpacked(tmp_path):
    assert unpack(put(tmp_path / "z.zip", zip_of(**GOOD)), tmp_path / "raw", (".csv",), 100) == 2
    files = {str(p.relative_to(tmp_path / "raw")): p.read_text()
             for p in (tmp_path / "raw").rglob("*") if p.is_file()}
    assert files == {"set-1/a/one.csv": "1", "set-1/LICENSE": "terms"}


@pytest.mark.parametrize("name", [
    "../out.csv", "a/../../out.csv", "/etc/out.csv", "C:/out.csv", "..\\out.csv", "../run.py"])
def test_an_unsafe_archive_is_refused_whole(tmp_path, name):
    path = put(tmp_path / "home" / "z.zip", zip_of(**{"a/one.csv": "1", name: "/etc/passwd"}))
    with refused("refused whole: .* leads out of the folder", tmp_path):
        unpack(path, path.with_name("raw"), (".csv",), 100)


LONG = zip_of(**{"a.csv": "0" * 1_000_000})
LYING = LONG.replace((1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))


@pytest.mark.parametrize("data, says", [
    (b"<html>sign in</html>", "no whole, plain zip file"), (LYING, "no whole, plain zip file"),
    (LONG[:-40], "no whole, plain zip file"), (zip_of(**{"a.txt": "one"}), "holds no .csv file"),
    (LONG, "would unpack to 1,000,000 bytes, expected at most 10,000"),
])
def test_a_bad_archive_leaves_what_was_there(tmp_path, data, says):
    path, _ = put(tmp_path / "z.zip", data), put(tmp_path / "raw" / "old.csv", "old")
    with refused(says, tmp_path):
        unpack(path, tmp_path / "raw", (".csv",), 10_000)


@pytest.fixture
def served(tmp_path_factory, monkeypatch):
    """The archive of `kindergator` on a local server: the file that it sends."""
    pytest.importorskip("pooch")
    path = put(tmp_path_factory.mktemp("served") / "set.zip", zip_of(**GOOD))
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=path.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        origin = kindergator.SPEC.origin
        url = f"http://127.0.0.1:{server.server_address[1]}/set.zip"
        there = origin.archive._replace(url=url, file="set.zip", unpacked=100)
        monkeypatch.setattr(kindergator, "SPEC", replace(
            kindergator.SPEC, origin=replace(origin, archive=there)))
        yield path
        server.shutdown()


def test_the_first_checksum_is_noted_and_later_ones_are_held_to_it(served, tmp_path, capsys):
    command.main(["kindergator", "--out", str(tmp_path)])
    said = capsys.readouterr().out
    digest = file_hash(served)
    folder = tmp_path / "kindergator"
    assert (folder / "SHA256SUMS").read_text() == f"{digest}  set.zip\n" and digest in said
    assert listing(folder) == ["SHA256SUMS", "raw", "set.zip"]
    assert f"python -m sjepa.prepare kindergator --raw {folder / 'raw'} --out" in said
    origin = spec("kindergator").origin
    assert origin.licence in said and origin.cite in said

    served.unlink()
    command.download("kindergator", tmp_path)  # nothing to fetch, all is compared

    (folder / "set.zip").unlink()
    put(served, zip_of(**GOOD, more=""))
    with refused(f"another SHA-256 than {digest}. It was removed; if the "):
        command.download("kindergator", tmp_path)
    assert listing(folder) == ["SHA256SUMS", "raw"]  # what came is removed, what was there stays

    (folder / "SHA256SUMS").unlink()
    command.download("kindergator", tmp_path)
    assert file_hash(served) in (folder / "SHA256SUMS").read_text()
    (folder / "set.zip").write_bytes(b"put by hand")
    command.download("kindergator", tmp_path)  # what is not the noted one is fetched anew
    assert file_hash(folder / "set.zip") == file_hash(served)


def test_a_page_instead_of_the_file_is_not_taken_for_the_first_download(served, tmp_path):
    put(served, "<html>please sign in</html>")
    with refused("no whole, plain zip .*delete it and download it again"):
        command.download("kindergator", tmp_path)
    folder = tmp_path / "kindergator"
    assert listing(folder) == ["set.zip"]  # no checksum is noted, nothing unpacked
    (folder / "set.zip").unlink()
    put(served, zip_of(**GOOD))
    raw = command.download("kindergator", tmp_path)
    shutil.rmtree(raw / "set-1")
    os.utime(raw, (0, 0))  # as if the archive had been replaced since, and the unpacking killed
    command.download("kindergator", tmp_path)
    assert (raw / "set-1" / "a" / "one.csv").exists()


def test_what_goes_wrong_is_one_sentence_that_says_what_a_person_can_do(
        served, tmp_path, monkeypatch):
    served.rename(served.with_name("elsewhere"))
    page = spec("kindergator").origin.page
    with refused(f"404 .* with a browser, see {page}, put it at .*set.zip"):
        command.download("kindergator", tmp_path)
    folder = tmp_path / "kindergator"
    assert listing(folder) == []
    served.with_name("elsewhere").rename(served)
    (folder / "SHA256SUMS").write_text("set.zip\n")
    with refused("another SHA-256 than set.zip.* delete .*SHA256SUMS"):
        command.download("kindergator", tmp_path)
    (folder / "SHA256SUMS").unlink()
    monkeypatch.setitem(sys.modules, "pooch", None)
    with refused(r"need the package pooch: pip install 'sjepa\[download\]"):
        command.download("kindergator", tmp_path)


@pytest.mark.parametrize("name, said", [
    ("ntu120", "ask the ROSE lab at https://rose1.ntu.edu.sg.* nturgbd_skeletons_s018_to_s032.zip"),
    ("pku2", "Skeleton_v2.7z"), ("synthetic", "nothing to download"),
    ("ntu61", "unknown data set 'ntu61': did you mean ntu"),
])
def test_what_is_not_to_be_downloaded_is_told(tmp_path, name, said):
    with refused(said, tmp_path):
        command.main([name, "--out", str(tmp_path / "o")])


def test_the_page_tells_what_the_catalogue_knows():
    page = " ".join((ROOT / "book" / "data.md").read_text().split())
    for name in (name for name in names() if spec(name).origin):
        origin, clips, content = spec(name).origin, spec(name).clips, spec(name).content
        assert origin.page in page and origin.licence in page, name
        assert f"python -m sjepa.prepare {name} --raw " in page, name
        assert (f"python -m sjepa.download {name} --out " in page) == bool(origin.archive), name
        if origin.archive:
            assert origin.archive.url in page, name
            for suffix in origin.archive.suffixes:  # else none of its files would be unpacked
                assert suffix == Path(f"a{suffix}").suffix == suffix.lower(), name
            assert f"content: {clips:,} clips, {content[0]:,} frames, {content[1]}" in page
