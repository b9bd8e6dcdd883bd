"""Chapter 15's numbers: cells find their runs, intervals cover, verdicts follow one rule."""

import functools
import math

import numpy as np
import pytest

from sjepa.protocols.encoders import load_pretrained
from sjepa.show.tables import Cell, percent
from sjepa.study import claims, evidence, results
from sjepa.study.claims import HOLDS, NEEDS_NTU, NOT_HERE, REVERSE
from sjepa.study.evidence import HOW, JUDGES, MEANS, TWO, Difference, cell, cell_rows, compare, gain
from sjepa.study.experiments import config_of


@pytest.fixture
def put(book):
    """Make the runs of cells: a value a seed, by all judges unless told."""
    def make(what, *seen, how="linear", judges=JUDGES, half=2.0):
        results.collect([
            book.run(row.name, [(JUDGES[judge], HOW[how], value, value - half, value + half)])
            for judge in judges
            for row, value in zip(cell_rows(what, how, judge).values(), seen, strict=False)])
    return make


def plain(*values):
    return {seed: {"value": v, "method": "sjepa"} for seed, v in enumerate(values)}


def test_a_cell_is_found_under_the_name_of_its_run(put):
    put("pool-latent", 1.0, 2.0, 3.0, judges=["NW-UCLA"])
    found = cell("pool-latent", "linear", "NW-UCLA")
    assert [r["value"] for r in found.values()] == [1.0, 2.0, 3.0]
    assert found[1]["run"] == "pool-latent-seed1-linear-nwucla-xview"
    assert cell("pool-latent", "linear", "ISL") == cell("pool-latent", "few", "NW-UCLA") == {}
    put("new-latent", 4.0, how="knn", judges=["ISL turned"])
    assert cell("new-latent", "knn", "ISL turned")[0]["metric"] == "top1-k1"
    assert [row.name for row in cell_rows("untrained", "few", "KARD").values()] == [
        f"pool-latent-seed{seed}-few-kard-xsub-random" for seed in evidence.SEEDS]
    assert [*cell_rows("classical", "knn", "gait")] == [0]
    assert not cell_rows("pool-mse", "finetune", "gait")


def test_no_two_cells_share_a_run():
    trained = [f"pool-{name}" for name in (*evidence.TARGETS, "mse", "no-ema", "latent-half")]
    trained += ["public-latent", "parts-latent", *(f"parts-{name}" for name in claims.ablations())]
    names = [row.name for what in (*trained, *evidence.BASELINES, "classical") for how in HOW
             for judge in JUDGES for row in cell_rows(what, how, judge).values()]
    assert len(set(names)) == len(names) > 1000
    assert tuple(cell_rows("pool-motion-half", "linear", "ISL")) == evidence.SEEDS[:3]
    assert claims.ablations()["no-ema"] == {"ema_start": 0.0, "ema_end": 0.0}


def test_a_mean_needs_all_its_judges(put):
    """Each judge counts the same, and a seed that one of them has not read is left out."""
    for k, judge in enumerate(JUDGES):
        put("pool-latent", 10.0 * k, 50.0, judges=[judge], half=3.0)
        if judge != "gait":
            put("pool-motion", 10.0 * k, judges=[judge])
    found = cell("pool-latent")
    assert found[0]["value"] == pytest.approx(45.0) and found[1]["value"] == pytest.approx(50.0)
    assert found[1]["high"] - 50 == pytest.approx(3 / math.sqrt(10))
    assert "run" not in found[1] and not isinstance(percent(found[1]), Cell)  # of no one run
    assert cell("pool-motion") == {} and set(cell("pool-motion", judge=evidence.NEW)) == {0}
    assert cell("pool-motion", judge=evidence.NEW)[0]["value"] == pytest.approx(30.0)


def test_judges_that_an_encoder_has_not_met_are_of_none_of_its_sets():
    learned = {each["set"] for each in load_pretrained()[1]["data"]}
    for name in ("public", "new"):
        assert config_of(f"{name}-latent-seed0-pretrain").split == f"pool/{name}"
    assert MEANS[evidence.UNMET] == tuple(
        judge for judge, split in JUDGES.items() if split.split("/")[0] not in learned)
    assert len(MEANS[evidence.UNMET]) == 7 and evidence.UNMET == "mean of seven"
    assert MEANS[evidence.NEW] == ("ISL", "ISL turned", "WMFT")


