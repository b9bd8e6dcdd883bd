"""Chapter 15's numbers: cells find their runs, intervals cover, verdicts follow one rule."""

import math

import numpy as np
import pytest

from sjepa.study import claims, evidence, results
from sjepa.study.claims import HOLDS, NEEDS_NTU, NOT_HERE, REVERSE
from sjepa.study.evidence import (
    COLUMNS,
    FOLDS,
    JUDGES,
    SEEDS,
    TARGETS,
    Difference,
    cell,
    cell_rows,
    compare,
    shown,
)
from sjepa.study.tables import main_metric


@pytest.fixture
def put(book):
    """Make the runs of cells: a value a seed, on both judged sets unless told."""
    def make(what, *seen, protocol="linear", columns=JUDGES, metric="", half=2.0):
        for column in columns:
            part, judged = COLUMNS[column]
            for row, value in zip(cell_rows(what, protocol, column).values(), seen, strict=False):
                name = (metric or main_metric(row)) + judged
                book.put(row.name, (part, name, value, value - half, value + half))
    return make


def plain(*values):
    return {seed: {"value": v, "method": "sjepa"} for seed, v in enumerate(values)}


def test_a_cell_is_found_under_the_name_of_its_run(put):
    put("latent", 1.0, 2.0, 3.0, columns=["Kinder-Gator 42"])
    found = cell("latent", "linear", "Kinder-Gator 42")
    assert [r["value"] for r in found.values()] == [1.0, 2.0, 3.0]
    assert found[1]["run"] == "open-latent-seed1-linear-kindergator"
    assert cell("latent", "linear", "Kinder-Gator 58") == cell("motion", "linear", "HDM05") == {}
    put("no-ema", 4.0, protocol="knn", columns=["NW-UCLA clean"])
    assert cell("no-ema", "knn", "NW-UCLA clean")[0]["metric"] == "top1-k1"
    assert [row.name for row in cell_rows("untrained", "linear", "HDM05").values()] == [
        f"open-latent-seed{seed}-linear-hdm05-random" for seed in SEEDS]
    assert len(cell_rows("classical", "linear", "HDM05")) == 1
    assert not cell_rows("mse", "linear", "HDM05") and not cell_rows("untrained", "semi", "HDM05")


def test_no_two_cells_share_a_run():
    trained = (*TARGETS, *claims.ablations(), "long", "full", "kinect", "nwucla-alone")
    names = [row.name for what in (*trained, *evidence.BASELINES)
             for protocol in ("linear", "knn", "finetune", "semi")
             for column in ("Kinder-Gator 58", "NW-UCLA clean", "HDM05", FOLDS)
             for row in cell_rows(what, protocol, column).values()]
    assert len(set(names)) == len(names)
    assert tuple(cell_rows("kinect-motion", "linear", JUDGES[0])) == SEEDS[:3]
    assert claims.ablations()["no-ema"] == {"ema_start": 0.0, "ema_end": 0.0}


def test_folds_are_found_and_counted(book):
    for fold, value in ((1, 50.0), (3, 30.0)):
        book.put(f"open-latent-seed0-linear-kindergator-fold{fold}",
                 (f"kindergator/fold{fold}", "top1", value))
    found = cell("latent", "linear", FOLDS, "top1")
    assert {fold: reading["value"] for fold, reading in found.items()} == {1: 50.0, 3: 30.0}
    assert shown(found, 5, "folds") == "40.0\N{NBSP}± 14.1, 2 of 5 folds"
    assert cell("latent", "linear", FOLDS, "top1-joints") == cell("motion", "linear", FOLDS) == {}
    assert len(cell_rows("classical", "linear", FOLDS)) == 5


def test_seeds_are_compared_in_pairs():
    found = compare(plain(51.0, 62.0, 73.0), plain(50.0, 60.0, 70.0))
    assert (found.mean, found.high - 2) == pytest.approx((2.0, 4.3027 / math.sqrt(3)), abs=1e-4)
    back = compare(plain(50.0, 60.0, 70.0), plain(51.0, 62.0, 73.0))
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))
    assert compare(plain(1.0), {}) is None and compare({}, plain(1.0)) is None


