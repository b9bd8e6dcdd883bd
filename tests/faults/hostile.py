"""Files made to run a command or to fill the memory: each is refused in a sentence."""

import gzip
import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from test_open_sets import joints, recording

from sjepa.checkpoint import kept, read_result
from sjepa.config import load_params
from sjepa.datasets import open_store
from sjepa.datasets.build import PrepareConfig
from sjepa.datasets.formats import npz, pyskl
from sjepa.datasets.formats.bvh import read_bvh
from sjepa.datasets.motion import read_motion
from sjepa.datasets.sources import nwucla, uiprmd
from sjepa.encoder import Encoder, encoder_metadata
from sjepa.protocols.encoders import read_encoder

DEEP = 200_000  # brackets in brackets
HUGE = 10**12  # values that a header promises


class Runs:
    """Pickled, it makes the file `mark` when it is loaded."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def _pointers() -> bytes:
    """What numpy would load: a type of objects without its flags, and bytes as eight of them."""
    return (
        b"\x80\x03cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
        b"(K\x01K\x08\x85cnumpy\ndtype\nX\x02\x00\x00\x00O8K\x00K\x01\x87R"
        b"(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89C\x40" + bytes(range(64)) + b"tb.")


def _npy(shape: tuple, dtype: str = "<f4", data: bytes = b"") -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        out, {"descr": dtype, "fortran_order": False, "shape": shape})
    return out.getvalue() + data


def _npz(path: Path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)


def _twice(depth: int = 60) -> list:
    """A list of 60 lists that stands for 2^60 values."""
    value = [0.0, 0.0]
    for _ in range(depth):
        value = [value, value]
    return value


def attacks(folder: Path, mark: Path) -> dict[str, Callable[[], object]]:
    """Each attack by name, and what reads its file."""
    def file(name: str, data: bytes | str) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def skeletons(name: str, data: bytes) -> Callable[[], object]:
        return partial(pyskl.source, file(name, data), None)

    def clips(**own) -> bytes:
        one = {"frame_dir": "a", "label": 0, "keypoint": np.zeros((1, 2, 25, 3))} | own
        return pickle.dumps({"split": {}, "annotations": [one]})

    deep, ones, options = "[" * DEEP, np.eye(2), PrepareConfig()
    y = io.BytesIO()
    np.save(y, ones)
    _npz(folder / "bomb_xsub.npz", x_train=_npy((2, 30_000, 1500), data=bytes(360_000_000)),
         y_train=y.getvalue(), y_test=y.getvalue())
    _npz(folder / "huge_xsub.npz", y_train=_npy((HUGE, 2)), y_test=y.getvalue())
    np.savez(folder / "runs_xsub.npz", y_train=np.array([Runs(mark)], object), y_test=ones)
    torch.save({"config": Runs(mark), "epoch": 1, "model": {}}, file("run/last.pt", b""))
    encoder = Encoder(8, 1, 2, 25, 8, 4)
    stated, weights = encoder_metadata(encoder), encoder.state_dict()
    recording(folder, "Kinect", "Angles", joints(2, 22))
    gz = recording(folder, "Kinect", "Positions", joints(2, 22))
    with gzip.open(gz, "wb") as packed:
        for _ in range(10):
            packed.write(bytes(1 << 24))  # more than any text may have
    tree = "HIERARCHY\nROOT a\n{\n" + "JOINT a\n{\n" * DEEP
    frames = ("HIERARCHY\nROOT a\n{\nCHANNELS 1 Xposition\n}\nMOTION\nFrames: 999999\n"
              "Frame Time: 1\n1\n")
    wide = ("HIERARCHY\nROOT a\n{\nCHANNELS 1 Xposition\n" + "JOINT b\n{\n}\n" * 20_000
            + "}\nMOTION\nFrames: 20000\nFrame Time: 1\n" + "1\n" * 20_000)
    yaml = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip(
        "abcdefghijklmnopqrstuvwxy", "bcdefghijklmnopqrstuvwxyz", strict=True))
    def landmarks(name: str, data: bytes | str) -> Callable[[], object]:
        return partial(read_motion, file(name, data))

    def settings(name: str, data: str) -> Callable[[], object]:
        return partial(load_params, file(name, data))

    def weighed(name: str, data: bytes) -> Callable[[], object]:
        return partial(read_encoder, file(name, data))

    attack = {
        "a pickle that calls a function": skeletons("runs.pkl", pickle.dumps(Runs(mark))),
        "a pickle of pointers": skeletons("pointers.pkl", _pointers()),
        "a pickle that promises a terabyte": skeletons(
            "promise.pkl", b"\x80\x05\x96" + struct.pack("<Q", HUGE) + b"."),
        "a pickle with a number for a place": skeletons(
            "memo.pkl", b"\x80\x02]r" + struct.pack("<I", 2**32 - 1) + b"."),
        "a pickle of lists twice": skeletons("twice.pkl", clips(keypoint=_twice())),
        "a pickle with a name of lists": skeletons("name.pkl", clips(frame_dir=_twice())),
        "a pickle with a label beyond all": skeletons("label.pkl", clips(label=HUGE)),
        "an npz that unpacks to 1,000 times": lambda: [
            npz.source(folder / "bomb_xsub.npz", None).read("train")],
        "an npz whose header promises a terabyte": partial(
            npz.source, folder / "huge_xsub.npz", None),
        "an npz of objects": partial(npz.source, folder / "runs_xsub.npz", None),
        "an npy whose header promises a terabyte": landmarks("huge.npy", _npy((HUGE, 33, 3))),
        "a gz of zeros": partial(uiprmd.read, gz, options),
        "JSON in brackets, a clip": partial(
            nwucla.SPEC.read, file("a12_s03_e02_v02.json", deep), options),
        "JSON in brackets, landmarks": landmarks("deep.json", deep),
        "JSON in brackets, a result": partial(read_result, file("deep/result.json", deep).parent),
        "JSON in brackets, a store": partial(open_store, file("store/store.json", deep).parent),
        "YAML of aliases": settings("a.yaml", yaml),
        "YAML in brackets": settings("b.yaml", "a: " + "[" * 90_000),
        "YAML that calls a function": settings(
            "c.yaml", f"a: !!python/object/apply:os.mkdir [{mark}]"),
        "safetensors with a long header": weighed(
            "a.safetensors", struct.pack("<Q", 2**62) + b"{}"),
        "a checkpoint that calls a function": partial(kept, folder / "run"),
        "BVH of a tree without end": partial(read_bvh, file("deep.bvh", tree)),
        "BVH of more joints than memory": partial(read_bvh, file("wide.bvh", wide)),
        "BVH that promises frames": partial(read_bvh, file("frames.bvh", frames)),
        "a CSV of one long line": landmarks("long.csv", "1," * 3_000_000),
    }
    for name in ("dim", "depth", "joints"):
        attack[f"safetensors that state another {name}"] = weighed(
            f"{name}.safetensors", save(weights, stated | {name: "99999"}))
    return attack
