"""Places to extend: targets, masks, backbones by name, other skeletons; the wall of the house."""

import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from sjepa.checkpoint import read_history
from sjepa.clips import DeviceStore
from sjepa.config import PretrainConfig, make_config
from sjepa.datasets.layouts import COCO17, KINECT20
from sjepa.encoder import ENCODERS, Encoder
from sjepa.errors import SjepaError
from sjepa.inputs import draw, make_batch, to_stream
from sjepa.masking import MASKS
from sjepa.model import TARGETS
from sjepa.pretrain import Pretraining, pretrain
from sjepa.protocols.encoders import load_encoder
from sjepa.skeleton import NTU25, Skeleton
from sjepa.views import base_rotation, flip, geometric_view

SKELETONS = (NTU25, KINECT20, COCO17)


@pytest.mark.parametrize("change", [
    lambda keep, masked: (keep, masked[:, :-1]), lambda keep, masked: (keep[:, :0], masked),
    lambda keep, masked: (torch.cat((keep, masked), 1), masked[:, :0]),
    lambda keep, masked: (torch.ones(len(keep), 100) > 0, torch.ones(len(keep), 100) > 0),
])
def test_a_mask_that_leaves_tokens_out_is_refused(store, tiny, monkeypatch, change):
    monkeypatch.setitem(MASKS, "partial", lambda *given: change(*MASKS["motion-aware"](*given)))
    run = Pretraining(replace(tiny, mask="partial"), store)
    with pytest.raises(SjepaError, match="the mask partial keeps .* of 100 tokens: expected the"):
        run.training_step(run.train[:4])


class Own(Encoder):
    """A backbone of another class."""


@pytest.mark.parametrize("part, table, build", [
    ("target", TARGETS, lambda config, skeleton: TARGETS["motion"](
        replace(config, target="motion"), skeleton)),
    ("mask", MASKS, lambda tokens, *rest: MASKS["motion-aware"](0 * tokens, *rest)),
    ("encoder", ENCODERS, Own)], ids=["target", "mask", "encoder"])
def test_one_line_registers_a_part_of_the_method(here, tiny, tmp_path, monkeypatch, part, table,
                                                 build):
    """It trains under a name that no other line knows, and leaves an encoder that loads."""
    monkeypatch.setitem(table, "own", build)
    config = make_config(PretrainConfig, asdict(tiny) | {part: "own", "epochs": 8})
    out = pretrain(config, tmp_path / "run")
    encoder, result = load_encoder(out)
    assert type(encoder) is (Own if part == "encoder" else Encoder)
    assert result["settings"][part] == "own"
    first, *_, last = read_history(out)
    assert last["loss"] < first["loss"]
    monkeypatch.undo()
    if part == "encoder":
        with pytest.raises(SjepaError, match="holds an encoder 'own', which is not registered"):
            load_encoder(out)


def people(skeleton, count=16, frames=40, seed=0):
    """Clips of swinging joints as a store on the device; of a planar skeleton x, y, score."""
    rng = np.random.default_rng(seed)
    rest, reach = rng.normal(0, 0.4, (2, 1, 1, len(skeleton), 3))
    phase = rng.uniform(0, 0.5, (count, 1, 1, 1)) + np.arange(frames)[:, None, None] / 5
    clips = rest + reach * np.sin(phase) + rng.normal(0, 0.002, (count, frames, len(skeleton), 3))
    if skeleton.planar:
        clips[..., 2] = 0.6 + 0.3 * np.sin(phase[..., 0])
    starts = torch.arange(count) * frames
    joints = torch.tensor(clips, dtype=torch.float32).flatten(0, 1)
    return DeviceStore(joints, starts[:, None], torch.full((count,), frames),
                       torch.zeros(count, dtype=torch.int64), skeleton)


