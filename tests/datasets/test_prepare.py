"""From the owners' files to stores and counts: every set by its own reader, and the command."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pku_files
import pytest
from formats import open_folder, raw_samples
from test_store import change_meta

from sjepa import synthetic
from sjepa.clips import center_on_spine
from sjepa.config import ROOT
from sjepa.datasets import SOURCES, catalogue, load_store, prepare_store
from sjepa.datasets.counts import count_report
from sjepa.datasets.formats import converted
from sjepa.datasets.formats.feeder_npz import export_npz
from sjepa.datasets.ntu import parse_name
from sjepa.datasets.options import PrepareConfig
from sjepa.datasets.sources import ntu_clips
from sjepa.datasets.sources.ntu_careful import SkeletonFormatError
from sjepa.datasets.splits import leaked, split
from sjepa.datasets.store import OldStore, open_store
from sjepa.errors import SjepaError

# ------------------------------------------------------------------ the open sets, where they are


@pytest.mark.parametrize("name", ["nwucla", "hdm05", "kindergator", "bandai"])
def test_open_sets_give_the_official_counts(tmp_path, name):
    open_data = open_folder("nwucla.npz")
    store = open_store(prepare_store(name, open_data, tmp_path), verify=True)
    report = count_report(store)
    assert report["clips"] == report["official"]
    for each, counts in report["splits"].items():
        assert counts["official"] in (None, counts["found"]), each
    assert any(said.startswith("content: clip for clip") for said in report["words"])
    assert not np.abs(store.clip(0)[0, 0, 1]).max()  # the spine's middle is the origin
    assert store.classes == SOURCES[name].classes(open_data, None)  # what the npz calls them too
    assert store.classes == converted.classes(next(open_data.glob(f"{name}*.npz")))


def test_nwucla_leaks_95_clips(tmp_path):
    open_data = open_folder("nwucla.npz")
    store = open_store(prepare_store("nwucla", open_data, tmp_path))
    train, test = split("nwucla/xview", store)
    copies = leaked(store, train, test)
    assert copies.sum() == 95
    names = {store.classes[k] for k in store.labels[test[copies]]}
    assert len(names) == 2
    with np.load(open_data / "nwucla.npz") as raw:  # the owners of the copy marked the same ones
        assert np.array_equal(copies, raw["dup_of_train_view"][test])


def test_missing_data_says_where_and_how(monkeypatch, tmp_path):
    monkeypatch.setenv("SJEPA_DATA", str(tmp_path))
    monkeypatch.setattr(catalogue, "ROOT", tmp_path)
    with pytest.raises(SjepaError, match="no store of nwucla.*SJEPA_DATA.*sjepa.prepare nwucla"):
        load_store("nwucla")
    with pytest.raises(SjepaError, match="unknown data set 'ucla'"):
        load_store("ucla")
    with pytest.raises(SjepaError, match="does not hold the owners' .json files or nwucla.npz"):
        prepare_store("nwucla", tmp_path, tmp_path)
    assert os.listdir(tmp_path) == []


# ------------------------------------------------------------------ owners' formats


def test_the_built_in_set_is_made_again_when_its_recipe_or_format_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("SJEPA_DATA", str(tmp_path / "nothing"))
    monkeypatch.setattr(catalogue, "ROOT", tmp_path)
    monkeypatch.setattr(synthetic, "SUBJECTS", 1)
    every = synthetic.iterate_clips
    monkeypatch.setattr(synthetic, "iterate_clips", lambda **which: every(**which, actions=(0,)))
    first = load_store("synthetic")
    stamp = (first.path / "store.json").stat().st_mtime_ns
    load_store("synthetic")
    assert (first.path / "store.json").stat().st_mtime_ns == stamp
    for change in (dict(recipe="older"), dict(version=1)):
        change_meta(first.path, **change)
        made = load_store("synthetic")
        assert made.meta["recipe"] == catalogue.SOURCES["synthetic"].recipe
        assert made.meta["version"] == first.meta["version"]


def test_an_old_store_without_its_files_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("SJEPA_DATA", str(tmp_path))
    monkeypatch.setattr(catalogue, "ROOT", tmp_path)
    (tmp_path / "raw").mkdir()
    ntu_folder(tmp_path / "raw")
    prepare_store("ntu60", tmp_path / "raw", tmp_path)
    (tmp_path / "raw").rename(tmp_path.with_name(tmp_path.name + "-away"))
    assert len(load_store("ntu60")) == 12
    change_meta(tmp_path / "ntu60", version=1)
    with pytest.raises(OldStore, match="has store version 1, this code reads 2: prepare"):
        load_store("ntu60")


def ntu_folder(folder):
    """Genuine `.skeleton` files of generated clips; returns them by name."""
    which = dict(subjects=(0, 1, 2), actions=(0, 3), views=(0, 1))
    synthetic.write_skeleton_files(folder, **which)
    return {info.name: clip for info, clip in synthetic.iterate_clips(**which)}


def test_ntu_files_become_the_store_of_their_clips(tmp_path):
    (tmp_path / "raw" / "deeper").mkdir(parents=True)
    clips = ntu_folder(tmp_path / "raw" / "deeper")
    store = open_store(prepare_store("ntu60", tmp_path / "raw", tmp_path), verify=True)
    assert store.names.tolist() == sorted(clips) and len(store.classes) == 60
    assert store.classes[0] == "drink water" and store.classes[59].startswith("walking apart")
    for i, name in enumerate(store.names):
        assert np.array_equal(store.clip(i), center_on_spine(clips[name]))
        said = parse_name(name)
        row = (store.labels[i] + 1, store.subjects[i], store.views[i], store.setups[i])
        assert row == (said.action, said.performer, said.camera, said.setup)


def test_ntu_leaves_out_what_the_owners_and_the_pipeline_leave_out(tmp_path):
    clips = ntu_folder(tmp_path)
    some = sorted(clips)[0]
    (tmp_path / f"{some}.skeleton").rename(tmp_path / "S001C002P005R002A008.skeleton")  # listed
    (tmp_path / "S001C001P001R001A061.skeleton").write_text("1\n0\n")  # of NTU120 only
    (tmp_path / "S001C001P001R001A009.skeleton").write_text("2\n0\n0\n")  # nobody in it
    store = open_store(prepare_store("ntu60", tmp_path, tmp_path))
    assert store.names.tolist() == sorted(set(clips) - {some})
    why = dict(store.meta["left_out"])
    assert sorted(why) == ["S001C001P001R001A009", "S001C002P005R002A008"]
    assert "no body in any of its 2 frames" in why["S001C001P001R001A009"]
    assert "owners' list" in why["S001C002P005R002A008"]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(SjepaError, match="cannot be listed: Permission denied"):
        prepare_store("ntu60", tmp_path, tmp_path / "out")


def test_ntu_faults_are_named_and_leave_nothing(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    clips = ntu_folder(raw)
    path = raw / f"{sorted(clips)[3]}.skeleton"
    path.write_text("\n".join(path.read_text().splitlines()[:50]))
    with pytest.raises(SkeletonFormatError, match=f"{path.name}, line 5[01]"):
        prepare_store("ntu60", raw, tmp_path)
    assert os.listdir(tmp_path) == ["raw"]
    path.unlink()
    (raw / "S1C1.skeleton").write_text("")
    with pytest.raises(SjepaError, match="S1C1.skeleton is off the owners' naming scheme"):
        prepare_store("ntu60", raw, tmp_path)


def test_owners_list_of_missing_clips():
    names = ntu_clips.missing()
    assert len(names) == 535
    assert sum(parse_name(n).action <= 60 and parse_name(n).setup <= 17 for n in names) == 302


# ------------------------------------------------------------------ the command


def prepare(*args, **env):
    return subprocess.run([sys.executable, "-m", "sjepa.prepare", *map(str, args)], text=True,
                          capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)} | env)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The command on 12 files, with an npz of each protocol."""
    folder = tmp_path_factory.mktemp("made")
    synthetic.write_skeleton_files(folder / "raw", subjects=(0, 2), actions=(0, 3), views=(0, 1, 2))
    run = prepare("ntu60", "--raw", folder / "raw", "--out", folder, "--export-npz",
                  "--dtype", "int16", "--workers", 2)
    assert run.returncode == 0, run.stderr
    return folder, run


