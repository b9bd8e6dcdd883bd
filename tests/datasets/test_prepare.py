"""From the owners' files to stores and counts: every set by its own reader, and the command."""

import functools
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from formats import command as run_command
from formats import listing, open_folder, raw_samples, refused
from sound import TESTED, change_meta, ntu_folder, some_clips, write_pku
from test_open_sets import OPEN

from sjepa import synthetic
from sjepa.config import ROOT
from sjepa.datasets import (
    build,
    known,
    load_store,
    names,
    open_store,
    prepare_store,
    sources,
    spec,
    titles,
    write_store,
)
from sjepa.datasets import prepare as command
from sjepa.datasets.build import PrepareConfig, PrepareRun
from sjepa.datasets.formats import npz
from sjepa.datasets.layouts import center_on_spine
from sjepa.datasets.ntu import parse_name
from sjepa.datasets.prepare import content_fingerprint, count_report
from sjepa.datasets.splits import SPLITS, leaked, split

FEW = dict(subjects=(0, 1, 2), actions=(0, 3), views=(0, 1))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty `$SJEPA_DATA`, and a project beside it."""
    monkeypatch.setenv("SJEPA_DATA", str(tmp_path / "home"))
    monkeypatch.setattr(build, "ROOT", tmp_path / "project")
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_every_set_says_all_that_others_ask_of_it():
    assert set(names()) == {
        "synthetic", "synthetic20", "ntu60", "ntu120", "pku1", "pku2", "pool", "pool3", *OPEN}
    assert set(titles()) == set(names()) and len(set(titles().values())) == len(names())
    for name in names():
        of = spec(name)
        assert of.name == name and len(set(of.classes)) == len(of.classes) >= 1
        assert of.splits and all(f"{name}/{each}" in SPLITS for each in of.splits)
        assert len(of.coarse) in (0, len(of.classes))
        assert npz.file_name(f"{name}/xsub").endswith("_XSub.npz")
        if of.clips:
            sums = {sum(rule.counts) for rule in of.splits.values() if rule.counts}
            assert max(sums) <= of.clips  # no protocol has more clips than the set
    assert "ntu60/xsub" in SPLITS and "ntu60/xset" not in SPLITS and "ntu61/xsub" not in SPLITS
    assert known("mine") is None


def test_a_new_module_is_a_new_set(tmp_path, monkeypatch):
    (tmp_path / "tiny.py").write_text('''
import numpy as np
from sjepa.datasets.specs import DatasetSpec, Split, by_subject
from sjepa.datasets.store import Clip
def read(subject, options):
    return [Clip(np.full((3, 1, 25, 3), subject), subject % 2, f"clip{subject}", subject)]
SPEC = DatasetSpec("tiny", "Tiny", ("a", "b"), lambda raw: range(1, 5), read, "nothing",
                   splits={"xsub": Split(by_subject((1, 2)), (2, 2))}, clips=4)
''')
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(tmp_path)])
    made, report = command.prepare(PrepareRun(name="tiny", out=str(tmp_path)))
    assert report["faults"] == [] and titles()["tiny"] == "Tiny"
    assert [side.tolist() for side in split("tiny/xsub", made)] == [[0, 1], [2, 3]]


def test_asking_for_one_set_loads_no_other_reader():
    code = ("import sys; from sjepa.datasets import names, open_store, spec; names();"
            "print([m for m in sys.modules if m.startswith('sjepa.datasets.sources.')]);"
            "spec('nwucla'); print([m for m in sys.modules if '.bvh' in m or 'synthetic' in m"
            " or 'scipy' in m or m == 'torch' or 'pool' in m.split('.')])")
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert made.stdout == "[]\n[]\n"


@pytest.mark.parametrize("ask, said", [
    (lambda out: load_store("nwucla"), "no store of nwucla.*SJEPA_DATA.*sjepa.prepare nwucla"),
    (lambda out: load_store("mine"), "no store of mine in .*write_store"),
    (lambda out: load_store(None), "a data set of type NoneType: give its name"),
    (lambda out: prepare_store("ucla", out, out), "unknown data set 'ucla'.*npz .* one pyskl pick"),
    (lambda out: prepare_store("../x", out, out), "'../x' is no name of a data set"),
    (lambda out: prepare_store("nwucla", out, out),
     "does not hold the owners' .json files or nwucla.npz"),
    (lambda out: command.prepare(PrepareRun(name="nwucla", raw=str(out))), "Give out"),
    *((lambda out, args=args: command.main([*args, "--out", str(out / "x")]), said)
      for args, said in (
          (["ntu61"], "unknown data set 'ntu61': did you mean ntu"),
          (["ntu60", "--workers", "0"], "workers = 0: expected"),
          (["bandai", "--raw", "nowhere"], "the owners' .bvh files or bandai_int16.npz"),
          (["ntu60", "-o", "type=int8"], "unknown parameter 'type': did you mean dtype?"),
          ([], r"which data set\? Give NAME"),
          (["nwucla", "--verify"], "no store at"))),
])
def test_what_cannot_be_had_is_said_and_leaves_nothing(home, tmp_path, ask, said):
    with refused(said, tmp_path):
        ask(tmp_path)


def test_a_set_of_ones_own_needs_no_more_than_its_store(home):
    write_store(home / "mine", some_clips(), [0, 1, 0], splits={"xsub": ([1, 2], [0])})
    store = load_store("mine")
    assert [side.tolist() for side in split("mine/xsub", store)] == [[1, 2], [0]]
    assert count_report(store)["splits"] == {"mine/xsub": {"found": (2, 1), "official": None}}
    assert count_report(store)["faults"] == []
    with refused("mine holds a store already.*choose another name"):
        prepare_store("mine", home / "NTU60_XSub.npz", home)  # its arrays may exist nowhere else
    assert len(load_store("mine")) == 3


@pytest.fixture
def little(monkeypatch):
    """The built-in set, but of one subject and one action."""
    monkeypatch.setattr(synthetic, "SUBJECTS", 1)
    every = synthetic.iterate_clips
    monkeypatch.setattr(synthetic, "iterate_clips", lambda **which: every(**which, actions=(0,)))


def test_the_built_in_set_is_made_again_when_its_recipe_or_format_changes(home, little):
    first = load_store("synthetic")
    assert first.path.parent == home.with_name("project") / "data"
    stamp = (first.path / "store.json").stat().st_mtime_ns
    load_store("synthetic")
    assert (first.path / "store.json").stat().st_mtime_ns == stamp
    for change in (dict(recipe="older"), dict(version=1)):
        change_meta(first.path, **change)
        made = load_store("synthetic")
        assert made.meta["recipe"] == spec("synthetic").recipe == "1"
        assert made.meta["version"] == first.meta["version"]


def test_where_the_project_is_read_only_the_built_in_set_is_made_in_sjepa_data(home, little):
    (home.with_name("project")).write_text("no folder: nothing can be made in it")
    assert load_store("synthetic").path == home / "synthetic"
    shutil.rmtree(home)
    home.write_text("no folder either")
    with refused("neither .*project/data nor .*home can be written to"):
        load_store("synthetic")


def test_a_store_that_was_refused_or_is_old_says_so_where_it_is_used(home, tmp_path, capsys):
    """Also in the note that every result on it carries."""
    ntu_folder(tmp_path / "raw", **FEW)
    with refused("is not the whole of ntu60"):
        command.prepare(PrepareRun(name="ntu60", raw=str(tmp_path / "raw"), out=str(home),
                                   workers=1))
    capsys.readouterr()
    assert "not the whole of ntu60: 12 clips and not 56,578" in load_store("ntu60").meta["note"]
    assert "warning: " in capsys.readouterr().err
    change_meta(home / "ntu60", version=1)
    with refused("has store version 1, this code reads 3: prepare"):
        load_store("ntu60")


@pytest.mark.parametrize("name", OPEN)
def test_open_sets_have_the_official_counts_and_content_and_a_few_files_have_not(tmp_path, name):
    home, raw = raw_samples(name)
    whole = open_store(prepare_store(name, home, tmp_path / "whole"), verify=True)
    report = count_report(whole)
    assert report["faults"] == [] and report["clips"] == report["official"]
    assert content_fingerprint(whole) == spec(name).content
    assert any(said.startswith("content: clip for clip") for said in report["words"])
    assert not np.abs(whole.clip(0)[0, 0, 1]).max()  # the spine's middle is the origin
    assert tuple(whole.classes) == spec(name).classes  # what the npz calls them too
    for each in set(spec(name).splits) - {"xview"}:  # NW-UCLA's, see below
        assert not leaked(whole, *split(f"{name}/{each}", whole)).any()
    few = open_store(prepare_store(name, raw, tmp_path / "few"), verify=True)
    assert len(few) >= 1 and "other content" in count_report(few)["faults"]


def test_nwucla_leaks_95_clips_and_its_conversion_may_be_given_as_a_file(tmp_path):
    path = open_folder("nwucla.npz") / "nwucla.npz"
    store = open_store(prepare_store("nwucla", path, tmp_path))
    train, test = split("nwucla/xview", store)
    copies = leaked(store, train, test)
    assert copies.sum() == 95 and len({*store.labels[test[copies]]}) == 2
    with np.load(path) as raw:  # the owners of the copy marked the same ones
        assert np.array_equal(copies, raw["dup_of_train_view"][test])


def test_the_content_is_what_is_told_of_every_clip_and_no_more(tmp_path):
    def store_of(name, order, height):
        return open_store(write_store(
            tmp_path / name, [np.full((5 + k % 3, 25, 3), height) for k in order],
            [k % 2 for k in order], subjects=[k % 4 for k in order],
            views=[k % 3 for k in order], setups=list(order)))

    store = store_of("x", range(12), 1.0)
    first = content_fingerprint(store)
    assert first == content_fingerprint(store_of("y", range(11, -1, -1), 1.1))
    assert first[0] == 72
    for column in ("labels", "subjects", "views", "setups", "lengths"):
        values = getattr(store, column)
        values[:2] = values[1::-1]  # the first two clips differ in all of them
        assert content_fingerprint(store)[1] != first[1]
        values[:2] = values[1::-1]


def test_ntu_files_become_the_store_of_their_clips(tmp_path):
    clips = ntu_folder(tmp_path / "raw" / "deeper", **FEW)
    store = open_store(prepare_store("ntu60", tmp_path / "raw", tmp_path), verify=True)
    assert store.names.tolist() == sorted(clips) and len(store.classes) == 60
    for i, name in enumerate(store.names):
        assert np.array_equal(store.clip(i), center_on_spine(clips[name]))
        said = parse_name(name)
        row = (store.labels[i] + 1, store.subjects[i], store.views[i], store.setups[i])
        assert row == (said.action, said.performer, said.camera, said.setup)


def test_ntu_leaves_out_what_the_owners_and_the_pipeline_leave_out(tmp_path):
    clips = ntu_folder(tmp_path, **FEW)
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


@pytest.mark.parametrize("name, second_body, copied", [
    ("ntu60", "lineage", False), ("ntu120", "lineage", True), ("ntu60", "copied", True),
    ("ntu120", "absent", False)])
def test_second_body_of_one_person_clips(tmp_path, name, second_body, copied):
    ntu_folder(tmp_path, subjects=(0,), actions=(0,), views=(0,))
    path = prepare_store(name, tmp_path, tmp_path, PrepareConfig(second_body=second_body))
    store = open_store(path)
    assert (store.offsets[0, 1] == store.offsets[0, 0]) == copied
    assert store.meta["options"]["second_body"] == second_body


@pytest.mark.parametrize("phase, labels, classes", [
    (1, "original", 51), (2, "original", 51), (2, "dense", 41)])
def test_pku_videos_become_clips_and_splits(tmp_path, phase, labels, classes):
    name = f"pku{phase}"
    write_pku(tmp_path / "raw", phase)
    options = PrepareConfig(pku2_labels=labels)
    store = open_store(prepare_store(name, tmp_path / "raw", tmp_path, options), verify=True)
    assert len(store.classes) == classes
    report = count_report(store)
    for protocol in ("xsub", "xview"):
        train, test = split(f"{name}/{protocol}", store)
        videos = [{n.rpartition("_")[0] for n in store.names[side]} for side in (train, test)]
        assert not videos[0] & videos[1] and len(train) + len(test) == len(store)
        assert all(TESTED[phase, protocol] in video for video in videos[1])
        assert report["splits"][f"{name}/{protocol}"]["found"] == (len(train), len(test))
    assert "other counts in " + f"{name}/xsub" in report["faults"]


prepare = functools.partial(run_command, "sjepa.prepare", cwd=ROOT)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The command on 12 files, with an npz of each protocol."""
    folder = tmp_path_factory.mktemp("made")
    ntu_folder(folder / "raw", subjects=(0, 2), actions=(0, 3), views=(0, 1, 2))
    (folder / "p.yaml").write_text(f"name: ntu60\nraw: {folder / 'raw'}\nworkers: 3\n")
    run = prepare("--params", folder / "p.yaml", "--out", folder, "--export-npz",
                  "-o", "dtype=int16", "--workers", 2, "--allow-partial")
    assert run.returncode == 0, run.stderr
    return folder, run


