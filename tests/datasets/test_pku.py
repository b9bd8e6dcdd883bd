"""The PKU-MMD reader. Every file here is generated from the published grammar."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from formats import damaged, fuzz
from hypothesis import given
from hypothesis import strategies as st
from pku_files import people, skeleton_text, write_set, write_split, write_video

from sjepa.datasets.build import Clip, LeftOut, PrepareConfig
from sjepa.datasets.formats import pku
from sjepa.datasets.text import TextFormatError
from sjepa.errors import SjepaError


def read(raw, phase: int = 1, **options) -> list:
    """What the only video below `raw` gives."""
    names = {video.stem for video in (raw / "skeleton").glob("*.txt")}
    (name,) = [name for name in names if pku.SCHEMES[phase].fullmatch(name)]
    video = pku.Video(phase, name, *(raw / kind / f"{name}.txt" for kind in ("skeleton", "label")))
    return pku.read(video, PrepareConfig(**options))


def lists(raw, phase: int) -> dict[str, list[str]]:
    """The training videos of each split, as the videos below `raw` say."""
    videos = pku.files(raw, phase)
    return {split: [video.name for video in videos if video.sides[split] == "train"]
            for split in ("xsub", "xview")}


def one(raw, x, instances, name: str = "0001-L", **options) -> list:
    write_video(raw, name, x, instances)
    return read(raw, 1 if name[0] == "0" else 2, **options)


# --- cutting ------------------------------------------------------------------------------------


def literal(raw, name: str, inclusive: bool) -> dict[str, tuple[int, list] | None]:
    """The lineage's arithmetic once more, one number at a time: None for what it drops."""
    rows = [[float(word) for word in line.split()]
            for line in (raw / "skeleton" / f"{name}.txt").read_text().splitlines()]
    found = {}
    for k, line in enumerate((raw / "label" / f"{name}.txt").read_text().splitlines()):
        action, start, end, _ = (int(word) for word in line.split(","))
        last = end if inclusive else end - 1
        cut = [row for t, row in enumerate(rows) if start <= t <= last]
        total = sum(sum(row) for row in cut)
        found[f"{name}_{k + 1:03d}"] = (action - 1, cut[:300]) if total != 0 else None
    return found


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_cuts_as_the_lineage_does(tmp_path, seed, inclusive):
    rng = np.random.default_rng(seed)
    frames = int(rng.integers(320, 360))
    x = people(frames, seed, slice(int(rng.integers(frames)), None))
    x[100:130] = 0  # nobody is tracked for a second
    edges = rng.integers(0, frames + 40, (14, 2))
    edges[7:] = np.sort(edges[7:], axis=1)
    fixed = [(0, frames), (0, 300), (1, 302), (105, 120), (130, 130), (129, 130), (frames - 1, 999)]
    edges = [*edges.tolist(), *fixed]
    found = one(tmp_path, x, [(1 + k, *edge) for k, edge in enumerate(edges)],
                pku_slice="inclusive" if inclusive else "exclusive")
    wanted = literal(tmp_path, "0001-L", inclusive)
    assert [item.name for item in found] == list(wanted)
    for item in found:
        if wanted[item.name] is None:
            assert isinstance(item, LeftOut)
            continue
        label, rows = wanted[item.name]
        assert item.label == label and item.positions.dtype == np.float32
        np.testing.assert_array_equal(item.positions.reshape(len(rows), 150), np.float32(rows))
    kept = sum(isinstance(item, Clip) for item in found)
    assert 9 <= kept < len(found)


def test_what_the_names_say(tmp_path):
    cuts = [(9, 0, 4), (3, 4, 9)]
    write_video(tmp_path, "0291-M", people(9), cuts)
    write_video(tmp_path, "A03N12-R", people(9), cuts)
    first, second = read(tmp_path, 1)
    said = (first.name, first.label, first.subject, first.view, first.rep, first.setup)
    assert said == ("0291-M_001", 8, -1, 2, 1, 291)
    assert (second.name, second.label, second.rep) == ("0291-M_002", 2, 2)
    first, _ = read(tmp_path, 2)
    said = (first.name, first.label, first.subject, first.view, first.rep, first.setup)
    assert said == ("A03N12-R_001", 8, 12, 3, 1, 3)