@pytest.mark.parametrize("kind", ["paired", "fixed", "single"])
def test_intervals_of_three_seeds_cover_what_they_should(kind):
    rng, inside = np.random.default_rng(0), 0
    for _ in range(2000):
        base = plain(*rng.normal(60, 2, 3))
        other = {"paired": plain(*rng.normal(60, 3, 3)), "single": plain(rng.normal(60, 2)),
                 "fixed": {0: {"value": 60.0, "method": "classical"}}}[kind]
        found = compare(base, other)
        inside += found.low <= 0 <= found.high
    assert 0.935 < inside / 2000 < 0.965


def test_single_readings_are_compared_by_their_own_intervals(put):
    for what, value in (("latent", 70.0), ("from scratch", 60.0)):
        put(what, value, protocol="finetune", columns=JUDGES[:1], half=1.96)
    found = compare(*(cell(w, "finetune", JUDGES[0]) for w in ("latent", "from scratch")))
    assert (found.mean, found.high) == pytest.approx((10.0, 10 + 1.96 * math.sqrt(2)), abs=1e-3)
    # Of five subsets on each side: their Student intervals, and eight degrees together.
    for what, value in (("latent", 70.0), ("motion", 60.0)):
        put(what, value, protocol="semi", columns=JUDGES[:1], half=2.78)
    found = compare(*(cell(w, "semi", JUDGES[0]) for w in ("latent", "motion")))
    assert found.degrees == pytest.approx(8.0)
    assert found.low == pytest.approx(10 - 2.306 * math.sqrt(2), abs=0.01)
    # The wider side decides where the other is sure.
    put("motion", 60.0, protocol="semi", columns=JUDGES[:1], half=0.01)
    assert compare(*(cell(w, "semi", JUDGES[0]) for w in ("motion", "latent"))).degrees < 4.1


def test_the_verdict_needs_every_set_and_survives_the_family():
    def ruling(*gaps, margin=0.0, factor=1.0):
        pair = claims.chances([Difference(mean, error) for mean, error in gaps], margin)
        return claims.verdict(*pair, factor)

    assert ruling((3, 1), (9, 1)) == HOLDS
    assert ruling((3, 1), (1, 1)) == ruling((-3, 1), (3, 1)) == NOT_HERE
    assert ruling((-3, 1), (-9, 1)) == REVERSE
    assert ruling((24, 2.5), (30, 1), margin=20) == NOT_HERE
    assert ruling((26, 2.5), (30, 1), margin=20) == HOLDS
    # The rule for one claim is its 95 % interval, to the digit.
    edge = Difference(1.96 * 2, 2.0)
    assert edge.low == pytest.approx(0, abs=1e-3)
    assert edge.chance() == pytest.approx(0.025, abs=1e-4)
    assert ruling((5, 2), factor=1.0) == HOLDS and ruling((5, 2), factor=14.0) == NOT_HERE
    assert evidence.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert evidence.holm([0.5, 0.9]) == pytest.approx([1.0, 1.0]) and evidence.holm([]) == []
    gaps = {"far": Difference(9, 1), "near": Difference(2.2, 1), "none": Difference(0.1, 1)}
    assert list(claims.beyond(gaps, corrected=False)) == ["far", "near"]
    assert list(claims.beyond(gaps, corrected=True)) == ["far"]


def test_without_results_everything_says_not_run_and_every_claim_has_its_rows(book):
    table = claims.target_table("linear", "top1").text
    assert all("not run" in line and "nan" not in line for line in table.splitlines()[2:])
    found, read = claims.claims(), claims.read_claims()
    assert {f.verdict for f in found} == {f.alone for f in found} == {"not run", NEEDS_NTU}
    assert len(found) == len(read) + 4  # and four tables of the paper
    for claim in read:
        assert set(claim) == {"says", "where", "better", "worse", "by", "on", "margin"}
        assert claim["by"] == "monitors" or all(
            cell_rows(claim[side], claim["by"], column)
            for side in ("better", "worse") for column in claim["on"]), claim