@pytest.mark.parametrize("skeleton", (KINECT20, COCO17), ids=lambda skeleton: skeleton.name)
@pytest.mark.parametrize("target", TARGETS)
def test_the_method_learns_on_other_skeletons(tiny, skeleton, target):
    """A few steps of each target lower its loss on 20 and 17 joints."""
    data, generator = people(skeleton), torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    config = replace(tiny, target=target)
    network = TARGETS[target](config, skeleton)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    losses = []
    for _ in range(40):
        x, weight = make_batch(data, torch.arange(16), config, generator)
        inputs = draw(x, config, generator, skeleton)
        assert inputs[0].shape[1:] == (config.frames, len(skeleton), 3)
        made = network(*inputs, weight)
        optimizer.zero_grad()
        made.loss.backward()
        optimizer.step()
        losses.append(made.loss.item())
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:3])


def test_a_planar_body_keeps_its_confidences(clip):
    """Base rotation, view and mirror move x and y; the third channel goes along with its joint."""
    x = clip[:, :, :17].clone()
    generator = torch.Generator().manual_seed(0)
    turned = base_rotation(x[:, None], 0.5, generator, COCO17)[:, 0]
    view = geometric_view(x, 1.0, 0.5, 0.0, generator, COCO17)
    for moved in (turned, view):
        torch.testing.assert_close(moved[..., 2], x[..., 2], atol=1e-6, rtol=0)
        assert (moved[..., :2] - x[..., :2]).abs().max() > 0.1
        a, b = torch.tensor(COCO17.bones).T
        torch.testing.assert_close((moved[..., a, :2] - moved[..., b, :2]).norm(dim=-1),
                                   (x[..., a, :2] - x[..., b, :2]).norm(dim=-1))
    mirrored = flip(x, torch.tensor([True]), COCO17)
    torch.testing.assert_close(mirrored[..., 2], x[:, :, list(COCO17.flip_permutation), 2])


@pytest.mark.parametrize("skeleton", SKELETONS, ids=lambda skeleton: skeleton.name)
def test_skeletons_are_sound(skeleton):
    """Sides pair by name, parents form one tree, bones join all joints, values survive as text."""
    for left, right in skeleton.flip_pairs:
        assert skeleton.joints[right] == skeleton.joints[left].replace("left", "right")
    sided = {joint for pair in skeleton.flip_pairs for joint in pair}
    assert not any("left" in skeleton.joints[j] for j in set(range(len(skeleton))) - sided)
    assert skeleton.parents.count(-1) == 1
    children = [child for child, _ in skeleton.bones]
    assert len(children) == len(set(children)) == len(skeleton) - 1
    assert Skeleton.from_dict(asdict(skeleton)) == skeleton
    x = torch.randn(2, 3, len(skeleton), 3)
    bones = to_stream(x, "bone", skeleton)
    assert not bones[:, :, [j for j in range(len(skeleton)) if j not in children]].any()
    for child, parent in skeleton.bones:
        torch.testing.assert_close(bones[:, :, child], x[:, :, child] - x[:, :, parent])


@pytest.mark.parametrize("make, said", [
    (lambda: replace(KINECT20, spine=(0, 20)), "skeleton 'kinect20': expected .* from 0 to 19"),
    (lambda: Skeleton.from_dict({"name": "x"}), "not a skeleton"),
    (lambda: MASKS["motion-aware"](torch.randn(1, 4, 25, 12),
                                   replace(PretrainConfig(), mask_ratio=0.9999)),
     "mask_ratio = 0.9999 leaves 0 of 100 tokens"),
])
def test_impossible_parts_are_refused(make, said):
    with pytest.raises(SjepaError, match=said):
        make()


def test_the_method_loads_no_reader_no_study_no_picture():
    """`import sjepa.pretrain` loads at most 25 modules of ours; the package alone no torch."""
    code = ("import sys, sjepa; assert 'torch' not in sys.modules; import sjepa.pretrain; "
            "print(*[m for m in sys.modules if m.split('.')[0] == 'sjepa'])")
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, rooms = made.stdout.split(), {"sources", "formats", "study", "show", "synthetic"}
    assert len(loaded) <= 25 and not [m for m in loaded if set(m.split(".")) & rooms], loaded
