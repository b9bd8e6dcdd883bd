"""Files off their grammar: each fault is one sentence, with its file and its line.

All files are generated; a letter of a text is a byte here.
"""

import json
import pickle
import random
import re
from dataclasses import asdict, is_dataclass

import numpy as np
import pytest
from formats import changed, damage, edit, refused, swap
from sound import HEADER, KINDS, NTU, SOUND, clouds, made, people, walk

from sjepa.datasets import ntu
from sjepa.datasets.ntu import SkeletonFormatError, read_skeleton, write_skeleton
from sjepa.datasets.text import TextFormatError
from sjepa.errors import SjepaError


def instead(text: str):
    return lambda _: text


def spoilt(change):
    """A change of gait's table."""
    return lambda _: walk(people("gait"), change)


BLANK = " 0 0 0 0 2\n"  # what a joint's line of NTU ends in, of which nothing is read but the state
FAULTS = [  # kind, what is done to the file, the line that must be named or 0, what is said
    ("BVH", instead(""), 1, "HIERARCHY"),
    ("BVH", swap("MOTION", "ROOT b\nMOTION"), 21, "ROOT, JOINT, End Site"),
    ("BVH", swap("}\nMOTION", "MOTION"), 26, "a whole ROOT"),
    ("BVH", swap("Zrotation X", "Xrotation X"), 5, "CHANNELS"),
    ("BVH", swap("0.02", "0"), 23, "Frame Time:"),
    ("BVH", lambda text: text[: text.rindex("1 2 3")], 26, "as many lines as frames"),
    ("BVH", swap("90 0 ", "90 "), 25, "the 6 numbers of a frame"),
    ("ASF", instead(""), 0, "a.asf lacks ':units'"),
    ("ASF", swap("angle deg", "angle rad"), 7, "angle deg"),
    ("ASF", swap("orientation 0 0 0", "orientation 0 90 0"), 14, "orientation 0 0 0"),
    ("ASF", swap("0  XYZ", "0  XYX"), 21, "axis of upper"),
    ("AMC", swap(":DEGREES", ":RADIANS"), 3, "in degrees"),
    ("AMC", swap("lower 40\n", ""), 0, "a.amc: frame 1 of 2 lacks lower"),
    ("AMC", swap("lower 40", "clavicle 40"), 7, "bone"),
    ("AMC", swap("20", "nan"), 6, "values of upper"),
    # NTU: three frames of one body. Line 1: frames; 2: bodies; 3: body; 4: joints; 5-29: joint
    # lines; the second frame begins in line 30, the third in line 58; 85 lines in all.
    *(("NTU .skeleton", *fault) for fault in (
        (instead(""), 1, "number of frames"),
        (instead("".join(map(chr, range(256))) * 4), 1, "number of frames"),
        (edit(40, ["0.\xff5"], 1), 40, "joint 8 in frame 2 of 3"),
        (edit(1, "-3"), 1, "number of frames"),
        (edit(1, "4"), 86, "number of bodies"),
        (edit(1, "2"), 58, "end of the file"),
        (edit(30, "7"), 30, "0 to 6"),
        (edit(30, "2"), 58, "10 numbers of a body"),
        (edit(31, ["1.5"], 0), 31, "body id"),
        (edit(31, ["x"], 8), 31, "10 numbers"),
        (edit(35, ""), 35, "joint"),
        (edit(36, [], 5), 36, "12 numbers"),
        (edit(36, ["nan"], 0), 36, "finite metres of joint 4"),
        (edit(36, ["3500.0"], 2), 36, "finite metres"),
        (edit(36, ["left"], 0), 36, "12 numbers"),
        (edit(36, ["here"], 5), 36, "12 numbers"),
        (edit(36, ["3"], 11), 36, "tracking state"),
        (lambda text: "\n".join(text.split("\n")[:40]), 41, "joint 9 in frame 2"),
        (lambda text: text.replace(text.split("\n")[35] + "\n", ""), 57, "joint"),
        (lambda text: edit(37, "1 " + text.split("\n")[36])(edit(36, [], 5)(text)), 36,
         "12 numbers"),
        (lambda text: text + "thanks\n", 86, "end of the file"))),
    ("PKU-MMD skeletons", lambda text: text[: len(text) * 5 // 8], 3, "150 .* fields"),
    ("PKU-MMD skeletons", swap("\n", "\n\n"), 2, "150 .* 0 fields"),
    ("PKU-MMD skeletons", lambda text: "left" + text, 1, "150 numbers.*found 'left"),
    ("PKU-MMD skeletons", lambda text: "3012" + text[text.index(" ") :], 1,
     "150 numbers, .* in metres, found '3012"),
    ("PKU-MMD labels", instead("1,0,2,1\n1,2,3"), 2, "one of 51 action"),
    ("PKU-MMD labels", instead("52,0,2,1"), 1, "one of 51 action ids"),
    ("PKU-MMD labels", instead("1,-2,3,1"), 1, ""),
    ("kard", instead(""), 1, "15 rows a frame"),
    ("kard", lambda text: text.split("\n", 1)[1], 75, "15 rows a frame"),
    ("kard", swap(" ", ""), 1, "x y z"),
    ("florence", lambda text: text[:-1] + "x\n", 75, "x y z"),
    ("msrdaily", swap("\n2 7 ", "\n2 8 "), 27, "joint 7"),
    ("msrdaily", lambda text: re.sub(r"\n1 3 \S+", "\n1 3 inf", text), 3, "joint 3, its x, y, z"),
    ("msrdaily", swap("\n1 4 ", " nan\n1 4 "), 3, "frame, joint, x, y, z"),
    ("sbu", swap("567,", ","), 2, "90 coordinates"),
    ("sbu", lambda text: text.split(",", 46)[0] + "\n", 1, "90 coordinates"),
    ("kindergator", lambda text: text.split("\n", 1)[1], 1, "with Timestamp"),
    ("kindergator", swap("HeadX,HeadY", "HeadY,HeadX"), 1, "with HeadX"),
    ("kindergator", instead(HEADER + "\n"), 2, "1 to 100000 rows of 61 fields"),
    ("kindergator", swap("888,Jump,", "888,Jump,,"), 2, "61 to 64 fields"),
    ("kindergator", edit(3, ["NaN"], 7, ","), 3, "60 coordinates"),
    ("kindergator", edit(6, [""], 30, ","), 6, "60 coordinates"),
    ("islkinect", swap("\n", ",1\n"), 1, "x y z of 20 joints"),
    ("islkinect", lambda text: text.rsplit(",", 1)[0], 5, "x y z of 20 joints"),
    ("gait", spoilt(lambda rows: rows[:, :-1]), 1, "x y z of 25 joints, found 100 fields"),
    ("gait", spoilt(lambda rows: rows * np.where(np.arange(5)[:, None] == 4, 2, 1)), 5,
     "joints 0 to 24"),
    ("gait", spoilt(lambda rows: np.where(np.arange(101) % 4 == 1, rows, 1e-9)), 1,
     "a frame with positions"),
    ("wmft", lambda raw: raw[:-4], 0, "has 1,496 bytes, expected a multiple of 300"),
    ("wmft", instead(""), 0, "has 0 bytes"),
    ("wmft", lambda raw: raw[:600] + "\0\0\xc0\x7f" + raw[604:], 0, "frame 3: expected finite"),
    ("wmft", lambda raw: "\0" * len(raw), 0, "actor 1 is in no frame"),
    ("nwucla", instead("\x00\x01"), 0, "is damaged .* get it again"),
    ("nwucla", instead("[]"), 0, "is no NW-UCLA clip"),
    ("nwucla", instead('{"skeletons": []}'), 0, "KeyError.*label"),
    ("nwucla", instead('{"label": 10, "skeletons": [[[1, 2], [3]]]}'), 0, "is no NW-UCLA clip"),
    ("nwucla", instead(json.dumps({"label": 10, "skeletons": [[["1", "2", "3"]] * 20]})), 0,
     "of numbers, finite and in metres, found .* of <U1"),
    ("nwucla", swap('"label": 10', '"label": 9'), 0, "label 9, expected 10, which the name says"),
    ("nwucla", swap('"label": 10', '"label": "ten"'), 0, "label ten, expected 10"),
    ("UI-PRMD Kinect gz", lambda raw: raw[:-20], 0, "is no whole gzip file"),
    ("pyskl pickle", instead("cbuiltins\ngetattr\n(Vtext\nVupper\ntR."), 0,
     "is refused: not a pickle of plain values .*it names builtins.getattr"),
    ("pyskl pickle", swap("keypoint_score", "keypoint_scare"), 0, "lacks a part of a clip"),
    ("landmarks dicts.json", instead("{"), 0, "holds no landmarks .* expected a JSON list of f"),
    ("landmarks dicts.json", instead('[[], {"worldLandmarks": []}]'), 0, "nobody is in it"),
    ("landmarks dicts.json", instead('[{"speed": 3, "places": {"a": 1}}]'), 0,
     "nobody is in it.* found a dict of speed, places"),
    ("landmarks visible.npy", instead("text"), 0, "is no readable npy of numbers"),
    ("landmarks x0.csv", instead("1,2,3\n"), 0, "a table of 3 numbers a line and no header"),
    ("landmarks x0.csv", instead("speed,heart\n1,2\n"), 0,
     "no columns of joints.* in the header speed, heart"),
    ("landmarks x0.csv", instead(""), 1, "a header and a line a frame"),
    ("landmarks x0.csv", instead(",".join(map(str, range(99)))), 1,
     "a line a frame below the numbers"),
    ("BVH of a person", instead("text"), 1, "ROOT"),
]


@pytest.mark.parametrize("kind, change, line, said", FAULTS)
def test_a_fault_is_one_sentence_with_its_file_and_its_line(tmp_path, kind, change, line, said):
    path, read = made(tmp_path, kind)
    damage(path, change)
    expected = f"line {line}: expected .*{said}" if line else said
    with refused(expected, tmp_path) as caught:
        read(path)
    error = caught.value
    assert str(path) in str(error)
    if line:
        assert isinstance(error, TextFormatError) and len(error.found) <= 60
        assert isinstance(error, SkeletonFormatError) == (kind == "NTU .skeleton")
        assert str(error) == f"{path}, line {line}: expected {error.expected}, found {error.found}"
        assert str(pickle.loads(pickle.dumps(error))) == str(error)  # workers send it home


@pytest.mark.parametrize("kind", [kind for kind in SOUND if kind not in KINDS])
def test_a_file_is_read_while_it_is_there_and_else_is_one_sentence(tmp_path, kind):
    path, read = made(tmp_path, kind)
    read(path)
    path.unlink()
    with refused(f"{re.escape(str(path))} cannot be read: No such file"):
        read(path)


ODDITIES = [  # kind and what is done to the file
    ("BVH", lambda text: "\xef\xbb\xbf" + text.replace("\n{", " {").replace(
        "Xposition", "XPOSITION").replace("ROOT", "root").replace(
        "End Site", "End site toe").replace("\n", "\r\n") + "\r\n \r\n"),
    ("ASF", lambda text: "# a comment with an \xe4\n" + text.replace("    ", "\t").replace(
        "\n", "\r\n", 7)),
    ("AMC", lambda text: text.replace("\n1\n", "\n5\n").replace("\n2\n", "\n6\n").replace(
        "\n", "\r\n") + " \n"),
    *(("NTU .skeleton", change) for change in (
        lambda raw: raw.replace("\n", "\r\n", 40), lambda raw: raw.replace(" ", "\t"),
        lambda raw: raw.replace("\n", " \n"), lambda raw: raw.rstrip("\n"),
        lambda raw: raw + "\n \r\n\n", lambda raw: raw.replace(BLANK, " nan NaN -inf 0 2\n"))),
    *((name, lambda text: text.replace("\n", "\r\n")) for name in KINDS
      if name not in ("wmft", "nwucla")),
    *(("kindergator", change) for change in (
        lambda text: "\xef\xbb\xbf" + text.replace("\n", "\r\n", 3),
        lambda text: text.replace(",888,Jump,", ""),  # 61 fields are a full row
        lambda text: text.replace(",User-ID,Action,", ""), lambda text: text.replace(",", ", "),
        lambda text: text + "50621500.1,0.5,0.25\n",  # a row that was cut
        lambda text: text.replace("\n506", "\n,\n506", 2) + "\n\n\n")),
]


def plain(value):
    """What was read, as lists and arrays; the order of a dict counts too."""
    value = asdict(value) if is_dataclass(value) else value
    if isinstance(value, dict):
        return [(key, plain(each)) for key, each in value.items()]
    return [plain(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("kind, change", ODDITIES)
def test_legal_oddities_read_the_same(tmp_path, kind, change):
    path, read = made(tmp_path, kind)
    if kind == "NTU .skeleton":
        x = clouds(4, 6)
        x[1] = 0  # nobody
        write_skeleton(path, x, np.arange(4)[:, None] % 3 + np.arange(6))  # they come and go
    sound, before = plain(read(path)), path.read_bytes()
    damage(path, change)
    assert path.read_bytes() != before
    np.testing.assert_equal(plain(read(path)), sound)


def literal_read(raw: bytes) -> list[list[list[float]]]:
    """Joints of all bodies of an NTU file, token by token; it fails on a file of other counts."""
    rows, found = iter(raw.rstrip().split(b"\n")), []
    for _ in range(int(next(rows))):
        for _ in range(int(next(rows))):
            assert len(next(rows).split()) == 10 and int(next(rows)) == 25
            lines = [next(rows).split() for _ in range(25)]
            assert all(len(line) == 12 and int(line[-1]) in (0, 1, 2) for line in lines)
            found.append([[float(word) for word in line[:3]] for line in lines])
    assert not list(rows)
    return found


@pytest.mark.parametrize("seed", range(50))
def test_a_damaged_ntu_file_is_read_as_it_stands_or_its_fault_has_a_line(tmp_path, seed):
    path = tmp_path / NTU
    write_skeleton(path, clouds(3, 2))
    path.write_bytes(changed(path.read_bytes(), random.Random(seed)))
    try:
        clip = read_skeleton(path)
    except SkeletonFormatError as error:
        assert 1 <= error.line <= path.read_bytes().count(b"\n") + 2
        return
    joints = np.array(literal_read(path.read_bytes()), np.float32).reshape(-1, 25, 3)
    kept = np.concatenate([np.empty((0, 25, 3)), *(each.joints for each in clip.bodies.values())])
    assert kept.shape == joints.shape and clip.bodies_per_frame.sum() == len(joints)
    np.testing.assert_array_equal(np.sort(kept, None), np.sort(joints, None))


def test_the_same_ntu_body_twice_in_a_frame(tmp_path):
    write_skeleton(tmp_path / NTU, clouds(2, 2), 7)
    with refused("line 30: expected every body once"):
        read_skeleton(tmp_path / NTU)


@pytest.mark.parametrize("text", [
    "S1C2P3R1A13", "S001C002P003R001A000", "S001C002P003R001A013.txt", "S001C002P003R001A01３",
    "S001C002P003R001A013\n"])
def test_an_ntu_name_off_the_scheme(text):
    with pytest.raises(SjepaError, match="not an NTU clip name"):
        ntu.parse_name(text)
