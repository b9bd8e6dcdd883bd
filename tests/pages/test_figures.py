"""Moving figures: the script computes what sjepa computes; their data survive packing."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from wild import KINDS, wild_bvh

from sjepa.config import ROOT
from sjepa.datasets.layouts import LAYOUTS, center_on_spine, face_camera
from sjepa.datasets.motion import read_motion
from sjepa.datasets.sources.kindergator import JOINTS
from sjepa.encoder import Encoder, patchify
from sjepa.masking import motion_aware_mask
from sjepa.protocols.encoders import load_pretrained, shipped
from sjepa.protocols.features import embed
from sjepa.protocols.knn import knn, nearest
from sjepa.show.animation import animate
from sjepa.show.interactive import file_maps, mask_it, packed, packed_weights, resized, turn_it
from sjepa.synthetic import ACTIONS, generate_clip
from sjepa.target import latent_cross_entropy, sharpen

SCRIPT = ROOT / "book" / "_static" / "figures.js"
needs_node = pytest.mark.skipif(not shutil.which("node"), reason="needs node to run figures.js")


def computed(code: str, folder: Path, **given):
    """What JavaScript `code` returns; it sees figures.js as `f` and `given` as `g`."""
    (folder / "given.json").write_text(json.dumps(given))
    program = (f"const f = require({json.dumps(str(SCRIPT))});"
               f"const g = JSON.parse(require('fs').readFileSync('{folder}/given.json', 'utf8'));"
               f"const answer = (() => {{ {code} }})();"
               "console.log(JSON.stringify(answer, (_, v) => ArrayBuffer.isView(v) ? [...v] : v));")
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def unpacked(made: dict) -> np.ndarray:
    """In Python what `unpack` of figures.js does."""
    kind = np.int8 if made["bits"] == 8 else "<i2"
    whole = np.frombuffer(base64.b64decode(made["base64"]), kind).astype(np.float64)
    scale = np.array(made["scale"])
    return (whole.reshape(len(scale), -1) * scale[:, None]).reshape(made["shape"]).astype("float32")


@pytest.fixture(scope="module")
def throw():
    return center_on_spine(generate_clip(ACTIONS.index("throw"), 9, view=1))


@needs_node
@pytest.mark.parametrize("make, steps", [
    (packed, 1), (lambda values: packed(values, 8, rows=True), 7),
    (lambda values: turn_it({"still": np.ones((4, 1, 25, 3))}, "links", segment=4, links={
        "values": values}).data["links"]["values"], 21),  # each row of a matrix has its own
], ids=["16 bits", "rows of 8 bits", "links"])
def test_packing_errs_by_half_a_step_at_most(tmp_path, make, steps):
    values = np.random.default_rng(0).normal(size=(7, 3, 5)) * np.logspace(-3, 1, 7)[:, None, None]
    made = make(values)
    back = computed("return f.unpack(g.made)", tmp_path, made=made)
    assert back["shape"] == [7, 3, 5]
    rows = values.reshape(steps, -1)
    error = np.abs(np.reshape(back["data"], rows.shape) - rows).max(1)
    assert (error <= 0.501 * np.array(made["scale"]) + 1e-9).all()


@needs_node
@pytest.mark.parametrize(("ratio", "tau"), [(0.9, 0.8), (0.9, 0.1), (0.5, 2.0), (0.0, 0.8)])
def test_the_same_noise_gives_the_mask_of_the_package(tmp_path, throw, ratio, tau):
    clip = resized(throw, 120)[:, 0]
    tokens = patchify(torch.from_numpy(clip).float()[None], 4)
    noise = torch.empty(1, 750).exponential_(generator=torch.Generator().manual_seed(5))
    keep, masked = motion_aware_mask(tokens, ratio, tau, torch.Generator().manual_seed(5))
    hidden = computed("return f.drawMask(f.motion({shape: [120, 25, 3], data: g.clip}, 4),"
                      " g.ratio, g.tau, g.noise)", tmp_path, clip=clip.flatten().tolist(),
                      ratio=ratio, tau=tau, noise=noise[0].tolist())
    assert np.flatnonzero(hidden).tolist() == masked[0].tolist()
    assert len(hidden) - sum(hidden) == keep.shape[1]


@needs_node
def test_drawn_numbers_are_uniform(tmp_path):
    drawn = np.array(computed("const next = f.uniform(7); return Array.from({length: 20000}, next)",
                              tmp_path))
    counts = np.histogram(drawn, 20, (0, 1))[0]
    assert counts.sum() == 20000 and ((counts - 1000) ** 2 / 1000).sum() < 44  # chi², p = 0.001


@needs_node
def test_loss_and_entropy_are_those_of_the_package(tmp_path):
    drawer = torch.Generator().manual_seed(0)
    target, guess, center = (torch.randn(*s, generator=drawer) for s in ((40, 16), (40, 16), (16,)))
    read = computed(
        "const as = (data) => ({shape: [40, 16], data: new Float32Array(data)});"
        "const run = {center: g.center, target: as(g.target), predicted: as(g.guess)};"
        "return f.readLoss(run, 1, 0.06, 0.1)", tmp_path, center=center.tolist(),
        target=target.flatten().tolist(), guess=guess.flatten().tolist())
    wanted = sharpen(target, center)
    assert read["loss"] == pytest.approx(latent_cross_entropy(guess, target, center).item(), 1e-4)
    entropy = torch.special.entr(wanted).sum(-1).mean().item()
    assert read["entropy"] == pytest.approx(entropy, 1e-3)
    votes = wanted.argmax(-1).bincount(minlength=16).sort(descending=True).values / 40
    assert read["wins"] == pytest.approx(votes.tolist(), abs=1e-6)


@needs_node
@pytest.mark.parametrize("name", shipped())
def test_the_page_encodes_as_pytorch_does(tmp_path, throw, name):
    """With the same weights to 1e-4; 8 bits a weight move a feature by 2 % of its length."""
    encoder, _ = load_pretrained(name)
    made = packed_weights(encoder)
    clip = throw[:, :1].astype(np.float32)
    page = np.array(computed(
        "const w = Object.fromEntries(Object.entries(g.weights).map(([n, v]) => [n, f.unpack(v)]));"
        "return f.embed(g.shape, w, {shape: [g.frames, 25, 3], data: g.clip})", tmp_path,
        weights=made, shape=encoder.shape, clip=clip.flatten().tolist(), frames=len(clip)))
    rounded = Encoder(**encoder.shape).eval().requires_grad_(False)
    rounded.load_state_dict({name: torch.from_numpy(unpacked(each)) for name, each in made.items()})
    same, exact = embed([clip], rounded)[0], embed([clip], encoder)[0]
    assert np.abs(page - same).max() < 1e-4
    assert np.linalg.norm(page - exact) < 0.02 * np.linalg.norm(exact)


@needs_node
def test_neighbours_and_votes_are_those_of_the_package(tmp_path):
    drawn = np.random.default_rng(3).normal(size=(31, 8)).astype(np.float32)
    labels = torch.arange(30) % 4
    query, known = torch.from_numpy(drawn[:1]), torch.from_numpy(drawn[1:])
    found = computed("const known = {shape: [30, 8], data: new Float32Array(g.known)};"
                     "return f.neighbours(g.query, known, g.labels, 5)", tmp_path,
                     query=drawn[0].tolist(), labels=labels.tolist(),
                     known=drawn[1:].flatten().tolist())
    cosine, near = nearest(known, query, (5,))[5]
    assert found["near"] == near[0].tolist()
    assert found["cosine"] == pytest.approx(cosine[0].tolist(), abs=1e-5)
    assert found["guess"] == knn(known, labels, query, (5,), 4)[5].item()


def bvh(folder: Path, throw, up: str = "y") -> Path:
    """Mixamo's names with a prefix; joints have an offset and turn about all three axes."""
    joints = [joint for joint in KINDS["mixamo"][0] if "_End" not in joint[0]]
    path = folder / "walk.bvh"
    path.write_text(wild_bvh(throw[:, 0].astype(float), joints, unit=0.01, up=up))
    return path


