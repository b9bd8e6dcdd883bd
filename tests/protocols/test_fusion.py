"""Late fusion by hand, and what cannot be fused."""

import json

import numpy as np
import pytest
from scipy.special import softmax

from sjepa.checkpoint import read_result
from sjepa.config import make_config
from sjepa.errors import SjepaError
from sjepa.protocols.config import FuseConfig, LinearConfig
from sjepa.protocols.fusion import fuse, load_predictions
from sjepa.protocols.run import evaluate


def test_fusion_by_hand():
    a, b = np.array([[2.0, 0, 0]]), np.array([[0, 1.0, 0]])
    p, q = (np.exp(x) / np.exp(x).sum() for x in (a, b))
    np.testing.assert_allclose(fuse([a, b]), (p + q) / 2)
    np.testing.assert_allclose(fuse([a, b], (3, 1)), (3 * p + q) / 4)
    np.testing.assert_allclose(fuse([a + 1e4]), p)  # no overflow


@pytest.fixture
def judged(common, restate, tmp_path):
    """The folder of an evaluation of the run, which says to be of another stream."""
    def judge(stream, name="", **settings):
        restate(stream=stream, epochs=len(stream))  # each may have trained for its own time
        out = tmp_path / (name or stream)
        evaluate("linear", make_config(LinearConfig, common | {
            "epochs": 3, "passes": 1, "by_joint": True, "out": str(out)} | settings))
        return str(out)

    return judge


def test_fused_streams(judged, tmp_path):
    runs = [judged(stream) for stream in ("joint", "bone", "motion")]
    for metric in ("top1", "top1-joints"):  # a name that holds «joint» is no stream
        config = make_config(FuseConfig, {"runs": runs, "weights": [2, 2, 1], "metric": metric,
                                          "out": str(tmp_path / f"fused-{metric}")})
        result = evaluate("fuse", config)
        sources = [load_predictions(f"{run}/scores/{metric}.npz") for run in runs]
        chances = sum(w * softmax(s.scores, -1) for w, s in zip((2, 2, 1), sources, strict=True))
        (reading,) = result["readings"]
        assert reading["right"] == (chances.argmax(1) == sources[0].labels).sum()
        assert reading["metric"] == metric and reading["n"] == 36 and reading["protocol"] == "fuse"
    assert result["note"] == "late fusion of joint, bone, motion"
    assert result["settings"]["fused"] == {name: read_result(tmp_path / name)["hash"]
                                           for name in ("joint", "bone", "motion")}
    fused = load_predictions(config.folder / "scores" / "top1-joints.npz")
    np.testing.assert_allclose(softmax(fused.scores, -1), chances / 5, atol=1e-6)
    assert make_config(FuseConfig, {"runs": runs}).folder == tmp_path / "fuse-joint"


def test_what_cannot_be_fused_is_named(judged, restate, tmp_path):
    joint, bone, again = judged("joint"), judged("bone"), judged("joint", "again")
    short, view = judged("bone", "short", epochs=2), judged("bone", "v", split="synthetic/xview")

    def fusing(*runs, **more):
        return evaluate("fuse", make_config(FuseConfig, {
            "runs": list(runs), "out": str(tmp_path / "f")} | more))

    for runs, more, said in (
        ([joint], {}, "expected two folders of evaluations or more"),
        ([joint, bone], {"weights": [1]}, r"expected one a run \(2\), and not all 0"),
        ([joint, bone], {"weights": [0, 0]}, r"expected one a run \(2\), and not all 0"),
        ([joint, str(tmp_path / "none")], {}, "holds no finished run"),
        ([joint, bone], {"metric": "top5"}, "the evaluation has those of top1, top1-best-epoch"),
        ([joint, bone], {"metric": "top1-best-epoch"}, "no class scores of top1-best-epoch"),
        ([joint, again], {}, "their streams are joint, joint, and each may stand once"),
        ([joint, short], {}, "has epochs = 2, .* has 3: fuse runs that differ in"),
        ([joint, view], {}, "has split = synthetic/xview"),
    ):
        with pytest.raises(SjepaError, match=said):
            fusing(*runs, **more)
    restate(target="motion")
    with pytest.raises(SjepaError, match="has the pretraining's target = motion, .* has latent"):
        fusing(joint, judged("motion"))
    path = tmp_path / "bone" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pretraining": None}))
    with pytest.raises(SjepaError, match="judges no encoder, so it has no stream"):
        fusing(joint, bone)
    (tmp_path / "bone" / "scores" / "top1.npz").write_bytes(b"no zip")
    with pytest.raises(SjepaError, match="top1.npz is no readable npz"):
        fusing(joint, bone)
    assert not (tmp_path / "f").exists()
