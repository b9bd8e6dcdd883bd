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
from sound import made, put

from sjepa.checkpoint import kept, read_result
from sjepa.config import load_params
from sjepa.datasets import open_store
from sjepa.datasets.formats import npz, pyskl
from sjepa.datasets.formats.bvh import read_bvh
from sjepa.datasets.motion import read_motion
from sjepa.datasets.sources import nwucla
from sjepa.encoder import Encoder, encoder_metadata
from sjepa.protocols.encoders import read_encoder

DEEP = 200_000  # brackets in brackets
HUGE = 10**12  # values that a header promises


class Runs:
    """Pickled, it calls something when it is loaded."""

    def __init__(self, call: Callable, *args):
        self.call, self.args = call, args

    def __reduce__(self):
        return self.call, self.args


#: What numpy would load: a type of objects without its flags, and bytes as eight of them.
POINTERS = (
    b"\x80\x03cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
    b"(K\x01K\x08\x85cnumpy\ndtype\nX\x02\x00\x00\x00O8K\x00K\x01\x87R"
    b"(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    b"\x89C\x40" + bytes(range(64)) + b"tb.")


def npy(shape: tuple, data: bytes = b"") -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        out, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return out.getvalue() + data


def in_npz(**members: bytes) -> bytes:
    """An npz of these members and of labels of two classes."""
    out, ones = io.BytesIO(), io.BytesIO()
    np.save(ones, np.eye(2))
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in ({"y_train": ones.getvalue(), "y_test": ones.getvalue()}
                           | members).items():
            archive.writestr(f"{name}.npy", data)
    return out.getvalue()


def twice(depth: int = 60) -> list:
    """A list of 60 lists that stands for 2^60 values."""
    value = [0.0, 0.0]
    for _ in range(depth):
        value = [value, value]
    return value


def clips(**own) -> bytes:
    """A pickle of one clip."""
    one = {"frame_dir": "a", "label": 0, "keypoint": np.zeros((1, 2, 25, 3))} | own
    return pickle.dumps({"split": {}, "annotations": [one]})


def attacks(folder: Path, mark: Path) -> dict[str, Callable[[], object]]:
    """Each attack by name, and what reads its file; a command would make the folder `mark`."""
    runs, deep = Runs(os.mkdir, str(mark)), "[" * DEEP
    runs_npz, runs_pt = io.BytesIO(), io.BytesIO()
    np.savez(runs_npz, y_train=np.array([runs], object), y_test=np.eye(2))
    torch.save({"config": runs, "epoch": 1, "model": {}}, runs_pt)
    encoder = Encoder(8, 1, 2, 25, 8, 4)
    stated, weights = encoder_metadata(encoder), encoder.state_dict()
    joint = "HIERARCHY\nROOT a\n{\nCHANNELS 1 Xposition\n"
    aliases = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip(
        "abcdefghijklmnopqrstuvwxy", "bcdefghijklmnopqrstuvwxyz", strict=True))
    gz, read_gz = made(folder, "UI-PRMD Kinect gz")
    with gzip.open(gz, "wb") as packed:
        for _ in range(10):
            packed.write(bytes(1 << 24))  # more than any text may have

    def of_pickle(path: Path) -> None:
        pyskl.source(path, None)

    def of_npz(path: Path) -> None:
        npz.source(path, None).read("train")

    def of_folder(read: Callable) -> Callable:
        return lambda path: read(path.parent)

    rows = [  # name, what reads it, the file, what is in it
        ("a pickle that calls a function", of_pickle, "runs.pkl", pickle.dumps(runs)),
        ("a pickle of an array that calls", of_pickle, "array.pkl", pickle.dumps(
            {"split": {}, "annotations": [np.array([runs], object)]})),
        ("a pickle of a file as an array", of_pickle, "map.pkl", pickle.dumps(
            [Runs(np.memmap, str(mark), "u1", "w+", 0, (5,))])),
        ("a pickle that asks for an attribute", of_pickle, "get.pkl", pickle.dumps(
            [Runs(getattr, "text", "upper")])),
        ("a pickle of code", of_pickle, "exec.pkl", pickle.dumps(
            [Runs(exec, f"import os; os.mkdir({str(mark)!r})")])),
        ("a pickle of pointers", of_pickle, "pointers.pkl", POINTERS),
        ("a pickle that promises a terabyte", of_pickle, "promise.pkl",
         b"\x80\x05\x96" + struct.pack("<Q", HUGE) + b"."),
        ("a pickle with a number for a place", of_pickle, "memo.pkl",
         b"\x80\x02]r" + struct.pack("<I", 2**32 - 1) + b"."),
        ("a pickle of lists twice", of_pickle, "twice.pkl", clips(keypoint=twice())),
        ("a pickle with a name of lists", of_pickle, "name.pkl", clips(frame_dir=twice())),
        ("a pickle with a label beyond all", of_pickle, "label.pkl", clips(label=HUGE)),
        ("an npz that unpacks to 1,000 times", of_npz, "bomb_xsub.npz",
         in_npz(x_train=npy((2, 30_000, 1500), bytes(360_000_000)))),
        ("an npz whose header promises a terabyte", of_npz, "huge_xsub.npz",
         in_npz(y_train=npy((HUGE, 2)))),
        ("an npz of objects", of_npz, "runs_xsub.npz", runs_npz.getvalue()),
        ("an npy whose header promises a terabyte", read_motion, "huge.npy", npy((HUGE, 33, 3))),
        ("JSON in brackets, a clip", partial(nwucla.SPEC.read, options=None),
         "a12_s03_e02_v02.json", deep),
        ("JSON in brackets, landmarks", read_motion, "deep.json", deep),
        ("JSON in brackets, a result", of_folder(read_result), "deep/result.json", deep),
        ("JSON in brackets, a store", of_folder(open_store), "store/store.json", deep),
        ("YAML of aliases", load_params, "a.yaml", aliases),
        ("YAML in brackets", load_params, "b.yaml", "a: " + "[" * 90_000),
        ("YAML that calls a function", load_params, "c.yaml",
         f"a: !!python/object/apply:os.mkdir [{mark}]"),
        ("safetensors with a long header", read_encoder, "a.safetensors",
         struct.pack("<Q", 2**62) + b"{}"),
        *((f"safetensors that state another {name}", read_encoder, f"{name}.safetensors",
           save(weights, stated | {name: "99999"})) for name in ("dim", "depth", "joints")),
        ("a checkpoint that calls a function", of_folder(kept), "run/last.pt", runs_pt.getvalue()),
        ("BVH of a tree without end", read_bvh, "deep.bvh",
         "HIERARCHY\nROOT a\n{\n" + "JOINT a\n{\n" * DEEP),
        ("BVH of more joints than memory", read_bvh, "wide.bvh", joint + "JOINT b\n{\n}\n" * 20_000
         + "}\nMOTION\nFrames: 20000\nFrame Time: 1\n" + "1\n" * 20_000),
        ("BVH that promises frames", read_bvh, "frames.bvh",
         joint + "}\nMOTION\nFrames: 999999\nFrame Time: 1\n1\n"),
        ("a CSV of one long line", read_motion, "long.csv", "1," * 3_000_000),
    ]
    return {"a gz of zeros": partial(read_gz, gz)} | {
        name: partial(read, put(folder / file, data)) for name, read, file, data in rows}
