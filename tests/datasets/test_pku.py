"""The PKU-MMD reader. Every file here is generated from the published grammar."""

import pickle

import numpy as np
import pytest
from formats import refused
from sound import TESTED, VIDEOS, pair, write_pku, write_split, write_video

from sjepa.datasets.build import PrepareConfig
from sjepa.datasets.formats import pku
from sjepa.datasets.store import Clip, LeftOut


def read(raw, x, instances, name: str = "0001-L", **options) -> list:
    """What a video of these positions and instances gives."""
    write_video(raw, name, x, instances)
    video = pku.Video(1 if name[0] == "0" else 2, name, raw / "skeleton" / f"{name}.txt",
                      raw / "label" / f"{name}.txt")
    return pku.read(video, PrepareConfig(**options))


def training(raw, phase: int) -> dict[str, list[str]]:
    """The training videos of each split, as the videos below `raw` say."""
    videos = pku.files(raw, phase)
    return {split: [video.name for video in videos if video.sides[split] == "train"]
            for split in ("xsub", "xview")}


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
@pytest.mark.parametrize("seed", range(2))
def test_cuts_as_the_lineage_does(tmp_path, seed, inclusive):
    rng = np.random.default_rng(seed)
    frames = int(rng.integers(320, 360))
    x = pair(frames, seed, slice(int(rng.integers(frames)), None))
    x[100:130] = 0  # nobody is tracked for a second
    x[110, 0, 3, 0], x[110, 0, 4, 0] = 1.5, -1.5  # a sum of 0 that is not all zeros
    edges = np.sort(rng.integers(0, frames + 40, (7, 2)), axis=1).tolist()
    edges += [(0, frames), (0, 300), (1, 302), (105, 120), (130, 130), (129, 130), (9, 5),
              (frames - 1, 999), (frames, frames + 9)]
    found = read(tmp_path, x, [(1 + k, *edge) for k, edge in enumerate(edges)],
                 pku_slice="inclusive" if inclusive else "exclusive")
    wanted = literal(tmp_path, "0001-L", inclusive)
    assert [item.name for item in found] == list(wanted)
    for item in found:
        if wanted[item.name] is None:
            assert isinstance(item, LeftOut) and "there are none, or their values sum" in item.why
            continue
        label, rows = wanted[item.name]
        assert item.label == label and item.positions.dtype == np.float32
        np.testing.assert_array_equal(item.positions.reshape(len(rows), 150), np.float32(rows))
    assert 9 <= sum(isinstance(item, Clip) for item in found) < len(found)


@pytest.mark.parametrize("name, said", [
    ("0291-M", (2, -1, 2, 2, 291)), ("A03N12-R", (2, 12, 3, 2, 3))])
def test_what_the_names_say(tmp_path, name, said):
    _, item = read(tmp_path, pair(9), [(9, 0, 4), (3, 4, 9)], name)
    assert item.name == f"{name}_002"
    assert (item.label, item.subject, item.view, item.rep, item.setup) == said


@pytest.mark.parametrize("phase", [1, 2])
@pytest.mark.parametrize("choice", ["original", "dense"])
def test_labels_name_the_same_class(tmp_path, phase, choice):
    actions = [1, 11, 13, 15, 51] + [12, 38] * (phase == 1)
    name = ("0001-L", "A01N01-L")[phase - 1]
    found = read(tmp_path, pair(9), [(a, 0, 9) for a in actions], name, pku2_labels=choice)
    names = pku.classes(phase, choice)
    assert [names[item.label] for item in found] == [pku.classes(1)[a - 1] for a in actions]
    assert found[4].label == (40 if (phase, choice) == (2, "dense") else 50)
    assert (pku.classes(1)[0], pku.classes(1)[50], len(set(names))) == (
        "bow", "writing", found[4].label + 1)


@pytest.mark.parametrize("skeleton, label", [
    ("Data/PKU_Skeleton_Renew", "Label/Train_Label_PKU_final"), (".", "b/labels of skeletons")])
def test_found_wherever_they_were_unpacked(tmp_path, skeleton, label):
    names = ["0001-L", "0001-M", "0002-R"]
    for name in names:
        write_video(tmp_path, name, pair(3), [(1, 0, 3)], skeleton=skeleton, label=label)
    for beside in ("README.txt", "._0001-L.txt", "A01N01-L.md"):
        (tmp_path / skeleton / beside).write_text("not a video")
    write_split(tmp_path / "cross-subject.txt", names[:2], names[2:])
    write_split(tmp_path / "Split" / "cross-view.txt", names[1:], names[:1])
    assert [video.name for video in pku.files(tmp_path, 1)] == names
    assert pku.files(tmp_path, 2) == []
    assert training(tmp_path, 1) == {"xsub": names[:2], "xview": names[1:]}


@pytest.mark.parametrize("phase", [1, 2])
def test_split_lists(tmp_path, phase, capsys):
    write_pku(tmp_path, phase)
    found = training(tmp_path, phase)
    assert found == {split: [name for name in VIDEOS[phase] if TESTED[phase, split] not in name]
                     for split in ("xsub", "xview")}
    for video in pku.files(tmp_path, phase):
        items = pku.read(pickle.loads(pickle.dumps(video)), PrepareConfig())  # it travels
        assert len(items) == {1: 51, 2: 41}[phase]
        assert {item.sides["xsub"] == "train" for item in items} == {video.name in found["xsub"]}
    assert not capsys.readouterr().err
    split = next((tmp_path / "Split").glob("cross?view*"))
    write_split(split, found["xview"][1:], ["0001-L" if phase == 1 else "A01N01-L"])
    assert training(tmp_path, phase)["xview"] == found["xview"][1:]  # who is not listed tests
    assert f"in neither part, {found['xview'][0]} first: they test" in capsys.readouterr().err


NAMES = VIDEOS[2]
XVIEW = "Split/cross_view_v2.txt"


@pytest.mark.parametrize("change, said", [
    (lambda raw: (raw / "label" / "A01N01-M.txt").unlink(),
     "1 videos have a skeleton or labels but not both, A01N01-M first"),
    (lambda raw: (raw / XVIEW).unlink(), "has 0 files cross-view-v2.txt, expected one"),
    (lambda raw: write_split(raw / "cross-view-v2.txt", NAMES[1:], NAMES[:1]),
     "has 2 files cross-view-v2.txt, expected one"),
    (lambda raw: write_split(raw / XVIEW, NAMES, NAMES[1:2]),
     "1 videos in both lists, A01N01-M first"),
    (lambda raw: write_split(raw / XVIEW, NAMES, ["A08N01-L"]),
     "lists 1 videos that are not below .*, A08N01-L first"),
    (lambda raw: write_split(raw / XVIEW, NAMES, ["a.txt"]),
     "expected four lines: a header, training videos.* names like A01N01-L"),
])
def test_files_that_are_no_set(tmp_path, change, said):
    write_pku(tmp_path, 2, frames=1)
    change(tmp_path)
    with refused(said, tmp_path):
        pku.files(tmp_path, 2)