def written(path: Path, table: np.ndarray, *header: str) -> Path:
    np.savetxt(path, table, "%.6f", ",", header=",".join(header), comments="")
    return path


def kinect(folder: Path, throw) -> Path:
    at = [LAYOUTS["ntu25"].joints.index(name) for name in LAYOUTS["kinect20"].joints]
    table = np.concatenate((np.zeros((len(throw), 1)), throw[:, 0, at].reshape(-1, 60) + 2), 1)
    return written(folder / "throw.csv", table, "Timestamp",
                   *(joint + axis for joint in JOINTS for axis in "XYZ"))


def landmarks(throw) -> np.ndarray:
    x = np.random.default_rng(2).normal(0, 0.3, (12, 33, 3))
    return x - x[:, 23:25].mean(1, keepdims=True)


def mediapipe(folder: Path, throw) -> Path:
    path = folder / "phone.json"
    frames = [[dict(zip("xyz", point, strict=True)) for point in frame]
              for frame in landmarks(throw).tolist()]
    path.write_text(json.dumps([*frames[:6], [], *({"worldLandmarks": [f]} for f in frames[6:])]))
    return path


def mediapipe_table(folder: Path, throw) -> Path:
    return written(folder / "phone.csv", landmarks(throw).reshape(12, 99), "x0", "y0", "z0")