def test_the_command_says_what_is_missing_and_records_it(made):
    folder, run = made
    assert "ntu60: 12 clips" in run.stdout and "(official: 56,578 clips)" in run.stdout
    assert "ntu60/xsub: 6 training and 6 test clips, expected are 40,091 and 16,487" in run.stdout
    assert "ntu60 lacks 56,566 of 56,578 published clips" in run.stdout
    assert "setups 2 to 17: all 53,706 clips" in run.stdout
    report = json.loads((folder / "ntu60" / "counts.json").read_text())
    assert report["splits"]["ntu60/xview"] == {"found": [8, 4], "official": [37646, 18932]}
    assert report["clips"] == 12 and report["official"] == 56578
    assert sorted(p.name for p in folder.iterdir()) == [
        "NTU60_XSub.npz", "NTU60_XView.npz", "ntu60", "raw"]
    assert open_store(folder / "ntu60").frames.dtype == np.int16
    assert "12/12" in run.stderr and "file/s" in run.stderr  # progress with its rate


def test_verify_checks_the_store_that_is_there(made, tmp_path):
    folder, _ = made
    run = prepare("ntu60", "--out", folder, "--verify")
    assert run.returncode == 0 and "checksums, rows and positions are sound" in run.stdout
    shutil.copytree(folder / "ntu60", tmp_path / "ntu60")
    raw = bytearray((tmp_path / "ntu60" / "frames.npy").read_bytes())
    raw[-3] ^= 1
    (tmp_path / "ntu60" / "frames.npy").write_bytes(raw)
    run = prepare("ntu60", "--out", tmp_path, "--verify")
    assert run.returncode == 2 and "another checksum" in run.stderr
    run = prepare("nwucla", "--out", tmp_path, "--verify")
    assert run.returncode == 2 and run.stderr.startswith("error: no store at")


