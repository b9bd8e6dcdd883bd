"""The NTU reader and writer, and the lineage's cleaning. Every file here is synthetic."""

import numpy as np
import pytest
from formats import refused
from sound import NTU, clouds

from sjepa.datasets.formats import mamp_cleaning as lineage
from sjepa.datasets.ntu import read_skeleton, write_skeleton


def write(path, x: np.ndarray, **how):
    write_skeleton(path / NTU, x, **how)
    return path / NTU


def test_round_trip_is_exact(tmp_path):
    x = clouds(40, bodies=2)
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
    path = write(tmp_path, clouds(1))
    rows = path.read_text().split("\n")
    for k, number in enumerate(PLAIN):
        fields = rows[4 + k].split()
        rows[4 + k] = " ".join([*fields[:column], number, *fields[column + 1 :]])
    path.write_text("\n".join(rows))
    (track,) = read_skeleton(path).bodies.values()
    wanted = np.array([float(number) for number in PLAIN], np.float32)
    got = track.joints[0, : len(PLAIN), column]
    np.testing.assert_array_equal(got.view(np.int32), wanted.view(np.int32))


@pytest.mark.parametrize("x", [np.ones((2, 7, 25, 3)), np.full((1, 1, 25, 3), np.nan)])
def test_writer_refuses(tmp_path, x):
    with refused("bodies must be", tmp_path):
        write(tmp_path, x)


def literal(rows: list[list[tuple[int, np.ndarray]]]) -> np.ndarray:
    """The published steps once more, frame by frame and one number at a time.

    Args:
        rows: for each frame, the (body id, `[25, 3]`) pairs in file order.
    """
    rows, data = [row for row in rows if row], {}
    for frame, row in enumerate(rows):
        for body, joints in row:
            track = data.setdefault(body, {"at": [], "x": []})
            track["at"].append(track["at"][-1] + 1 if track["at"] else frame)
            track["x"].append(joints)
    for d in data.values():
        d["motion"] = np.concatenate(d["x"]).var(axis=0).sum()
    if len(data) > 1:
        data = {b: d for b, d in data.items() if len(d["at"]) > 11}
        for body, x in [(body, d["x"]) for body, d in data.items()]:
            good = [j for j in x if np.ptp(j[:, 0]) <= 0.8 * float(np.ptp(j[:, 1]))]
            if len(data) > 1 and (len(x) - len(good)) / len(x) >= 0.69754:
                del data[body]
            elif len(data) > 1 and len(good) < len(x):
                calm = np.concatenate(good).var(axis=0).sum()
                data[body]["motion"] = min(data[body]["motion"], calm)
    order = sorted(data.values(), key=lambda d: -d["motion"])
    out = np.zeros((len(rows), min(2, len(order)), 25, 3), np.float32)
    spans = [[order[0]["at"][0], order[0]["at"][-1]], [0, 0]]
    for d in order:
        a, b = d["at"][0], d["at"][-1]
        for slot, span in enumerate(spans[: out.shape[1]]):
            if d is order[0] or min(span[1], b) - max(span[0], a) <= 0:
                out[d["at"], slot] = d["x"]
                spans[slot] = [min(span[0], a), max(span[1], b)]
                break
    out = np.array([frame for frame in out if frame.ravel().sum() != 0])
    origin = next(frame[0, 1] for frame in out if frame[0].any()).copy()
    for body in out.reshape(-1, 25, 3):
        body -= origin if body.ravel().sum() != 0 else np.float32(0)
    return out


def rows_of(x: np.ndarray) -> list:
    return [[(m, body) for m, body in enumerate(frame) if body.any()] for frame in x]


def cleaned(tmp_path, x: np.ndarray) -> np.ndarray:
    return lineage.clip_from_skeleton(read_skeleton(
        write(tmp_path, x, ids=np.arange(x.shape[1]))))


def masked(frames: int, *spans: tuple, seed: int = 0) -> np.ndarray:
    """Bodies that are there in the given (from, to) pieces only."""
    x = clouds(frames, len(spans), seed)
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
        got = cleaned(tmp_path, x)
        assert got.dtype == np.float32 and got.shape[1] in (1, 2)
        np.testing.assert_array_equal(got, literal(rows_of(x)))


def test_spread_drops_the_wide_body_but_not_the_last(tmp_path):
    x = clouds(40, bodies=2)
    x[:, 0] *= (30, 1, 1)  # wide as a sofa
    moved = cleaned(tmp_path, x)
    assert moved.shape == (40, 1, 25, 3)
    np.testing.assert_array_equal(moved[:, 0], x[:, 1] - x[0, 1, 1])
    assert len(cleaned(tmp_path, x[:, :1])) == 40


@pytest.mark.parametrize("x", [np.zeros((5, 1, 25, 3)), clouds(11, bodies=2)])
def test_no_usable_body(tmp_path, x):
    with refused("S001C002P003R001A013: no body"):
        cleaned(tmp_path, x)
