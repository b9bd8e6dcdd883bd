"""Chapter 15's numbers: cells find their records, intervals cover, verdicts follow one rule."""

import json
import math

import matplotlib
import numpy as np
import pytest

from sjepa.config import RESULTS, PretrainConfig, as_dict, make_config
from sjepa.errors import SjepaError
from sjepa.show.plots import MONITORS, monitor_panels
from sjepa.study.claims import (
    CLAIMS,
    HOLDS,
    NEEDS_NTU,
    NOT_HERE,
    REVERSE,
    ablation_table,
    claims,
    claims_table,
    difference_table,
    ema_finding,
    fold_table,
    measured_effect,
    surprises,
    target_table,
    verdict,
)
from sjepa.study.evidence import (
    BASELINES,
    COLUMNS,
    JUDGES,
    T_POINTS,
    Difference,
    cell,
    cell_rows,
    collect_curves,
    compare,
    fold_cell,
    main,
    missing,
    ranking,
    read_curve,
    shown,
)
from sjepa.study.records import read_records, write_record
from sjepa.study.rows import rows
from sjepa.study.rows_evidence import (
    ABLATIONS,
    ALONE,
    FEWER,
    KINECT,
    LARGER,
    SEEDS,
    TARGETS,
    run_name,
)
from sjepa.study.tables import expected_id

matplotlib.use("agg")
ROWS = rows("evidence,paper")


def made(what, protocol="linear", column="Kinder-Gator 58", values=(50.0,), half=2.0, paper=None):
    """Records of a cell as its rows would write them, a value a seed."""
    part, judged = COLUMNS[column]
    planned = list(cell_rows(what, protocol, column).values())
    return [record(row, part, value, row.main_metric + judged, half, paper)
            for row, value in zip(planned, values, strict=False)]


def record(row, part, value, metric="", half=2.0, paper=None):
    seeds = [0, 1, 2, 3, 4] if row.step == "semi" else [0]
    return {
        "id": expected_id(row, part, metric), "dataset": part.split("/")[0], "split": part,
        "protocol": row.step, "method": row.params["method"], "metric": metric or row.main_metric,
        "value": value, "interval": [value - half, value + half], "seeds": seeds, "paper": paper,
        "preset": "open", "epochs": 3, "device": "CPU", "hours": 1.5, "peak_bytes": 2**30,
        "command": "x", "note": "",
    }


def both(what, *values, protocol="linear"):
    return [r for column in JUDGES for r in made(what, protocol, column, values)]


def plain(*values):
    return {seed: {"value": v, "method": "sjepa"} for seed, v in enumerate(values)}


def test_a_cell_is_found_under_the_name_that_the_run_writes():
    (_, first, _) = made("latent", column="Kinder-Gator 42", values=(1.0, 2.0, 3.0))
    assert first["id"] == "kindergator-xsub-linear-sjepa-open-seed1-top1-coarse-from-pool-all"
    (only,) = made("no-ema", "knn", "NW-UCLA clean")
    assert only["id"] == "nwucla-xview-clean-knn-sjepa-open-top1-k1-from-pool-all-no-ema"
    assert [r["id"] for r in made("untrained", column="HDM05", values=(1.0, 2.0))] == [
        "hdm05-xsub-linear-random-open", "hdm05-xsub-linear-random-open-evalseed1"]


def test_folds_are_found_and_counted():
    runs = {"latent": "open-latent-seed0-linear-kindergator-fold{}",
            "untrained": "open-latent-seed0-linear-kindergator-fold{}-random"}
    records = [record(ROWS[name.format(k)], f"kindergator/fold{k}", 10.0 * k, metric)
               for what, name in runs.items() for k in (1, 3)
               for metric in ("top1", "top1-coarse")]
    records[0]["value"] = 50.0  # the first fold of latent alone
    assert [r["value"] for r in fold_cell("latent", "top1", records).values()] == [50.0, 30.0]
    assert list(fold_cell("untrained", "top1-coarse", records)) == [1, 3]
    assert fold_cell("latent", "top1-joints", records) == fold_cell("motion", "top1", records) == {}
    text = fold_table(records).text
    assert "| latent (S-JEPA) | 40.0\N{NBSP}± 14.1, 2 of 5 folds | 20.0" in text
    assert "| classical | not run |" in text