def test_the_command_says_what_is_missing_and_records_it(made):
    folder, run = made
    assert "ntu60: 12 clips" in run.stdout and "(official: 56,578 clips)" in run.stdout
    assert "ntu60/xsub: 6 training and 6 test clips, expected are 40,091 and 16,487" in run.stdout
    assert "ntu60 lacks 56,566 of 56,578 published clips" in run.stdout
    report = json.loads((folder / "ntu60" / "counts.json").read_text())
    assert report["splits"]["ntu60/xview"] == {"found": [8, 4], "official": [37646, 18932]}
    assert report["clips"] == 12 and report["official"] == 56578
    assert listing(folder) == ["NTU60_XSub.npz", "NTU60_XView.npz", "ntu60", "p.yaml", "raw"]
    assert open_store(folder / "ntu60").frames.dtype == np.int16
    assert "12/12" in run.stderr and "file/s" in run.stderr  # progress with its rate


def test_a_part_of_a_set_fails_unless_it_is_allowed(made, tmp_path):
    """The store stays; a half-downloaded set must not go on in a chain of runs."""
    folder, _ = made
    run = prepare("ntu60", "--raw", folder / "raw", "--out", tmp_path)
    assert run.returncode == 2 and "expected are 40,091 and 16,487" in run.stdout
    assert ("is not the whole of ntu60 (12 clips and not 56,578; other counts in ntu60/xsub; other "
            "counts in ntu60/xview): it stays there") in run.stderr
    assert len(open_store(tmp_path / "ntu60", verify=True)) == 12
    assert (tmp_path / "ntu60" / "counts.json").exists()
    run = prepare("ntu60", "--out", tmp_path, "--verify", "--allow-partial")
    assert run.returncode == 0 and "checksums are those of its files" in run.stdout
    # a small file under an official name is told as well
    run = prepare("ntu60", "--raw", folder / "NTU60_XSub.npz", "--out", tmp_path)
    assert run.returncode == 2 and "12 clips and not 56,578" in run.stderr
    assert "xview" not in run.stderr  # the file tells no such protocol, which is no fault of it


def test_a_row_takes_the_store_that_is_there(store, monkeypatch):
    monkeypatch.setattr(command, "load_store", lambda name: store)
    found, report = command.prepare(PrepareRun(name="synthetic"))
    assert found.path == store.path and report["clips"] == len(store)
    assert not (store.path / "counts.json").exists()  # it is not ours to write into