@pytest.mark.parametrize("args, said", [
    (["ntu61"], "unknown data set 'ntu61'"), (["ntu60", "--workers", "0"], "--workers 0: expected"),
    (["ntu60", "--raw", "nowhere"], "nowhere does not hold the owners' .skeleton files"),
    (["pku2", "--raw", "nowhere"], "does not hold the owners' skeleton, label and split files"),
    (["bandai", "--raw", "nowhere"], "does not hold the owners' .bvh files or bandai_int16.npz"),
    (["ntu60", "--dtype", "int8"], "invalid choice: 'int8'"),
])
def test_bad_commands_leave_nothing(tmp_path, args, said):
    run = prepare(*args, "--out", tmp_path / "out")
    assert run.returncode == 2 and said in run.stderr and "Traceback" not in run.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["nwucla", "hdm05", "kindergator", "bandai"])
def test_the_owners_own_files_become_a_store(tmp_path, name):
    """Clip for clip what the set's conversion holds, to its rounding."""
    open_data, raw = raw_samples(name)
    few = open_store(prepare_store(name, raw, tmp_path / "few"), verify=True)
    whole = open_store(prepare_store(name, open_data, tmp_path / "whole"))
    assert len(few) >= 1
    for i in range(len(few)):
        same = ((whole.labels == few.labels[i]) & (whole.lengths == few.lengths[i])
                & (whole.subjects == few.subjects[i]) & (whole.views == few.views[i])
                & (whole.setups == few.setups[i]))
        gaps = [np.abs(whole.clip(k) - few.clip(i)).max() for k in np.flatnonzero(same)]
        assert min(gaps) < 1e-3  # the conversion's rounding, in derived joints and in the origin


@pytest.mark.parametrize("phase, labels, classes", [
    (1, "original", 51), (2, "original", 51), (2, "dense", 41)])
def test_pku_videos_become_clips_and_splits(tmp_path, phase, labels, classes):
    name = f"pku{phase}"
    pku_files.write_set(tmp_path / "raw", phase)
    options = PrepareConfig(pku2_labels=labels)
    store = open_store(prepare_store(name, tmp_path / "raw", tmp_path, options), verify=True)
    assert len(store.classes) == classes
    report = count_report(store)
    for protocol in ("xsub", "xview"):
        train, test = split(f"{name}/{protocol}", store)
        videos = [{n.rpartition("_")[0] for n in store.names[side]} for side in (train, test)]
        assert not videos[0] & videos[1] and len(train) + len(test) == len(store)
        assert report["splits"][f"{name}/{protocol}"]["found"] == (len(train), len(test))
        listed = store.meta["lists"][protocol]
        assert videos[0] <= set(listed) and not videos[1] & set(listed)
    path = export_npz(store, f"{name}/xsub", tmp_path)
    again = open_store(prepare_store(name, path, tmp_path / "again", options))
    assert again.classes == store.classes and len(again) == len(store)


def test_a_row_takes_the_store_that_is_there_or_says_how_to_make_one(tmp_path, store, monkeypatch):
    from sjepa import prepare as command
    from sjepa.datasets.options import PrepareRun

    monkeypatch.setattr(command, "load_store", lambda name: store)
    found, report = command.prepare(PrepareRun(name="synthetic"))
    assert found.path == store.path and report["clips"] == len(store)
    assert not (store.path / "counts.json").exists()  # it is not ours to write into
    with pytest.raises(SjepaError, match="Give out"):
        command.prepare(PrepareRun(name="synthetic", raw=str(tmp_path)))