def test_every_cell_finds_its_records_and_no_others():
    kinds = [(what, protocol, column) for what in (*TARGETS, *BASELINES, *ABLATIONS)
             for protocol in ("linear", "knn", "finetune", "semi") for column in COLUMNS]
    every = {kind: made(*kind, values=(50.0,) * len(SEEDS)) for kind in kinds}
    flat = [r for found in every.values() for r in found]
    assert len({r["id"] for r in flat}) == len(flat)
    for kind, wanted in every.items():
        assert list(cell(*kind, flat).values()) == wanted
    assert len(cell_rows("latent", "linear", "HDM05")) == len(SEEDS)
    assert len(cell_rows("classical", "linear", "HDM05")) == 1
    assert not cell_rows("mse", "linear", "HDM05") and not cell_rows("untrained", "semi", "HDM05")


def test_t_points_are_those_of_the_density():
    for degrees, point in enumerate(T_POINTS, 1):
        x = np.linspace(0, point, 200_001)
        scale = math.gamma((degrees + 1) / 2) / (
            math.sqrt(degrees * math.pi) * math.gamma(degrees / 2))
        inside = np.trapezoid(scale * (1 + x**2 / degrees) ** (-(degrees + 1) / 2), x)
        assert inside == pytest.approx(0.475, abs=3e-5)  # the points are rounded


def test_seeds_are_compared_in_pairs():
    found = compare(plain(51.0, 62.0, 73.0), plain(50.0, 60.0, 70.0))
    assert found.mean == pytest.approx(2.0)
    assert found.high - found.mean == pytest.approx(4.303 / math.sqrt(3))
    back = compare(plain(50.0, 60.0, 70.0), plain(51.0, 62.0, 73.0))
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))
    assert compare(plain(1.0), {}) is None and compare({}, plain(1.0)) is None


@pytest.mark.parametrize("kind", ["paired", "fixed", "single"])
def test_intervals_of_three_seeds_cover_what_they_should(kind):
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(3000):
        base = plain(*rng.normal(60, 2, 3))
        if kind == "paired":
            other = plain(*rng.normal(60, 3, 3))
        else:
            other = plain(60.0 if kind == "fixed" else rng.normal(60, 2))
            other[0]["method"] = "classical" if kind == "fixed" else "sjepa"
        found = compare(base, other)
        inside += found.low <= 0 <= found.high
    assert 0.94 < inside / 3000 < 0.96


def test_single_records_are_compared_by_their_own_intervals():
    one, other = ({0: made(w, "finetune", values=(v,), half=1.96)[0]}
                  for w, v in (("latent", 70.0), ("from scratch", 60.0)))
    found = compare(one, other)
    assert (found.mean, found.high) == pytest.approx((10.0, 10 + 1.96 * math.sqrt(2)))
    one, other = ({0: made(w, "semi", values=(v,), half=2.0)[0]}
                  for w, v in (("latent", 70.0), ("motion", 60.0)))
    half = 2.306 * math.sqrt(2 * 2**2 / 5)  # deviation 2 over five subsets on each side
    assert compare(one, other).low == pytest.approx(10 - half)


def test_the_verdict_needs_the_whole_interval_on_every_set():
    def gap(low, high):
        return Difference((low + high) / 2, low, high)

    assert verdict([gap(0.1, 3), gap(0.2, 9)]) == HOLDS
    assert verdict([gap(0.1, 3), gap(-0.2, 9)]) == NOT_HERE
    assert verdict([gap(-3, -1), gap(-9, -0.1)]) == REVERSE
    assert verdict([gap(-3, -1), gap(0.5, 1)]) == NOT_HERE
    assert verdict([gap(0.1, 3), None]) == "not run"
    assert verdict([gap(19, 30), gap(21, 30)], 20) == NOT_HERE
    assert verdict([gap(5, 10), gap(5, 10)], 20) == NOT_HERE
    assert verdict([gap(20.1, 30), gap(21, 30)], 20) == HOLDS


def test_without_records_everything_says_not_run_and_every_claim_has_its_rows(tmp_path):
    for text in (target_table("linear", "top1", []).text, difference_table("knn", "", []).text,
                 ablation_table([]).text):
        assert all("not run" in line and "nan" not in line for line in text.splitlines()[2:])
    found = claims([], tmp_path)
    assert {f.verdict for f in found} == {"not run", NEEDS_NTU}
    assert len(found) == len(CLAIMS) + 1 + 4  # the EMA's, and four protocols on the paper's data
    for claim in CLAIMS:
        assert all(cell_rows(what, claim.protocol, column)
                   for what in (claim.one, claim.other) for column in claim.sets), claim
    assert surprises([], tmp_path) == [] and ranking("linear", JUDGES[0], []) == []
    evaluated = [row for row in rows("evidence").values()
                 if row.step not in ("prepare", "pretrain", "report")]
    assert len(missing([])) == len(evaluated)
    some = both("latent", 1.0, 2.0, 3.0)
    assert len(missing(some)) == len(evaluated) - len(some)