@needs_node
@pytest.mark.parametrize("write", [bvh, kinect, mediapipe, mediapipe_table])
def test_the_page_reads_files_as_the_package_does(tmp_path, throw, write):
    path = write(tmp_path, throw)
    clip = computed("return f.readMotion(g.name, g.text, g.maps)", tmp_path, name=path.name,
                    text=path.read_text(), maps=file_maps())
    wanted = face_camera(read_motion(path))[:, 0]
    assert clip["shape"] == list(wanted.shape)
    assert np.abs(np.reshape(clip["data"], wanted.shape) - wanted).max() < 2e-5


@needs_node
@pytest.mark.parametrize(("name", "up", "change", "said"), [
    ("a.txt", "y", lambda text: text, "expected a .bvh, .csv or .json file"),
    ("a.bvh", "y", lambda text: text.replace("MOTION", ""), "no line MOTION"),
    ("a.bvh", "y", lambda text: text.replace("LeftHand", "Claw"), "named unlike"),
    ("a.bvh", "y", lambda text: text + " 7", "has not the"),
    ("a.bvh", "z", lambda text: text, "the first frame has nobody upright"),
    ("a.json", "y", lambda text: "[[1", "no JSON"),
    ("a.json", "y", lambda text: "[[[1, 2, 3]]]", "33 world landmarks"),
    ("a.json", "y", lambda text: json.dumps([[[0.5, 0.5, 0]] * 33]), "landmarks of the image"),
])
def test_a_bad_file_gets_a_sentence(tmp_path, throw, name, up, change, said):
    text = change(bvh(tmp_path, throw, up).read_text())
    heard = computed("try { f.readMotion(g.name, g.text, g.maps); }"
                     "catch (error) { return error.message; }", tmp_path,
                     name=name, text=text, maps=file_maps())
    assert said in heard


def test_a_figure_holds_its_data_and_a_still_and_nothing_from_elsewhere(throw, monkeypatch):
    monkeypatch.setenv("SJEPA_FIGURES", "linked")
    made = turn_it({"a </script> b": throw}, "label <b>", segment=4)._repr_html_()
    inner = re.search(r'<script type="application/json">(.*?)</script>', made, re.S)[1]
    assert json.loads(inner)["clips"][0]["title"] == "a </script> b"
    assert "label &lt;b&gt;" in made and "<animate" not in made and "<path" in made
    monkeypatch.delenv("SJEPA_FIGURES")
    alone = mask_it({"throw": throw[:, :1]}, 4, "mask")._repr_html_()
    assert "drawMask" in alone and ".sj-bone" in alone
    assert not re.search(r"(src|href)=|https?://(?!www\.w3\.org/2000/svg)", alone)
    assert "drawMask" in animate(throw)._repr_html_()


def test_resizing_keeps_the_ends_and_the_lines_between(throw):
    made = resized(throw, 2 * len(throw) - 1)
    assert np.allclose(made[::2], throw, atol=1e-6)
    assert np.allclose(made[1::2], (throw[1:] + throw[:-1]) / 2, atol=1e-6)