def test_what_is_left_out_and_why(tmp_path):
    x = people(40)
    x[20:30] = 0
    x[24, 0, 3, 0], x[24, 0, 4, 0] = 1.5, -1.5  # a sum of 0 that is not all zeros
    edges = [(5, 5), (9, 5), (40, 50), (20, 30), (21, 23), (38, 90), (39, 40)]
    found = one(tmp_path, x, [(1, *edge) for edge in edges])
    why = [item.why.split(": ")[1] if isinstance(item, LeftOut) else len(item.positions)
           for item in found]
    assert why == ["it begins at its end or later"] * 2 + ["it begins behind the video"] + [
        "its values sum to 0"] * 2 + [2, 1]
    assert found[1].why.startswith("frames 9 to 5 of 40: ") and found[1].name == "0001-L_002"


# --- labels -------------------------------------------------------------------------------------


def test_class_names():
    names = pku.classes(1)
    assert len(set(names)) == 51 and (names[0], names[50]) == ("bow", "writing")
    assert pku.classes(1, "dense") == pku.classes(2) == names
    paired = [k for k, name in enumerate(names, 1) if "other person" in name or "pocket" in name]
    assert sorted([*paired, names.index("handshaking") + 1]) == list(pku.NOT_IN_PHASE_2)
    assert list(pku.classes(2, "dense")) == [n for k, n in enumerate(names, 1) if k not in
                                       pku.NOT_IN_PHASE_2]


@pytest.mark.parametrize("phase", [1, 2])
@pytest.mark.parametrize("choice", ["original", "dense"])
def test_labels_name_the_same_class(tmp_path, phase, choice):
    actions = [1, 11, 13, 15, 51] + [12, 38] * (phase == 1)
    name = ("0001-L", "A01N01-L")[phase - 1]
    found = one(tmp_path, people(9), [(a, 0, 9) for a in actions], name, pku2_labels=choice)
    names = pku.classes(phase, choice)
    assert [names[item.label] for item in found] == [pku.classes(1)[a - 1] for a in actions]
    assert found[4].label == (40 if (phase, choice) == (2, "dense") else 50)


def test_dense_labels_have_no_place_for_the_ten(tmp_path):
    cuts = [(1, 0, 3), (12, 3, 6)]
    assert one(tmp_path, people(9), cuts, "A01N01-L")[1].label == 11
    with pytest.raises(TextFormatError, match="label.A01N01-L.txt, line 2: .*41 action ids.*'12'"):
        read(tmp_path, 2, pku2_labels="dense")


# --- finding ------------------------------------------------------------------------------------