def test_tables_show_means_of_seeds_and_say_when_seeds_lack():
    records = both("motion", 50.0, 52.0) + both("untrained", 9.0)
    records += both("latent", 60.0, 61.0, 62.0, 63.0, 64.0)
    lines = {line.split(" |")[0]: line for line in
             target_table("linear", "top1", records).text.splitlines()}
    assert "62.0\N{NBSP}± 1.6 |" in lines["| latent (S-JEPA)"]
    assert "51.0\N{NBSP}± 1.4, 2 of 5 seeds" in lines["| motion"]
    assert "9.0 [7.0,\N{NBSP}11.0], 1 of 5 seeds" in lines["| untrained"]
    assert lines["| latent (S-JEPA)"].count("not run") == 3  # 42 classes, all clips, HDM05
    assert "± 1.6" not in target_table("knn", "top1-k1", records).text
    assert shown({}) is None


def test_an_ablation_stands_beside_seed_0_and_the_spread():
    records = both("latent", 60.0, 62.0, 64.0) + both("mse", 57.0)
    (line,) = [x for x in ablation_table(records).text.splitlines() if x.startswith("| mse")]
    assert line == "| mse | `loss` mse | 57.0 | -3.0 | -2.5 | 57.0 | -3.0 | -2.5 |"
    alone = ablation_table(both("mse", 57.0)).text
    assert "| 57.0 | – | – |" in alone and "nan" not in alone


def test_claims_follow_the_records():
    records = both("latent", 60.0, 62.0, 64.0) + both("motion", 70.0, 72.0, 74.0)
    records += both("coordinates", 30.0, 32.0, 34.1) + both("no-views", 61.0)
    found = {f.claim: f for f in claims(records)}
    assert found["latents beat coordinates"].verdict == HOLDS
    assert found["latents beat motion"].verdict == REVERSE
    assert found["latents beat motion"].result.count("-10.0 [-10.0") == 2
    assert found["geometric views help"].verdict == NOT_HERE
    said = surprises(records + both("mse", 90.0))
    assert any("latents beat motion" in s for s in said) and any("*mse*" in s for s in said)
    assert any("motion, then latent, then coordinates" in s for s in said)
    assert "**the reverse**" in claims_table(list(found.values())).text


def test_the_papers_cells_are_judged_by_half_a_point():
    row = ROWS["ntu60-xsub-linear"]
    near = record(row, "ntu60/xsub", 85.6, paper=85.3)
    near["id"] = "ntu60-xsub-linear-sjepa-paper"

    def linear(records):
        return next(f for f in claims(records) if f.claim.startswith("Linear probe"))

    assert linear([]).verdict == NEEDS_NTU
    assert (linear([near]).verdict, linear([near]).result) == (HOLDS, "1 of 1")
    assert linear([near | {"value": 86.0}]).verdict == NOT_HERE


HEALTHY = {"loss": 1.23456, "entropy": 0.9, "top_channel": 0.2, "std_tokens": 0.8,
           "std_clips": 0.7, "position_share": 0.1, "rank": 30.0, "center_norm": 2.0,
           "momentum": 0.987654}


def run_of(folder, name, **last):
    """A finished run of the row `name`, as pretraining leaves it."""
    config = as_dict(make_config(PretrainConfig, ROWS[f"{name}-pretrain"].params))
    history = [{"epoch": 1, **HEALTHY, "lr": 0.1}, {"epoch": 2, **HEALTHY, **last}]
    (folder / name).mkdir(parents=True)
    facts = {"config": config, "history": history, "hours": 1.0, "peak_bytes": 1, "device": "CPU"}
    (folder / name / "run.json").write_text(json.dumps(facts))
    return folder / name / "run.json"


def test_curves_are_rounded_and_lie_beside_the_records(tmp_path, capsys):
    run_of(tmp_path / "runs", "open-no-ema")
    (tmp_path / "runs" / "quick").mkdir()  # not one of these runs
    (tmp_path / "runs" / "quick" / "run.json").write_text("{}")
    results = tmp_path / "results"
    write_record(made("latent")[0], results)
    main(["curves", "--runs", str(tmp_path / "runs"), "--out", str(results / "curves")])
    assert "1 curves" in capsys.readouterr().out
    curve = read_curve("open-no-ema", results / "curves")
    assert (curve["device"], curve["hours"]) == ("CPU", 1.0)
    assert curve["dim"] == 128 and [row["epoch"] for row in curve["history"]] == [1, 2]
    first = curve["history"][0]
    assert first["loss"] == 1.235 and first["momentum"] == 0.9877 and "lr" not in first
    assert len(read_records(results)) == 1
    assert read_curve("open-mse", results / "curves") is None


