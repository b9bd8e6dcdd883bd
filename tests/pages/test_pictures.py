"""Pictures: sides as in a photograph, animations with every frame, hidden what is masked."""

import base64
import io
import json
import re
import xml.dom.minidom

import matplotlib.pyplot as plt
import numpy as np
import pytest
import sets
from PIL import Image

from sjepa import synthetic
from sjepa.config import ROOT
from sjepa.datasets.layouts import COCO17, KINECT20
from sjepa.datasets.sources.kindergator import CHILDREN
from sjepa.show import plots
from sjepa.show.animation import animate
from sjepa.show.plots import PART_BOUNDS, PART_ORDER, bones, joint_colour, project
from sjepa.skeleton import NTU25, NTU_JOINTS

DATA_PAGE = (ROOT / "book" / "data.md").read_text()


@pytest.fixture
def clip():
    return synthetic.generate_clip(synthetic.ACTIONS.index("wave"), 0, 1, noise=False)


def test_left_is_on_the_right_of_a_frontal_picture(clip):
    flat = project(clip[0, 0])
    assert flat[4, 0] > flat[8, 0] and flat[3, 1] > flat[0, 1]
    side = project(clip[0, 0], np.pi / 2)
    assert abs(side[4, 0] - side[8, 0]) < 0.3 * abs(flat[4, 0] - flat[8, 0])


def test_animation_is_valid_svg_with_every_frame(clip):
    made = animate([clip, clip], ["a & b", "c"], seconds=2)
    xml.dom.minidom.parseString(made.svg)
    assert "a &amp; b" in made.svg
    lines = re.findall(r"<path.*?</path>", made.svg)
    assert len(lines) == 2 * 24
    assert all(len(re.search(r'values="([^"]*)"', line)[1].split(";")) == 30 for line in lines)
    assert made.svg.count("<circle") == 50
    assert "http" not in made.svg.replace("http://www.w3.org/2000/svg", "")


def test_masked_joints_are_hollow_in_their_segment(clip):
    masked = np.zeros((4, 25), bool)
    masked[1, 7] = True
    svg = animate(clip, masks=[masked]).svg
    hidden = re.findall(r'attributeName="fill-opacity"[^>]*values="([^"]*)"', svg)
    assert len(hidden) == 25 and hidden[7] == "1;0;1;1"
    assert all(h == "1;1;1;1" for k, h in enumerate(hidden) if k != 7)
    absent = np.concatenate((clip, np.zeros_like(clip)), 1)
    assert animate(absent).svg == animate(clip).svg


def test_a_sheet_fills_what_is_visible():
    _, ax = plt.subplots()
    hand = NTU_JOINTS.index("left hand")
    plots.mask_grid(ax, np.delete(np.arange(50), 25 + hand), 2)
    seen = np.argwhere(ax.images[0].get_array()[..., 3])
    assert seen.tolist() == [[PART_ORDER.index(hand), 1]]
    plt.close("all")


def test_part_order_lists_each_joint_once():
    assert sorted(PART_ORDER) == list(range(25))
    for part, (a, b) in PART_BOUNDS.items():
        side = part.split()[0]
        if side in ("left", "right"):
            assert all(NTU_JOINTS[j].startswith(side) for j in PART_ORDER[a:b])
            assert len({joint_colour(j) for j in PART_ORDER[a:b]}) == 1


@pytest.mark.parametrize("skeleton", (NTU25, KINECT20, COCO17), ids=str)
def test_every_bone_of_any_skeleton_has_the_colour_of_its_side(skeleton):
    assert {(parent, joint) for joint, parent, _ in bones(skeleton)} == {
        (parent, joint) for joint, parent in enumerate(skeleton.parents) if parent >= 0}
    for joint, parent, colour in bones(skeleton):
        sides = {skeleton.joints[k].split()[0] for k in (joint, parent)}
        assert colour == {"left": plots.BLUE, "right": plots.ORANGE}.get(
            "".join(sides) if len(sides) == 1 else "", plots.GREY)


def test_another_skeleton_moves_and_is_masked():
    clip = np.random.default_rng(0).normal(size=(8, 1, len(COCO17), 3)).astype(np.float32)
    assert animate(clip, skeleton=COCO17).svg.count("<circle") == len(COCO17)
    _, axes = plt.subplots(2)
    plots.filmstrip(clip, 2, ax=axes[0], skeleton=COCO17)
    plots.mask_grid(axes[1], np.arange(5), 3, skeleton=COCO17)
    assert axes[1].images[0].get_array().shape == (len(COCO17), 3, 4)
    plt.close("all")


def test_the_picture_of_all_sets_moves_is_small_and_shows_no_child():
    assert sets.SHOWN["kindergator"][1] not in CHILDREN
    chapter = json.loads((ROOT / "notebooks" / "a1_raw_files.ipynb").read_text())
    code = "".join("".join(cell["source"]) for cell in chapter["cells"])
    for name, (action, subject, rep, _) in sets.SHOWN.items():  # the same clips, drawn live there
        assert f'"{name}": ("{action}", {subject}, {rep})' in code
    for name in sets.STRIPS:  # on the data page, under the licence of the set
        strip = ROOT / "book" / "_static" / f"set-{name}.png"
        assert strip.stat().st_size <= 20_000 and f"_static/{strip.name}" in DATA_PAGE
    moving, still = (ROOT / "book" / "_static" / f"sets.{kind}" for kind in ("webp", "png"))
    assert moving.stat().st_size + still.stat().st_size <= 400_000
    with Image.open(moving) as loop, Image.open(still) as first:
        assert loop.n_frames == sets.SECONDS * sets.FPS and loop.info["loop"] == 0
        assert np.array_equal(loop.convert("RGB"), first.convert("RGB"))
        loop.seek(loop.n_frames // 2)
        assert not np.array_equal(loop.convert("RGB"), first.convert("RGB"))


def test_a_flow_says_its_stops_in_order():
    fig, ax = plt.subplots()
    middles = plots.flow(ax, 1, [("a", "750 × 12", plots.BLUE), ("b", None, plots.GREY)], x=2)
    assert middles[0] == 2.65 and middles == sorted(middles) and middles[1] - middles[0] > 1.3
    assert [text.get_text() for text in ax.texts if text.get_text()] == ["a", "750 × 12", "b"]
    assert ax.get_xlim()[1] >= middles[1] + 0.65
    plt.close(fig)


def test_a_caption_is_what_a_screen_reader_hears(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda made: shown.append(made.data))
    _, ax = plt.subplots(figsize=(4, 2))
    ax.plot([1, 2])
    plots.caption('A line that rises: "1 < 2".')
    (page,) = shown
    assert not plt.get_fignums()  # the notebook would show it once more
    alt, width, data = re.search(r'alt="([^"]*)" width="(\d+)".*base64,([^"]+)"', page).groups()
    assert alt == "A line that rises: &quot;1 &lt; 2&quot;." and page.count(alt) == 2
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.width / int(width) == pytest.approx(150 / 110, rel=0.01)
