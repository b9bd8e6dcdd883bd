"""Every full run by name: which step, with which parameters, after which others.

The rows of the paper's tables, the same protocols on the open sets, and the quick ones on built-in
data. `python -m sjepa.study.rows` writes each as `notebooks/full/params/NAME.yaml`, which papermill, the
command lines and the Snakefile read.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sjepa.config import ROOT, load_params, make_config
from sjepa.datasets.options import PrepareRun
from sjepa.datasets.splits import TRANSFERS
from sjepa.errors import SjepaError, main_with_errors
from sjepa.protocols.config import CONFIGS, ReportConfig
from sjepa.study.row import (
    OPEN_FEW,
    OPEN_TUNE,
    Row,
    evaluate_row,
    every_protocol,
    prepare_row,
    pretrain_row,
)
from sjepa.study.rows_evidence import evidence_rows

PARAMS = ROOT / "notebooks" / "full" / "params"
STEPS = {"prepare": PrepareRun} | CONFIGS | {"report": ReportConfig}
#: What the lineage's probe has for PKU-MMD, whose phase II is small.
_PKU_PROBE = {"pku1": {"batch_size": 128}, "pku2": {"batch_size": 32, "lr": 0.01}}


def _paper() -> list[Row]:
    made = [prepare_row(name, "paper") for name in ("ntu60", "ntu120", "pku1", "pku2")]
    for split in ("ntu60/xsub", "ntu60/xview", "ntu120/xsub", "ntu120/xset", "pku1/xsub",
                  "pku2/xsub"):
        dataset, run = split.split("/")[0], split.replace("/", "-")
        tau = 0.75 if dataset == "ntu120" else 0.8
        made.append(pretrain_row(split, run, "paper", preset="paper", mask_tau=tau))
        probe = _PKU_PROBE.get(dataset, {})
        if dataset.startswith("ntu"):
            shares = (0.01, 0.1) if dataset == "ntu60" else ()
            made += every_protocol(run, split, "paper", shares, **probe)
        else:
            made += [evaluate_row("linear", run, split, "paper", method, **probe)
                     for method in ("sjepa", "random")]
            made += [evaluate_row("knn", run, split, "paper", method)
                     for method in ("sjepa", "random")]
    for origin, target in TRANSFERS:
        made.append(_transfer(origin.replace("/", "-"), target, "paper"))
    # The line under the transfer rows: the same recipe on the target from random weights.
    return [*made, evaluate_row("finetune", "pku2-xsub", "pku2/xsub", "paper", "scratch")]


def _transfer(run: str, target: str, group: str, **params) -> Row:
    return evaluate_row("transfer", run, target, group,
                        label=f"transfer-{target.replace('/', '-')}", **params)


_FROZEN = ("linear", "knn", "retrieval")
#: HDM05 has two steps an epoch: four times the epochs give the steps of a set four times as large.
_OPEN_PRETRAIN = {"hdm05": {"epochs": 400, "warmup_epochs": 20}}


def _open() -> list[Row]:
    made, splits = [], ("nwucla/xview", "kindergator/xsub", "hdm05/xsub")
    for split in splits:
        dataset = split.split("/")[0]
        made += [prepare_row(dataset, "open"),
                 pretrain_row(split, f"{dataset}-small", "open", preset="small",
                              **_OPEN_PRETRAIN.get(dataset, {})),
                 *every_protocol(f"{dataset}-small", split, "open", frozen=_FROZEN, passes=10,
                         tune=OPEN_TUNE, few=OPEN_FEW)]
    for origin, target in ((0, 1), (1, 0), (1, 2)):
        made.append(_transfer(f"{splits[origin].split('/')[0]}-small", splits[target], "open",
                              probe_passes=10, **OPEN_TUNE))
    return made


#: Few epochs and a narrow head: the quick rows show protocols at work in seconds.
_QUICK_TUNE = {"epochs": 5, "warmup_epochs": 1, "lr": 1e-3, "hidden": 256, "checkpoint_every": 1}
_QUICK_FEW = _QUICK_TUNE | {"epochs": 10, "test_every": 10}


def _quick() -> list[Row]:
    split, bone = "synthetic/xsub", "runs/quick-bone"
    scores = ["runs/quick/scores/synthetic-xsub-linear-sjepa-quick.npz",
              f"{bone}/scores/synthetic-xsub-linear-sjepa-quick-top1-bone.npz"]
    return [
        prepare_row("synthetic", "quick"), prepare_row("synthetic20", "quick"),
        pretrain_row(split, "quick", "quick", preset="quick"),
        *every_protocol("quick", split, "quick", frozen=_FROZEN, tune=_QUICK_TUNE, few=_QUICK_FEW,
                passes=4),
        _transfer("quick", "synthetic20/xsub", "quick", probe_passes=4, **_QUICK_TUNE),
        pretrain_row(split, "quick-bone", "quick", preset="quick", stream="bone", epochs=10),
        evaluate_row("linear", "quick-bone", split, "quick", passes=4),
        Row("quick-fuse", "fuse", "quick", {"scores": scores},
            ("quick-linear", "quick-bone-linear")),
    ]


def rows(groups: str = "quick,open,evidence,paper") -> dict[str, Row]:
    """The rows of some groups by name, each after those that it needs.

    Args:
        groups: names of `GROUPS`, with commas between them.

    Raises:
        SjepaError: an unknown group.
    """
    makers = {"quick": _quick, "open": _open, "evidence": evidence_rows, "paper": _paper}
    made = []
    for group in groups.split(","):
        if group not in makers:
            raise SjepaError(f"unknown rows {group!r}: expected some of {', '.join(makers)}, "
                             "with commas between them")
        found = makers[group]()
        last = Row(f"{group}-report", "report", group,
                   {"rows": group, "out": f"runs/report-{group}.md"}, tuple(r.name for r in found))
        made += [*found, last]
    return {row.name: row for row in made}


def load_row(row: Row, folder: Path = PARAMS):
    """The configuration in a row's parameter file.

    Raises:
        SjepaError: the file is missing, or has an unknown name or a wrong value; with its name.
    """
    path = folder / f"{row.name}.yaml"
    params = load_params(path)
    try:
        return make_config(STEPS[row.step], params)
    except SjepaError as error:
        raise SjepaError(f"{path}: {error}") from error


def check(chosen: Iterable[Row], folder: Path = PARAMS) -> None:
    """Refuse a misspelt parameter before anything runs."""
    for row in chosen:
        load_row(row, folder)


def write_all(folder: Path = PARAMS) -> int:
    """Write the parameter file of every row.

    Returns:
        How many there are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = rows().values()
    for row in made:
        (folder / f"{row.name}.yaml").write_text(row.text)
    return len(made)


def main() -> None:
    """The command line."""
    print(f"{write_all()} parameter files in {PARAMS}")


if __name__ == "__main__":
    main_with_errors(main)
