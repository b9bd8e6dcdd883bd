"""The NTU reader and writer, and the lineage's cleaning. Every file here is synthetic."""

import pickle
import random

import numpy as np
import pytest
from formats import changed

from sjepa.datasets import ntu
from sjepa.datasets.formats import mamp_cleaning as lineage
from sjepa.datasets.ntu import SkeletonClip, SkeletonFormatError, read_skeleton, write_skeleton
from sjepa.errors import SjepaError


def people(frames: int, bodies: int = 1, seed: int = 0, move: float = 0.02) -> np.ndarray:
    """`[T, M, 25, 3]` float32: tall, narrow, slowly drifting clouds of joints."""
    rng = np.random.default_rng(seed)
    rest = rng.normal(size=(1, bodies, 25, 3)) * (0.1, 0.5, 0.1) + (0.3, 0.1, 3)
    return (rest + rng.normal(size=(frames, bodies, 1, 3)).cumsum(0) * move).astype(np.float32)


def write(path, x: np.ndarray, **how):
    write_skeleton(path / "S001C002P003R001A013.skeleton", x, **how)
    return path / "S001C002P003R001A013.skeleton"


@pytest.mark.parametrize("text", [
    "S1C2P3R1A13", "S001C002P003R001A000", "S001C002P003R001A013.txt", "S001C002P003R001A01３",
    "S001C002P003R001A013\n"])
def test_name_off_the_scheme(text):
    with pytest.raises(SjepaError, match="not an NTU clip name"):
        ntu.parse_name(text)


def test_round_trip_is_exact(tmp_path):
    x = people(40, bodies=2)
    x[5:9, 1] = 0
    x[0, 0, 0] = (-0.0, 1e-5, np.float32(1) / 3)  # signed zero, an exponent, nine digits
    x[0, 0, 1] = (np.nextafter(np.float32(4.5), np.float32(5)), -123.456789, 1e-38)
    path = write(tmp_path, x)
    clip = read_skeleton(path)
    assert (clip.name, clip.frames, len(clip.bodies)) == ("S001C002P003R001A013", 40, 2)
    assert list(clip.bodies_per_frame) == [2] * 5 + [1] * 4 + [2] * 31
    for slot, track in enumerate(clip.bodies.values()):
        present = np.flatnonzero((x[:, slot] != 0).any(axis=(1, 2)))
        np.testing.assert_array_equal(track.frame_indices, present)
        np.testing.assert_array_equal(track.joints.view(np.int32), x[present, slot].view(np.int32))
        assert track.frame_indices.dtype == np.int64 and track.joints.dtype == np.float32
        assert track.tracking.dtype == np.int8 and (track.tracking == 2).all()
        assert track.joints.flags.c_contiguous  # the lineage's sums depend on the order in memory
    assert b"\r" not in path.read_bytes() and list(tmp_path.iterdir()) == [path]


PLAIN = """1 -1 0.5 5. -5. 1e-3 -2.5E1 3.25e-07 0.1234567890123456789 1.00000000000001 -0 -0.0
    +1 .5 -.5 -2.5E+1 +.5e+1
    12.345678901234 -0.00012345678 000.5 999.99999999999 4.35 0.3 -9.99999999999999 1E0""".split()


@pytest.mark.parametrize("column", range(3))
def test_numbers_are_read_as_float_reads_them(tmp_path, column):
    path = write(tmp_path, people(1))
    rows = path.read_text().split("\n")
    for k, number in enumerate(PLAIN):
        fields = rows[4 + k].split()
        rows[4 + k] = " ".join([*fields[:column], number, *fields[column + 1 :]])
    path.write_text("\n".join(rows))
    (track,) = read_skeleton(path).bodies.values()
    wanted = np.array([float(number) for number in PLAIN], np.float32)
    got = track.joints[0, : len(PLAIN), column]
    np.testing.assert_array_equal(got.view(np.int32), wanted.view(np.int32))


@pytest.mark.parametrize("change", [
    lambda raw: raw.replace(b"\n", b"\r\n", 40),  # mixed
    lambda raw: raw.replace(b" ", b"\t"),
    lambda raw: raw.replace(b"\n", b" \n"),
    lambda raw: raw.rstrip(b"\n"),
    lambda raw: raw + b"\n \r\n\n",
    lambda raw: raw.replace(b" 0 0 0 0 2\n", b" nan NaN -inf 0 2\n"),  # unused fields
])
def test_legal_oddities_are_read_alike(tmp_path, change):
    x = people(4, bodies=6)
    x[1] = 0  # nobody
    path = write(tmp_path, x, ids=np.arange(4)[:, None] % 3 + np.arange(6))  # they come and go
    plain, raw = read_skeleton(path), path.read_bytes()
    assert change(raw) != raw
    path.write_bytes(change(raw))
    odd = read_skeleton(path)
    assert list(odd.bodies) == list(plain.bodies)
    for body, track in odd.bodies.items():
        for column in ("frame_indices", "joints", "tracking"):
            np.testing.assert_array_equal(getattr(track, column),
                                          getattr(plain.bodies[body], column))