def test_curves_of_other_settings_or_damaged_ones_are_refused(tmp_path):
    path = run_of(tmp_path / "runs", "open-mse")
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"config": facts["config"] | {"loss": "cross-entropy"}}))
    with pytest.raises(SjepaError, match="loss = cross-entropy, not mse"):
        collect_curves(tmp_path / "runs", tmp_path / "curves")
    path.write_text('{"history": [{"loss": 1}]}')
    with pytest.raises(SjepaError, match="run.json is damaged"):
        collect_curves(tmp_path / "runs", tmp_path / "curves")
    assert not (tmp_path / "curves").exists()


@pytest.mark.parametrize("without, with_it, ruling", [
    ({"std_clips": 0.001}, {}, HOLDS),
    ({"entropy": math.log(128)}, {}, HOLDS),
    ({"top_channel": 0.99}, {}, HOLDS),
    ({}, {}, NOT_HERE),
    ({"std_clips": 0.001}, {"std_clips": 0.001}, NOT_HERE),
    ({"std_clips": 0.001}, None, "not run"),
])
def test_a_collapse_is_read_from_the_monitors(tmp_path, without, with_it, ruling):
    runs, out = tmp_path / "runs", tmp_path / "curves"
    run_of(runs, "open-no-ema", **without)
    if with_it is not None:
        run_of(runs, "open-latent-seed0", **with_it)
    collect_curves(runs, out)
    found = ema_finding(out)
    assert found.verdict == ruling and "rank 30" in found.result
    # An accuracy, however good, changes nothing.
    good = both("no-ema", 99.0) + both("latent", 1.0, 2.0, 3.0)
    assert found in claims(good, out)


def test_an_effect_is_that_of_one_setting_alone():
    records = both("latent", 60.0, 62.0, 64.0) + both("no-views", 50.0)
    assert measured_effect("view_rotation", records) is None
    records += both("rotation-03", 61.0)
    said = measured_effect("view_rotation", records)
    assert said.startswith("0.3 for 1: -1.0 [") and said.count("-1.0 [") == 2
    assert measured_effect("clip_grad", records) is measured_effect("precision", records) is None
    records += both("clip-grad", 63.0) + both("fp32", 62.0)
    assert measured_effect("clip_grad", records).startswith("3 for none: +1.0 [")
    assert measured_effect("precision", records).startswith("fp32 for auto: +0.0 [")


def test_panels_draw_what_was_read(tmp_path):
    run_of(tmp_path / "runs", "open-latent-seed0")
    run_of(tmp_path / "runs", "open-mse", rank=3.0)
    collect_curves(tmp_path / "runs", tmp_path)
    base, other = (read_curve(f"open-{name}", tmp_path) for name in ("latent-seed0", "mse"))
    for row in other["history"]:
        del row["entropy"]
    _, axes = matplotlib.pyplot.subplots(1, len(MONITORS))
    monitor_panels(axes, [base], [other])
    drawn = {name: [list(line.get_ydata()) for line in ax.lines]
             for name, ax in zip(MONITORS, axes, strict=True)}
    assert drawn["rank"] == [[30.0, 30.0], [30.0, 3.0]]
    assert drawn["entropy"][0] == [0.9, 0.9] and not any(drawn["entropy"][1:])
    matplotlib.pyplot.close("all")


def test_the_recipe_was_looked_for_on_validation_splits_alone():
    """Each look names settings that exist, and was judged on no test clip."""
    search = json.loads((RESULTS / "search" / "open.json").read_text())
    for look in search["looks"]:
        make_config(PretrainConfig, search["common"] | look["settings"])
        assert set(look["readings"]) == {"kindergator/val", "nwucla/val"}
        assert look["epochs"] <= look["planned"]
    untrained = [look["name"] for look in search["looks"] if not look["epochs"]]
    assert len(set(untrained)) == len(untrained) == 3  # one of each shape


def test_runs_without_motion_capture_are_told_from_the_others():
    """Own folders, ids and split: such a run of motion is neither an ablation nor a seed."""
    found = {what: cell_rows(what, "linear", JUDGES[0]) for what in KINECT}
    assert all(tuple(each) == FEWER for each in found.values())
    ids = {expected_id(row, "kindergator/xsub") for each in found.values() for row in each.values()}
    assert len(ids) == len(KINECT) * len(FEWER)
    assert "kindergator-xsub-linear-motion-open-top1-from-pool-kinect-kinect-motion" in ids
    names = [*TARGETS, *ABLATIONS, *LARGER, *KINECT, ALONE]
    folders = {run_name(what, seed) for what in names for seed in SEEDS}
    assert len(folders) == len(names) * len(SEEDS)
