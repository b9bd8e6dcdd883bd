"""Mutated files of every kind that is read: each has to be read, or refused in one sentence."""

import io
import json
import math
import pickle
import random
import re
import resource
import shutil
import signal
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
import yaml
from formats import changed
from pku_files import people, skeleton_text
from test_acclaim import ARM as ASF_ARM
from test_acclaim import FRAME, amc_text, asf_text
from test_bvh import ALL, bvh_text
from test_motion import WRITERS, as_mediapipe
from test_npz import small
from test_ntu import people as ntu_people
from test_open_sets import KINDS, joints, marked, recording, vicon, written
from test_pyskl import two_d

from sjepa import synthetic
from sjepa.checkpoint import keep, kept, read_result
from sjepa.config import PretrainConfig, load_params, make_config
from sjepa.datasets import open_store, write_store
from sjepa.datasets.build import PrepareConfig
from sjepa.datasets.formats import npz, pku, pyskl
from sjepa.datasets.formats.acclaim import joint_positions, read_amc, read_asf
from sjepa.datasets.formats.bvh import read_bvh
from sjepa.datasets.motion import EXAMPLE, read_motion
from sjepa.datasets.ntu import read_skeleton, write_skeleton
from sjepa.datasets.sources import islkinect, uiprmd
from sjepa.datasets.specs import spec
from sjepa.encoder import Encoder, encoder_metadata
from sjepa.errors import SjepaError
from sjepa.protocols.encoders import read_encoder
from sjepa.protocols.fusion import load_predictions

SECONDS, MEMORY = 10, 3 << 30  # more is a hang, or a blow-up
LONGEST = 2_000  # letters of a sentence, which may list what was found
VALUES = [None, True, -1, 0, 2**70, 1e308, float("nan"), "", "x", "9" * 400, [], [[]], {}, {"a": 1},
          [None], [1, [2]], [[0.0] * 3] * 33]


def _replaced(value, rng: random.Random):
    """Plain values with one somewhere in them that is another, gone, or said twice."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.15:
        return rng.choice(VALUES)
    key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
    value = value.copy()
    if rng.random() < 0.1:
        value.pop(key)
    else:
        value[key] = _replaced(value[key], rng)
    return value


def plain(load: Callable, dump: Callable) -> Callable:
    """Half of the time the bytes are changed, and else one of the values that they stand for."""
    def mutate(data: bytes, rng: random.Random) -> bytes:
        return changed(data, rng) if rng.random() < 0.5 else dump(_replaced(load(data), rng))

    return mutate


as_json = plain(json.loads, lambda value: json.dumps(value).encode())
as_yaml = plain(yaml.safe_load, lambda value: yaml.safe_dump(value).encode())
as_pickle = plain(pickle.loads, pickle.dumps)


def in_zip(data: bytes, rng: random.Random) -> bytes:
    """A member of an archive is changed, whose checksum is right again; or the archive itself."""
    if rng.random() < 0.3:
        return changed(data, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {each.filename: archive.read(each) for each in archive.infolist()}
    name = rng.choice(list(members))
    head = members[name][: 160 if rng.random() < 0.7 else None]  # mostly what says the shape
    members[name] = changed(head, rng) + members[name][len(head) :]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", rng.choice((0, 0, zipfile.ZIP_DEFLATED))) as archive:
        for each, content in members.items():
            archive.writestr(each, content)
    return out.getvalue()


def as_safetensors(data: bytes, rng: random.Random) -> bytes:
    """The header's values, with its length put right; or the bytes."""
    if rng.random() < 0.3:
        return changed(data, rng)
    size = int.from_bytes(data[:8], "little")
    header = as_json(data[8 : 8 + size], rng)
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


@dataclass
class Reader:
    """A kind of file: a sound one, what mutates it, and what reads it."""

    path: Path
    read: Callable[[Path], object]
    mutate: Callable[[bytes, random.Random], bytes] = changed
    weight: int = 1  # how many mutants of it there are, against others
    exact: bool = False  # what is read in spite of a change has to be what was written
    counts: Counter = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def _clips(source) -> list:
    return [list(source.read(unit)) for unit in source.units]