def test_a_resolution_follows_the_spread_of_seeds(put):
    put("pool-latent", 1.0, 2.0, 3.0, 4.0, 5.0, judges=["KARD"])
    half = 2.7764 * math.sqrt(2.5) * math.sqrt(2 / 5)
    assert evidence.resolution("pool-latent", "linear", "KARD") == pytest.approx(half, abs=1e-3)
    put("pool-motion", 1.0, 2.0, judges=["KARD"])
    assert evidence.resolution("pool-motion", "linear", "KARD") is None


def test_a_lone_run_spreads_as_trained_seeds_and_not_as_untrained_ones(put):
    put("pool-latent", 1.0, 2.0, 3.0, 4.0, 5.0, judges=["KARD"])
    put("untrained", 1.0, 1.1, 1.2, 1.3, 1.4, judges=["KARD"])
    put("public-latent", 8.0, judges=["KARD"])
    found = gain("public-latent", "untrained", "linear", "KARD")
    assert (found.mean, found.high - 6.8) == pytest.approx(
        (6.8, 2.7764 * math.sqrt(2.5 * (1 + 1 / 5))), abs=1e-3)
    both = gain("pool-latent", "untrained", "linear", "KARD")  # in pairs, as ever
    assert both.high - both.mean == pytest.approx(2.7764 * 0.9 * math.sqrt(2.5 / 5), abs=1e-3)


def test_seeds_are_compared_in_pairs():
    found = compare(plain(51.0, 62.0, 73.0), plain(50.0, 60.0, 70.0))
    assert (found.mean, found.high - 2) == pytest.approx((2.0, 4.3027 / math.sqrt(3)), abs=1e-4)
    back = compare(plain(50.0, 60.0, 70.0), plain(51.0, 62.0, 73.0))
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))
    assert compare(plain(1.0), {}) is None and compare({}, plain(1.0)) is None


@pytest.mark.parametrize("seeds, kind", [(5, "paired"), (3, "paired"), (3, "fixed"), (3, "single")])
def test_intervals_cover_what_they_should(seeds, kind):
    """Without a true difference they hold zero in 95 % of cases."""
    rng, inside = np.random.default_rng(0), 0
    for _ in range(2000):
        base = plain(*rng.normal(60, 2, seeds))
        other = {"paired": plain(*rng.normal(60, 3, seeds)), "single": plain(rng.normal(60, 2)),
                 "fixed": {0: {"value": 60.0, "method": "classical"}}}[kind]
        found = compare(base, other)
        inside += found.low <= 0 <= found.high
    assert 0.935 < inside / 2000 < 0.965


@pytest.mark.parametrize("how, other, half, reach", [
    ("finetune", "from scratch", 1.96, 1.96), ("linear", "untrained", 1.96, 1.96),
    ("few", "untrained", 2.7764, 2.3060),  # of five subsets each: t of 4 degrees, then of 8
])
def test_single_readings_are_compared_by_their_own_intervals(put, how, other, half, reach):
    for what, value in (("pool-latent", 70.0), (other, 60.0)):
        put(what, value, how=how, half=half)
    found = gain("pool-latent", other, how, "ISL")
    assert (found.mean, found.high) == pytest.approx((10.0, 10 + reach * math.sqrt(2)), abs=1e-3)
    mean = gain("pool-latent", other, how)
    assert mean.high - 10 == pytest.approx(reach * math.sqrt(2 / 10), abs=1e-3)