# Three frames of one body. Line 1: frames; 2: bodies; 3: body; 4: joints; 5-29: joint lines;
# the second frame begins in line 30, the third in line 58; 85 lines in all.


def edit(line: int, new, field: int | None = None):
    def change(raw: bytes) -> bytes:
        rows = raw.split(b"\n")
        if field is None:
            rows[line - 1] = new
        else:
            tokens = rows[line - 1].split()
            rows[line - 1] = b" ".join(tokens[:field] + new + tokens[field + 1 :])
        return b"\n".join(rows)

    return change


FAULTS = {
    "empty": (lambda raw: b"", 1, "number of frames"),
    "binary": (lambda raw: bytes(range(256)) * 4, 1, "number of frames"),
    "stray byte": (edit(40, [b"0.\xff5"], 1), 40, "joint 8 in frame 2 of 3"),
    "frames negative": (edit(1, b"-3"), 1, "number of frames"),
    "more frames than there are": (edit(1, b"4"), 86, "number of bodies"),
    "fewer frames than there are": (edit(1, b"2"), 58, "end of the file"),
    "seven bodies": (edit(30, b"7"), 30, "0 to 6"),
    "a body more than there is": (edit(30, b"2"), 58, "10 numbers of a body"),
    "body id a fraction": (edit(31, [b"1.5"], 0), 31, "body id"),
    "lean not a number": (edit(31, [b"x"], 8), 31, "10 numbers"),
    "joint line missing": (lambda raw: raw.replace(raw.split(b"\n")[35] + b"\n", b""), 57, "joint"),
    "joint line short": (edit(36, [], 5), 36, "12 numbers"),
    "x is nan": (edit(36, [b"nan"], 0), 36, "finite metres of joint 4"),
    "z in millimetres": (edit(36, [b"3500.0"], 2), 36, "finite metres"),
    "x is a word": (edit(36, [b"left"], 0), 36, "12 numbers"),
    "a pixel is a word": (edit(36, [b"here"], 5), 36, "12 numbers"),
    "tracking state 3": (edit(36, [b"3"], 11), 36, "tracking state"),
    "cut after a line": (lambda raw: b"\n".join(raw.split(b"\n")[:40]), 41, "joint 9 in frame 2"),
    "a field moved down a line": (lambda raw: edit(37, b"1 " + raw.split(b"\n")[36])(
        edit(36, [], 5)(raw)), 36, "12 numbers"),
    "rubbish at the end": (lambda raw: raw + b"thanks\n", 86, "end of the file"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_named_with_its_line(tmp_path, fault):
    change, line, expected = FAULTS[fault]
    path = write(tmp_path, people(3))
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(SkeletonFormatError) as caught:
        read_skeleton(path)
    error = caught.value
    assert (error.path, error.line) == (str(path), line)
    assert expected in error.expected and len(error.found) < 60
    message = f"{path}, line {line}: expected {error.expected}, found {error.found}"
    assert str(error) == message and isinstance(error, SjepaError)
    assert str(pickle.loads(pickle.dumps(error))) == message  # workers send it to their parent


def test_the_same_body_twice_in_a_frame(tmp_path):
    path = write(tmp_path, people(2, bodies=2), ids=7)
    with pytest.raises(SkeletonFormatError, match="line 30: expected every body once"):
        read_skeleton(path)


def literal_read(raw: bytes) -> list[list[list[float]]]:
    """Joints of all bodies of a file, token by token; it fails on a file of other counts."""
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
def test_a_damaged_file_is_read_as_it_stands_or_its_fault_has_a_line(tmp_path, seed):
    path = write(tmp_path, people(3, bodies=2))
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


@pytest.mark.parametrize("x", [np.ones((2, 7, 25, 3)), np.full((1, 1, 25, 3), np.nan)])
def test_writer_refuses(tmp_path, x):
    with pytest.raises(SjepaError, match="bodies must be"):
        write(tmp_path, x)
    assert not list(tmp_path.iterdir())


def literal(rows: list[list[tuple[int, np.ndarray]]]) -> np.ndarray:
    """The published steps once more, frame by frame and one number at a time.

    Args:
        rows: for each frame, the (body id, `[25, 3]`) pairs in file order.
    """
    data, valid = {}, -1
    for row in rows:
        if not row:
            continue
        valid += 1
        for body, joints in row:
            if body in data:
                data[body]["at"].append(data[body]["at"][-1] + 1)
                data[body]["x"].append(joints)
            else:
                data[body] = {"at": [valid], "x": [joints]}
    total = valid + 1
    for d in data.values():
        d["motion"] = np.concatenate(d["x"]).var(axis=0).sum()
    if len(data) > 1:
        data = {b: d for b, d in data.items() if len(d["at"]) > 11}
        for body in list(data):
            if len(data) == 1:
                break
            x = data[body]["x"]
            good = [j for j in x if np.ptp(j[:, 0]) <= 0.8 * float(np.ptp(j[:, 1]))]
            if (len(x) - len(good)) / len(x) >= 0.69754:
                del data[body]
            elif len(good) < len(x):
                calm = np.concatenate(good).var(axis=0).sum()
                data[body]["motion"] = min(data[body]["motion"], calm)
    order = sorted(data.values(), key=lambda d: -d["motion"])
    out = np.zeros((total, 75 * min(2, len(order))), np.float32)
    spans = [[order[0]["at"][0], order[0]["at"][-1]], [0, 0]]
    for d in order:
        a, b = d["at"][0], d["at"][-1]
        for slot, span in enumerate(spans[: len(out[0]) // 75]):
            if d is order[0] or min(span[1], b) - max(span[0], a) <= 0:
                for frame, joints in zip(d["at"], d["x"], strict=True):
                    out[frame, 75 * slot : 75 * slot + 75] = joints.reshape(-1)
                spans[slot] = [min(span[0], a), max(span[1], b)]
                break
    out = np.array([row for row in out if row.sum() != 0])
    seen = [row for row in out if np.any(row[:75])]
    origin = np.tile(seen[0][3:6], 25)
    for row in out:
        for part in np.split(row, len(row) // 75):
            part -= origin if part.sum() != 0 else np.float32(0)
    return out.reshape(len(out), -1, 25, 3)


def clip_of(tmp_path, x: np.ndarray) -> tuple[SkeletonClip, list]:
    rows = [[(m, f[m]) for m in range(x.shape[1]) if f[m].any()] for f in x]
    return read_skeleton(write(tmp_path, x, ids=np.arange(x.shape[1]))), rows


def masked(frames: int, *spans: tuple, seed: int = 0) -> np.ndarray:
    """Bodies that are there in the given (from, to) pieces only."""
    x = people(frames, len(spans), seed)
    for slot, pieces in enumerate(spans):
        there = [any(begin <= frame < end for begin, end in pieces) for frame in range(frames)]
        x[~np.array(there), slot] = 0
    return x


CASES = {
    "one body": [[(0, 40)]],
    "one body, gaps": [[(3, 10), (20, 40)]],
    "two bodies": [[(0, 40)], [(0, 40)]],
    "second comes late": [[(0, 40)], [(15, 40)]],
    "short body": [[(0, 40)], [(5, 16)]],
    "just long enough": [[(0, 40)], [(5, 17)]],
    "vanish and return": [[(0, 15), (25, 40)], [(0, 40)]],
    "everybody gone for a while": [[(0, 15), (25, 40)], [(0, 14), (26, 40)]],
    "id changes": [[(0, 20)], [(20, 40)]],
    "id changes, one frame shared": [[(0, 21)], [(20, 40)]],
    "id changes, two frames shared": [[(0, 22)], [(20, 40)]],
    "three bodies": [[(0, 40)], [(0, 40)], [(0, 40)]],
    "three in turns": [[(0, 40)], [(0, 20)], [(20, 40)]],
    "three, the second slot late": [[(0, 60)], [(30, 60)], [(5, 25)]],
    "hole in the hull": [[(0, 15)], [(40, 60)], [(18, 38)], [(0, 60)]],
}


@pytest.mark.parametrize("case", CASES)
def test_lineage_equals_the_literal_steps(tmp_path, case):
    for seed in range(3):
        x = masked(60, *CASES[case], seed=seed)
        x[30 if seed == 1 else 60 :, 0] *= (30, 1, 1)  # now too wide for a person
        clip, rows = clip_of(tmp_path, x)
        got = lineage.clip_from_skeleton(clip)
        assert got.dtype == np.float32 and got.shape[1] in (1, 2)
        np.testing.assert_array_equal(got, literal(rows))


def test_spread_drops_the_wide_body_but_not_the_last(tmp_path):
    x = people(40, bodies=2)
    x[:, 0] *= (30, 1, 1)  # wide as a sofa
    moved = lineage.clip_from_skeleton(clip_of(tmp_path, x)[0])
    assert moved.shape == (40, 1, 25, 3)
    np.testing.assert_array_equal(moved[:, 0], x[:, 1] - x[0, 1, 1])
    assert len(lineage.clip_from_skeleton(clip_of(tmp_path, x[:, :1])[0])) == 40


@pytest.mark.parametrize("x", [np.zeros((5, 1, 25, 3)), people(11, bodies=2)])
def test_no_usable_body(tmp_path, x):
    with pytest.raises(SjepaError, match="S001C002P003R001A013: no body"):
        lineage.clip_from_skeleton(read_skeleton(write(tmp_path, x)))