def _tensors(value) -> object:
    """Plain values that can be compared, of a checkpoint."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    return {k: _tensors(v) for k, v in value.items()} if isinstance(value, dict) else value


def _whole_store(path: Path) -> object:
    store = open_store(path.parent, verify=True)
    return [store.clip(k).tolist() for k in range(len(store))], store.labels.tolist(), \
        store.names.tolist(), store.classes, asdict(store.skeleton), store.meta["note"]


def readers(folder: Path) -> dict[str, Reader]:
    """A sound file of each kind in `folder`, and how it is read."""
    rng, found = np.random.default_rng(0), {}
    options, x = PrepareConfig(), rng.normal(0, 0.3, (2, 33, 3)).round(3)
    x[:, 23] = -x[:, 24]

    def add(name: str, kind: str, content, read, *more, **how) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes | str):
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        found[kind] = Reader(content if isinstance(content, Path) else path, read, *more, **how)

    add("a.bvh", "BVH", bvh_text([("a", -1, (0, 0, 0), ALL), ("b", 0, (0, 1, 0), ALL[3:])],
                                 np.ones((3, 9))), read_bvh, weight=6)
    asf, amc = folder / "a.asf", folder / "a.amc"
    add("a.asf", "ASF", asf_text(ASF_ARM),
        lambda path: joint_positions(read_asf(path), read_amc(amc, read_asf(path))), weight=4)
    add("a.amc", "AMC", amc_text([FRAME] * 2),
        lambda path: joint_positions(read_asf(asf), read_amc(path, read_asf(asf))), weight=4)
    throw = synthetic.generate_clip(synthetic.ACTIONS.index("throw"), 5, 1, noise=False)
    for name, write in WRITERS.items():
        write(folder / name, as_mediapipe(throw[10:13, 0].astype(np.float64)))
        add(name, f"landmarks {name}", folder / name, read_motion,
            as_json if name.endswith(".json") and "lines" not in name else changed)
    hierarchy, motion = EXAMPLE.read_text().split("MOTION")
    count, *rows = motion.strip().splitlines()
    add("throw.bvh", "BVH of a person", "\n".join(
        [f"{hierarchy}MOTION", "Frames: 3", *rows[:4], ""]), read_motion, weight=4)
    skeleton = folder / "S001C002P003R001A013.skeleton"
    write_skeleton(skeleton, ntu_people(2))
    add(skeleton.name, "NTU .skeleton", skeleton, read_skeleton, weight=5)
    (folder / "motion").mkdir()
    write_skeleton(folder / "motion" / skeleton.name, throw[10:12])
    add("motion", "NTU .skeleton, as motion", folder / "motion" / skeleton.name, read_motion)
    rows, cuts = folder / "rows.txt", folder / "cuts.txt"
    add("rows.txt", "PKU-MMD skeletons", skeleton_text(people(4)),
        lambda path: pku.read(pku.Video(1, "0001-L", path, cuts), options), weight=3)
    add("cuts.txt", "PKU-MMD labels", "1,0,2,1\n12,1,3,2\n51, 2, 4, 1\n7,3,3,1\n",
        lambda path: pku.read(pku.Video(1, "0001-L", rows, path), options), weight=3)
    for own in map(spec, KINDS):
        reading = islkinect.FILES.read if own.name == "islkinect" else own.read
        add(own.name, f"{own.title} file", written(folder / own.name, own.name),
            partial(reading, options=options), as_json if own.name == "nwucla" else changed,
            weight=3)
    recording(folder, "Kinect", "Angles", joints(2, 22))
    add("prmd", "UI-PRMD Kinect gz", recording(folder, "Kinect", "Positions", joints(2, 22)),
        partial(uiprmd.read, options=options))
    add("vicon", "UI-PRMD Vicon gz", vicon(folder, marked(8)),
        partial(uiprmd.read, options=options))
    few = {f"x_{side}": np.pad(throw[None, :6, 0].reshape(1, 6, 75), ((0, n), (0, 0), (0, 75)),
                               "edge").astype("f4") for side, n in (("train", 1), ("test", 0))}
    add("a_xsub.npz", "feeder npz", small(folder / "a_xsub.npz", **few),
        lambda path: _clips(npz.source(path, None)), in_zip, weight=3)
    np.savez(folder / "c.npz", x=x[:, :20].astype("f4"), offsets=[0, 1, 2], labels=[0, 0],
             subjects=[1, 2], views=[0, 0], reps=[0, 0], to_ntu25=np.eye(25, 20),
             class_names=["a"])
    add("c.npz", "conversion npz", folder / "c.npz", lambda path: _clips(npz.source(path, None)),
        in_zip, weight=3)
    add("a.pkl", "pyskl pickle", pickle.dumps({
        "split": {"x_train": ["a"], "x_val": []}, "annotations": [two_d(2)]}),
        lambda path: _clips(pyskl.source(path, None)), as_pickle, weight=5)
    add("motion/a.pkl", "pyskl pickle, as motion", (folder / "a.pkl").read_bytes(), read_motion,
        as_pickle)
    add("motion/a.npz", "feeder npz, as motion", (folder / "a_xsub.npz").read_bytes(),
        partial(read_motion, clip=0), in_zip)
    _add_own(folder, add)
    return found


def _add_own(folder: Path, add: Callable) -> None:
    """What the package writes itself."""
    from safetensors.torch import save

    encoder = Encoder(8, 1, 2, 25, 8, 4)
    add("t.safetensors", "encoder safetensors",
        save(encoder.state_dict(), encoder_metadata(encoder)), read_encoder, as_safetensors,
        weight=3)
    run = folder / "run"
    run.mkdir()
    config = asdict(PretrainConfig())
    keep({"config": config, "epoch": 3, "model": {"w": torch.arange(12.0)}}, run)
    add("run/last.pt", "checkpoint", run / "last.pt", lambda path: _tensors(kept(path.parent)),
        weight=2, exact=True)
    add("repacked/last.pt", "checkpoint, repacked", (run / "last.pt").read_bytes(),
        lambda path: kept(path.parent), in_zip, weight=2)
    result = {"run": "a", "step": "knn", "settings": {"k": 1}, "stages": {}, "hash": "a"}
    add("r/result.json", "result.json", json.dumps(result), lambda path: read_result(path.parent),
        as_json, weight=2)
    np.savez_compressed(folder / "p.npz", **{name: np.arange(4) for name in (
        "names", "labels", "subjects", "classes", "parts", "masks", "predicted")})
    add("p.npz", "predictions npz", folder / "p.npz", load_predictions, in_zip, weight=2)
    add("p.yaml", "YAML of settings", yaml.safe_dump(
        {"preset": "quick", "epochs": 3, "lr": 1e-3, "ema_start": None, "out": "runs/a"}),
        lambda path: make_config(PretrainConfig, load_params(path)), as_yaml, weight=5)
    clips = [np.random.default_rng(0).normal(size=(3, 1, 25, 3)) for _ in range(3)]
    for name in ("frames.npy", "index.npz", "store.json"):
        store = write_store(folder / f"store-{name}", clips, [0, 1, 1])
        add(f"store-{name}/{name}", f"store: {name}", store / name, _whole_store,
            as_json if "json" in name else changed, exact=True)


class Hang(BaseException):
    """It took too long."""


def _hang(*_) -> None:
    raise Hang


@contextmanager
def guarded():
    """What takes `SECONDS` in the block, or `MEMORY` more than before, is an error."""
    former = signal.signal(signal.SIGALRM, _hang)
    limit = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, limit[1]))
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, limit)
        signal.signal(signal.SIGALRM, former)


def try_one(reader: Reader, data: bytes, sound: object) -> None:
    """Put the mutant in the sound file's place, read it, and note what came of it."""
    reader.path.write_bytes(data)
    try:
        with guarded():
            value = reader.read(reader.path)
        reader.counts["read"] += 1
        if reader.exact and value != sound:
            reader.faults.append("read as something else than was written")
    except SjepaError as error:
        reader.counts["refused"] += 1
        said = str(error)
        if len(said) > LONGEST:
            reader.faults.append(f"{len(said)} letters: {said[:200]}")
        # Settings are named instead of the file: they may come from the command line too.
        named = {reader.path.name, reader.path.parent.name} & {*re.split("[/:, ]", said)}
        if not (named or said.startswith(("parameter ", "unknown parameter "))) or "\n" in said:
            reader.faults.append(f"not a sentence that names the file: {said[:200]}")
    except Hang:
        reader.faults.append(f"more than {SECONDS} s")
    except Exception as error:
        reader.faults.append(f"{type(error).__name__}: {str(error)[:200]}")


def campaign(folder: Path, count: int, seed: int) -> dict[str, Reader]:
    """About `count` mutants, shared by weight; files with a fault are kept in `folder/faults`."""
    kinds = readers(folder)
    share = count / sum(reader.weight for reader in kinds.values())
    for name, reader in kinds.items():
        rng = random.Random(f"{seed} {name}")
        whole, sound = reader.path.read_bytes(), reader.read(reader.path)
        for _ in range(math.ceil(share * reader.weight)):
            before = len(reader.faults)
            try_one(reader, reader.mutate(whole, rng), sound)
            if len(reader.faults) > before:
                (folder / "faults").mkdir(exist_ok=True)
                shutil.copy(reader.path, folder / "faults" / f"{before}-{reader.path.name}")
        reader.path.write_bytes(whole)
    return kinds