def test_the_verdict_needs_the_whole_interval_and_survives_the_family():
    def ruling(mean, error, others=0):
        family = [Difference(mean, error), *[Difference(0, 1)] * others]
        return claims.verdicts(family)[0][1]

    assert ruling(3, 1) == HOLDS and ruling(1, 1) == ruling(-1, 1) == NOT_HERE
    assert ruling(-3, 1) == REVERSE
    # The rule for one claim is its 95 % interval, to the digit.
    edge = Difference(1.96 * 2, 2.0)
    assert edge.low == pytest.approx(0, abs=1e-3)
    assert edge.chance() == pytest.approx(0.025, abs=1e-4)
    assert ruling(5, 2) == HOLDS and ruling(5, 2, others=13) == NOT_HERE
    assert claims.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert claims.holm([0.5, 0.9]) == pytest.approx([1.0, 1.0]) and claims.holm([]) == []
    gaps = {"far": Difference(9, 1), "near": Difference(2.2, 1), "none": Difference(0.1, 1)}
    assert list(claims.beyond(gaps, corrected=False)) == ["far", "near"]
    assert list(claims.beyond(gaps, corrected=True)) == ["far"]


def test_without_results_everything_says_not_run_and_every_claim_has_its_rows(book):
    table = claims.target_table("linear").text
    assert all("not run" in line and "nan" not in line for line in table.splitlines()[2:])
    found, read = claims.claims(), claims.read_claims()
    assert {f.verdict for f in found} == {f.alone for f in found} == {"not run", NEEDS_NTU}
    assert len(found) == len(read) + 4  # and four tables of the paper
    for claim in read:
        assert set(claim) == {"says", "where", "better", "worse", "by", "on"}
        assert claim["by"] == "monitors" or all(
            cell_rows(claim[side], claim["by"], judge)
            for side in ("better", "worse") for judge in evidence.MEANS[claim["on"]]), claim


def test_tables_show_means_of_seeds_and_say_when_seeds_lack(put):
    put("pool-motion", 50.0, 52.0)
    put("untrained", 9.0, judges=["KARD"])
    put("pool-latent", 60.0, 61.0, 62.0, 63.0, 64.0)
    rows = [line.strip("| ").split(" | ") for line in
            claims.target_table("linear").text.splitlines() if "--" not in line]
    columns = {title: column for title, *column in zip(*rows, strict=True)}
    assert columns["latent (S-JEPA)"] == ["62.0\N{NBSP}± 1.6"] * 11
    assert columns["motion"] == ["51.0\N{NBSP}± 1.4, 2 of 5 seeds"] * 11
    assert columns["untrained"].count("not run") == 10
    assert "9.0 [7.0,\N{NBSP}11.0], 1 of 5 seeds" in columns["untrained"]
    assert "± 1.6" not in claims.target_table("knn").text and evidence.shown({}) is None


def test_claims_follow_the_results(put):
    put("pool-latent", 60.0, 62.0, 64.0)
    put("pool-motion", 70.0, 72.0, 74.1)
    put("pool-coordinates", 30.0, 32.0, 34.1)
    put("parts-latent", 60.0, 62.0, 64.0, judges=MEANS[TWO])
    put("parts-no-views", 61.0, judges=MEANS[TWO])
    found = {f.claim: f for f in claims.claims()}
    assert found["latents beat coordinates"].verdict == HOLDS
    assert found["latents beat motion"].verdict == REVERSE
    views = found["geometric views help"]
    assert views.verdict == NOT_HERE and views.result.startswith("+1.0 [")
    assert views.result.endswith("; ahead on 2 of 2")
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
    monitored(book, "parts-no-ema-seed0", **without)
    if with_it is not None:
        monitored(book, "parts-latent-seed0", **with_it)
    (found,) = [f for f in claims.claims() if f.claim == "without EMA the target collapses"]
    assert found.verdict == ruling and "rank 30" in found.result


def test_an_effect_is_that_of_one_setting_alone(put):
    put = functools.partial(put, judges=MEANS[TWO])
    put("parts-latent", 60.0, 62.0, 64.0)
    put("parts-no-views", 50.0)
    assert claims.measured_effect("view_rotation") is None
    put("parts-rotation-03", 61.0)
    assert claims.measured_effect("view_rotation").startswith("0.3 for 1: -1.0 [")
    assert claims.measured_effect("clip_grad") is claims.measured_effect("precision") is None
    put("parts-clip-grad", 63.0)
    assert claims.measured_effect("clip_grad").startswith("3 for none: +1.0 [")
    assert set(claims.effects()) == {"no-views", "rotation-03", "clip-grad"}