LAYOUTS = {
    "as the archives": ("Data/PKU_Skeleton_Renew", "Label/Train_Label_PKU_final"),
    "as the scripts want": ("skeleton", "label"),
    "by content": ("a", "b"),
    "by content, the other way": ("b", "a"),
    "beside the labels": (".", "Label_PKUMMD"),
    "names that say both": ("skeletons of label v1", "labels of skeleton v1"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_found_wherever_they_were_unpacked(tmp_path, layout):
    skeleton, label = LAYOUTS[layout]
    names = ["0001-L", "0001-M", "0002-R"]
    for name in names:
        part = {"0001-M": "/part 2"}.get(name, "")
        write_video(tmp_path, name, people(3), [(1, 0, 3)], skeleton=skeleton + part,
                    label=label + part)
    for beside in ("README.txt", "._0001-L.txt", "0001-L (1).txt", "A01N01-L.md"):
        (tmp_path / skeleton / beside).write_text("not a video")
    videos = pku.files(tmp_path, 1)
    assert [video.name for video in videos] == names and pku.files(tmp_path, 2) == []
    assert all(len(pku.read(video, PrepareConfig())) == 1 for video in videos)


def spoil(action):
    def change(raw):
        write_set(raw, 1, frames=1)
        action(raw / "skeleton", raw / "label")
    return change


SPOILT = {
    "no labels": (spoil(lambda s, k: (k / "0290-M.txt").unlink()), "1 of 6 .* not labels, .*0290"),
    "no skeletons": (spoil(lambda s, k: [f.unlink() for f in s.iterdir()]), "6 of 6 .* a skeleton"),
    "twice": (spoil(lambda s, k: (s / "more").mkdir() or (s / "0001-L.txt").rename(
        s / "more" / "0001-M.txt")), "0001-M.txt are the same video"),
    "bad view": (spoil(lambda s, k: (s / "0001-R.txt").rename(s / "0001-X.txt")),
                 "1 of 6 .* skeleton, .*0001-R"),
    "untold": (lambda raw: (raw / "0001-L.txt").write_text("1 2 3"), "neither rows of 150 numbers"),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_files_that_are_no_set(tmp_path, fault):
    change, says = SPOILT[fault]
    raw = tmp_path / "raw"
    raw.mkdir()
    change(raw)
    with pytest.raises(SjepaError, match=says):
        pku.files(raw, 1)


# --- splits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [1, 2])
def test_split_lists(tmp_path, phase):
    write_set(tmp_path, phase)
    found = lists(tmp_path, phase)
    assert found == {
        1: {"xsub": ["0001-L", "0001-M", "0001-R", "0290-M"],
            "xview": ["0001-M", "0001-R", "0290-M", "0291-M"]},
        2: {"xsub": ["A01N01-L", "A01N01-M", "A01N02-R"],
            "xview": ["A01N01-M", "A01N02-R", "A02N03-M"]},
    }[phase]
    for video in pku.files(tmp_path, phase):
        items = pku.read(pickle.loads(pickle.dumps(video)), PrepareConfig())  # it travels
        assert len(items) == {1: 51, 2: 41}[phase]
        assert {item.sides["xsub"] == "train" for item in items} == {video.name in found["xsub"]}


def test_the_published_rule():
    names = [f"{number:04d}-{view}" for number in range(1, 365) for view in "LMR"]
    tests = {p: [n for n in names if not pku.trains_by_rule(p, n)] for p in ("xsub", "xview")}
    assert len(tests["xsub"]) == 132 and tests["xsub"][0] == "0291-L"
    assert tests["xsub"][-1] == "0334-R" and {name[-1] for name in tests["xview"]} == {"L"}


def test_odd_but_harmless_is_said(tmp_path, capsys):
    write_set(tmp_path, 1, frames=1)
    write_split(tmp_path / "Split" / "cross-subject.txt", ["0291-L", "0001-L"], ["0001-M"])
    (tmp_path / "Split" / "cross-view.txt").unlink()
    found = lists(tmp_path, 1)
    assert found["xsub"] == ["0001-L", "0291-L"]
    assert found["xview"] == ["0001-M", "0001-R", "0290-M", "0291-M"]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 4 and "lists 3 videos in neither part, 0001-R first: they test" in said[1]
    assert "differs from the published rule in 4 videos, 0001-M first" in said[2]
    assert "no cross-view.txt" in said[3] and "the published rule tells" in said[3]


SPLIT_FAULTS = {
    "both": ("T\nA01N01-L, A01N01-M\nV\nA01N01-M,A01N02-R\n", "1 videos in both lists, A01N01-M"),
    "not there": ("T\nA01N01-L, A09N09-M\nV\nA08N01-L\n", "lists 2 videos that are .*, A08N01-L"),
    "one list": ("T\nA01N01-L\n", "line 3: expected four lines.*end of the file"),
    "a header less": ("A01N01-L\nV\nA01N01-M\nX\n", "line 2: expected names of videos"),
    "blank line": ("T\n\nA01N01-L\nV\nA01N01-M\n", "line 2: .*a blank line"),
    "with suffix": ("T\nA01N01-L.txt\nV\nA01N01-M\n", "line 2: .*found 'A01N01-L.txt'"),
}


@pytest.mark.parametrize("fault", SPLIT_FAULTS)
def test_split_faults(tmp_path, fault):
    text, says = SPLIT_FAULTS[fault]
    write_set(tmp_path, 2, frames=1)
    (tmp_path / "Split" / "cross_subject_v2.txt").write_text(text)
    with pytest.raises(SjepaError, match=says):
        lists(tmp_path, 2)


def test_phase_two_needs_its_lists_and_each_once(tmp_path):
    write_set(tmp_path, 2, frames=1)
    path = tmp_path / "Split" / "cross_view_v2.txt"
    path.with_name("cross-view-v2.txt").write_bytes(path.read_bytes())
    with pytest.raises(SjepaError, match="are the same split file: remove one"):
        lists(tmp_path, 2)
    path.unlink()
    assert "xview" in lists(tmp_path, 2)
    path.with_name("cross-view-v2.txt").unlink()
    with pytest.raises(SjepaError, match="lacks the owners' split file cross_view_v2.txt"):
        lists(tmp_path, 2)


# --- text ---------------------------------------------------------------------------------------


def rows_of(tmp_path, text: str | bytes) -> np.ndarray:
    path = tmp_path / "0001-L.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return pku.read_rows(path)


@pytest.mark.parametrize("change", [
    lambda t: t.replace("\n", "\r\n"), lambda t: t.replace("\n", "\r\n", 2),
    lambda t: t + "\n \r\n", lambda t: t.replace(" ", "\t"), lambda t: t.replace(" ", "   "),
    lambda t: " " + t, lambda t: t.replace("\n", " \n"), lambda t: t.rstrip("\n"),
    lambda t: "\ufeff" + t,
])
def test_legal_oddities(tmp_path, change):
    x = people(5, second=slice(0, 2))
    text = skeleton_text(x)
    assert change(text) != text
    rows = rows_of(tmp_path, change(text))
    np.testing.assert_array_equal(rows.astype(np.float32), x.reshape(5, 150))


def edit(line: int, new: str, field: int | None = None):
    def change(text: str) -> str:
        rows = text.split("\n")
        words = rows[line - 1].split()
        whole = new if field is None else " ".join(words[:field] + new.split() + words[field + 1 :])
        return "\n".join(rows[: line - 1] + [whole] + rows[line:])
    return change


ROW_FAULTS = {  # of a file of four rows
    "empty": (lambda t: "", 1, "150 numbers", "the end of the file"),
    "one endless line": (lambda t: t.replace("\n", " "), 1, "150 numbers", "600 fields"),
    "a number more": (edit(4, "1 1", 0), 4, "150 numbers", "151 fields"),
    "cut in a row": (lambda t: t[: len(t) * 5 // 8], 3, "150 numbers", "fields"),
    "blank line": (edit(2, ""), 2, "150 numbers", "a blank line"),
    "nan": (edit(3, "NaN", 7), 3, "150 numbers", "'NaN'"),
    "millimetres": (edit(2, "3012.5", 149), 2, "metres, each below 1000", "'3012.5'"),
    "a word": (edit(2, "left", 0), 2, "150 numbers", "'left'"),
}


@pytest.mark.parametrize("fault", ROW_FAULTS)
def test_fault_in_a_skeleton_is_named_with_its_line(tmp_path, fault):
    change, line, expected, found = ROW_FAULTS[fault]
    with pytest.raises(TextFormatError) as caught:
        rows_of(tmp_path, change(skeleton_text(people(4))))
    error = caught.value
    assert (error.path, error.line) == (str(tmp_path / "0001-L.txt"), line)
    assert expected in error.expected and found in error.found and len(error.found) <= 60
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


LABEL_FAULTS = {
    "empty": (b"", 1), "three fields": (b"1,2,3,1\n1,2,3\n", 2), "five": (b"1,2,3,1,1\n", 1),
    "action 0": (b"0,2,3,1\n", 1), "action 52": (b"1,2,3,1\n52,2,3,1\n", 2),
    "a fraction": (b"1,2.5,3,1\n", 1), "a negative frame": (b"1,-2,3,1\n", 1),
    "confidence a word": (b"1,2,3,high\n", 1), "blank line": (b"1,2,3,1\n\n1,4,5,1\n", 2),
}


@pytest.mark.parametrize("fault", LABEL_FAULTS)
def test_fault_in_labels_is_named_with_its_line(tmp_path, fault):
    raw, line = LABEL_FAULTS[fault]
    write_video(tmp_path, "0001-L", people(9), [])
    path = tmp_path / "label" / "0001-L.txt"
    path.write_bytes(raw)
    with pytest.raises(TextFormatError) as caught:
        read(tmp_path)
    assert (caught.value.path, caught.value.line) == (str(path), line)


SKELETON = skeleton_text(people(4, second=slice(1, 3))).encode()
LABELS = b"1,0,2,1\n12,1,3,2\n51, 2, 4, 1\n7,3,3,1\n"


@fuzz
@given(st.data())
def test_fuzz_clips_or_a_named_fault(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    video = pku.Video(1, "0001-L", folder / "skeleton.txt", folder / "label.txt")
    video.skeleton.write_bytes(data.draw(st.one_of(st.just(SKELETON), damaged(SKELETON))))
    video.labels.write_bytes(data.draw(damaged(LABELS)))
    try:
        found = pku.read(video, PrepareConfig())
    except TextFormatError as error:
        assert 1 <= error.line <= 40 and error.path.startswith(str(folder))
        return
    for item in found:
        if isinstance(item, Clip):
            assert item.positions.shape[1:] == (2, 25, 3) and 1 <= len(item.positions) <= 5 + 4
            assert np.isfinite(item.positions).all() and 0 <= item.label < 51