def test_tables_show_means_of_seeds_and_say_when_seeds_lack(put):
    put("motion", 50.0, 52.0)
    put("untrained", 9.0)
    put("latent", 60.0, 61.0, 62.0, 63.0, 64.0)
    table = claims.target_table("linear", "top1").text
    lines = {line.split(" |")[0]: line for line in table.splitlines()}
    assert "62.0\N{NBSP}± 1.6 |" in lines["| latent (S-JEPA)"]
    assert "51.0\N{NBSP}± 1.4, 2 of 5 seeds" in lines["| motion"]
    assert "9.0 [7.0,\N{NBSP}11.0], 1 of 5 seeds" in lines["| untrained"]
    assert lines["| latent (S-JEPA)"].count("not run") == 3  # 42 classes, all clips, HDM05
    assert "± 1.6" not in claims.target_table("knn", "top1-k1").text and shown({}) is None


def test_claims_follow_the_results(put):
    put("latent", 60.0, 62.0, 64.0)
    put("motion", 70.0, 72.0, 74.1)
    put("coordinates", 30.0, 32.0, 34.1)
    put("no-views", 61.0)
    found = {f.claim: f for f in claims.claims()}
    assert found["latents beat coordinates"].verdict == HOLDS
    assert found["latents beat motion"].verdict == REVERSE
    views = found["geometric views help"]
    assert views.verdict == NOT_HERE and "Kinder-Gator 58: +1.0 [" in views.result
    assert found["centring helps"].verdict == "not run"
    assert f"**{HOLDS}**" in claims.claims_table(list(found.values())).text


WELL = {"loss": 1.2, "entropy": 0.9, "top_channel": 0.2, "std_tokens": 0.8, "std_clips": 0.7,
        "position_share": 0.1, "rank": 30.0}


def monitored(book, name, **last):
    """A finished pretraining with two epochs of monitors."""
    folder = book.run(f"{name}-pretrain")
    rows = [",".join(map(str, (epoch, *(WELL | changed).values())))
            for epoch, changed in ((1, {}), (2, last))]
    (folder / "history.csv").write_text("\n".join((f"epoch,{','.join(WELL)}", *rows)) + "\n")
    results.collect([folder])


@pytest.mark.parametrize("without, with_it, ruling", [
    ({"std_clips": 0.001}, {}, HOLDS),
    ({"entropy": math.log(128)}, {}, HOLDS),
    ({"top_channel": 0.99}, {}, HOLDS),
    ({}, {}, NOT_HERE),
    ({"std_clips": 0.001}, {"std_clips": 0.001}, NOT_HERE),
    ({"std_clips": 0.001}, None, "not run"),
])
def test_a_collapse_is_read_from_the_monitors(book, without, with_it, ruling):
    monitored(book, "open-no-ema", **without)
    if with_it is not None:
        monitored(book, "open-latent-seed0", **with_it)
    (found,) = [f for f in claims.claims() if f.claim == "without EMA the target collapses"]
    assert found.verdict == ruling and "rank 30" in found.result


def test_an_effect_is_that_of_one_setting_alone(put):
    put("latent", 60.0, 62.0, 64.0)
    put("no-views", 50.0)
    assert claims.measured_effect("view_rotation") is None
    put("rotation-03", 61.0)
    said = claims.measured_effect("view_rotation")
    assert said.startswith("0.3 for 1: -1.0 [") and said.count("-1.0 [") == 2
    assert claims.measured_effect("clip_grad") is claims.measured_effect("precision") is None
    put("clip-grad", 63.0)
    assert claims.measured_effect("clip_grad").startswith("3 for none: +1.0 [")
    assert set(claims.effects("linear", JUDGES[0])) == {"no-views", "rotation-03", "clip-grad"}
