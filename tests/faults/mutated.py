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
from pathlib import Path

import numpy as np
import torch
import yaml
from formats import changed
from safetensors.torch import save
from sound import KINDS, SOUND, clouds, made, put

from sjepa.checkpoint import keep, kept, read_result
from sjepa.config import PretrainConfig, load_params, make_config
from sjepa.datasets import open_store, write_store
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


#: Of kinds in `SOUND`: how many mutants, if not three, and what mutates them.
WEIGHTS = {"BVH": 6, "ASF": 4, "AMC": 4, "BVH of a person": 4, "NTU .skeleton": 5,
           "pyskl pickle": 5}
MUTATE = {"pickle": as_pickle, "npz": in_zip, "json": as_json, "nwucla": as_json}


def readers(folder: Path) -> dict[str, Reader]:
    """A sound file of each kind in `folder`, and how it is read."""
    found = {}
    for kind in SOUND:
        path, read = made(folder / f"kind-{len(found)}", kind)
        rare = "landmarks" in kind or "as motion" in kind or "UI-PRMD" in kind
        mutate = next((MUTATE[word] for word in re.findall(r"\w+", kind)
                       if word in MUTATE and "lines" not in kind), changed)
        found[f"{spec(kind).title} file" if kind in KINDS else kind] = Reader(
            path, read, mutate, WEIGHTS.get(kind, 1 if rare else 3))
    return found | _own(folder)


def _tensors(value) -> object:
    """Plain values that can be compared, of a checkpoint."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    return {k: _tensors(v) for k, v in value.items()} if isinstance(value, dict) else value


def _whole_store(path: Path) -> object:
    store = open_store(path.parent, verify=True)
    return [store.clip(k).tolist() for k in range(len(store))], store.labels.tolist(), \
        store.names.tolist(), store.classes, asdict(store.skeleton), store.meta["note"]


def _own(folder: Path) -> dict[str, Reader]:
    """What the package writes itself."""
    encoder, run = Encoder(8, 1, 2, 25, 8, 4), folder / "run"
    run.mkdir()
    keep({"config": asdict(PretrainConfig()), "epoch": 3, "model": {"w": torch.arange(12.0)}}, run)
    result = {"run": "a", "step": "knn", "settings": {"k": 1}, "stages": {}, "hash": "a"}
    settings = {"preset": "quick", "epochs": 3, "lr": 1e-3, "ema_start": None, "out": "runs/a"}
    predictions = {name: np.arange(4) for name in (
        "names", "labels", "subjects", "classes", "parts", "masks", "predicted")}
    found = {
        "encoder safetensors": Reader(
            put(folder / "t.safetensors", save(encoder.state_dict(), encoder_metadata(encoder))),
            read_encoder, as_safetensors, 3),
        "checkpoint": Reader(run / "last.pt", lambda path: _tensors(kept(path.parent)), weight=2,
                             exact=True),
        "checkpoint, repacked": Reader(
            put(folder / "repacked" / "last.pt", (run / "last.pt").read_bytes()),
            lambda path: kept(path.parent), in_zip, 2),
        "result.json": Reader(put(folder / "r" / "result.json", json.dumps(result)),
                              lambda path: read_result(path.parent), as_json, 2),
        "predictions npz": Reader(
            put(folder / "p.npz", lambda path: np.savez_compressed(path, **predictions)),
            load_predictions, in_zip, 2),
        "YAML of settings": Reader(
            put(folder / "p.yaml", yaml.safe_dump(settings)),
            lambda path: make_config(PretrainConfig, load_params(path)), as_yaml, 5)}
    for name in ("frames.npy", "index.npz", "store.json"):
        store = write_store(folder / f"store-{name}", [clouds(3, seed=k) for k in range(3)],
                            [0, 1, 1])
        found[f"store: {name}"] = Reader(store / name, _whole_store,
                                         as_json if "json" in name else changed, exact=True)
    return found


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
