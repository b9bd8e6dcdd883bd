"""Every full run by name: which step, with which parameters, after which others.

The rows of the paper's tables, the same protocols on the open sets, and the quick ones on built-in
data. `python -m sjepa.rows` writes each as `notebooks/full/params/NAME.yaml`, which papermill, the
command lines and the Snakefile read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from .command import main_with_errors
from .config import CONFIGS, load_params, make_config
from .config_evaluate import ReportConfig
from .datasets.options import PrepareRun
from .datasets.splits import TRANSFERS
from .errors import SjepaError
from .paths import ROOT

PARAMS = ROOT / "notebooks" / "full" / "params"
STEPS = {"prepare": PrepareRun} | CONFIGS | {"report": ReportConfig}
GROUPS = {
    "quick": "built-in data, a stand-in: no human data",
    "open": "an open set, the small encoder: nothing of the paper's",
    "evidence": "the open pool: which target learns more, and what each part is worth",
    "paper": "a row of the paper's tables or its baseline; needs the licensed data",
}


@dataclass(frozen=True)
class Row:
    """One full run.

    Attributes:
        name: of its parameter file.
        step: a key of `STEPS`.
        group: a key of `GROUPS`.
        params: what differs from the step's defaults.
        after: names of the rows whose output it reads.
    """

    name: str
    step: str
    group: str
    params: dict = field(default_factory=dict)
    after: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The parameter file."""
        dumped = yaml.safe_dump(self.params, sort_keys=False)
        return f"# {self.step}: {GROUPS[self.group]}.\n{dumped}"

    @property
    def main_metric(self) -> str:
        """The metric that the row's line in a table shows; `record_id` adds stream and origin."""
        k = 1  # the first of those that are all reported
        return {"knn": f"top1-k{k}", "retrieval": f"recall-at-{k}",
                "semi": f"top1-{100 * self.params.get('share', 0):g}pct"}.get(self.step, "top1")

    def command(self, folder: Path | str = "notebooks/full/params") -> str:
        """The line that runs it without Jupyter."""
        params = f"--params {folder}/{self.name}.yaml"
        if self.step == "prepare":
            return f"python -m sjepa.prepare {self.params['name']}"
        if self.step in ("pretrain", "report"):
            return f"python -m sjepa.{self.step} {params}"
        return f"python -m sjepa.evaluate {self.step} {params}"


def _prepare(dataset: str, group: str) -> Row:
    return Row(f"{dataset}-prepare", "prepare", group, {"name": dataset})


def _pretrain(split: str, run: str, group: str, **params) -> Row:
    dataset = split.split("/")[0]
    return Row(f"{run}-pretrain", "pretrain", group,
               {"dataset": dataset, "split": split, "out": f"runs/{run}"} | params,
               (f"{dataset}-prepare",))


def _evaluate(step: str, run: str, split: str, group: str, method: str = "sjepa", label: str = "",
              **params) -> Row:
    """A protocol on `split` with the encoder of the pretraining `run`."""
    dataset = split.split("/")[0]
    name = f"{run}-{label or step}" + ("" if method == "sjepa" else f"-{method}")
    return Row(name, step, group,
               {"run": f"runs/{run}", "method": method, "dataset": dataset, "split": split}
               | params, (f"{run}-pretrain", f"{dataset}-prepare"))


def _every(run: str, split: str, group: str, shares=(0.1,), frozen=("linear", "knn"),
           tune: dict | None = None, few: dict | None = None, **linear) -> list[Row]:
    """The protocols within one set, each with its untrained or from-scratch baseline.

    Args:
        run, split, group: see `_evaluate`.
        shares: of the labels, a row of `semi` each.
        frozen: the protocols that leave the encoder as it is.
        tune: settings of `finetune`; few: those of `semi`.
        linear: settings of `linear`.
    """
    made = []
    for step in frozen:
        for method in ("sjepa", "random"):
            made.append(_evaluate(step, run, split, group, method,
                                  **(linear if step == "linear" else {})))
    for method in ("sjepa", "scratch"):
        made.append(_evaluate("finetune", run, split, group, method, **tune or {}))
        for share in shares:
            made.append(_evaluate("semi", run, split, group, method, f"semi-{100 * share:g}pct",
                                  share=share, **few or {}))
    return made


#: What the lineage's probe has for PKU-MMD, whose phase II is small.
_PKU_PROBE = {"pku1": {"batch_size": 128}, "pku2": {"batch_size": 32, "lr": 0.01}}


def _paper() -> list[Row]:
    made = [_prepare(name, "paper") for name in ("ntu60", "ntu120", "pku1", "pku2")]
    for split in ("ntu60/xsub", "ntu60/xview", "ntu120/xsub", "ntu120/xset", "pku1/xsub",
                  "pku2/xsub"):
        dataset, run = split.split("/")[0], split.replace("/", "-")
        tau = 0.75 if dataset == "ntu120" else 0.8
        made.append(_pretrain(split, run, "paper", preset="paper", mask_tau=tau))
        probe = _PKU_PROBE.get(dataset, {})
        if dataset.startswith("ntu"):
            shares = (0.01, 0.1) if dataset == "ntu60" else ()
            made += _every(run, split, "paper", shares, **probe)
        else:
            made += [_evaluate("linear", run, split, "paper", method, **probe)
                     for method in ("sjepa", "random")]
            made += [_evaluate("knn", run, split, "paper", method)
                     for method in ("sjepa", "random")]
    for origin, target in TRANSFERS:
        made.append(_transfer(origin.replace("/", "-"), target, "paper"))
    # The line under the transfer rows: the same recipe on the target from random weights.
    return [*made, _evaluate("finetune", "pku2-xsub", "pku2/xsub", "paper", "scratch")]


def _transfer(run: str, target: str, group: str, **params) -> Row:
    return _evaluate("transfer", run, target, group,
                     label=f"transfer-{target.replace('/', '-')}", **params)


_FROZEN = ("linear", "knn", "retrieval")
#: HDM05 has two steps an epoch: four times the epochs give the steps of a set four times as large.
_OPEN_PRETRAIN = {"hdm05": {"epochs": 400, "warmup_epochs": 20}}
#: A fifth of the lineage's steps at three times its rate: the sets have hundreds of clips.
_OPEN_TUNE = {"epochs": 50, "lr": 1e-3, "precision": "auto", "test_every": 5}
_OPEN_FEW = _OPEN_TUNE | {"epochs": 100, "test_every": 50}


def _open() -> list[Row]:
    made, splits = [], ("nwucla/xview", "kindergator/xsub", "hdm05/xsub")
    for split in splits:
        dataset = split.split("/")[0]
        made += [_prepare(dataset, "open"),
                 _pretrain(split, f"{dataset}-small", "open", preset="small",
                           **_OPEN_PRETRAIN.get(dataset, {})),
                 *_every(f"{dataset}-small", split, "open", frozen=_FROZEN, passes=10,
                         tune=_OPEN_TUNE, few=_OPEN_FEW)]
    for origin, target in ((0, 1), (1, 0), (1, 2)):
        made.append(_transfer(f"{splits[origin].split('/')[0]}-small", splits[target], "open",
                              probe_passes=10, **_OPEN_TUNE))
    return made


#: Few epochs and a narrow head: the quick rows show protocols at work in seconds.
_QUICK_TUNE = {"epochs": 5, "warmup_epochs": 1, "lr": 1e-3, "hidden": 256, "checkpoint_every": 1}
_QUICK_FEW = _QUICK_TUNE | {"epochs": 10, "test_every": 10}


def _quick() -> list[Row]:
    split, bone = "synthetic/xsub", "runs/quick-bone"
    scores = ["runs/quick/scores/synthetic-xsub-linear-sjepa-quick.npz",
              f"{bone}/scores/synthetic-xsub-linear-sjepa-quick-top1-bone.npz"]
    return [
        _prepare("synthetic", "quick"), _prepare("synthetic20", "quick"),
        _pretrain(split, "quick", "quick", preset="quick"),
        *_every("quick", split, "quick", frozen=_FROZEN, tune=_QUICK_TUNE, few=_QUICK_FEW,
                passes=4),
        _transfer("quick", "synthetic20/xsub", "quick", probe_passes=4, **_QUICK_TUNE),
        _pretrain(split, "quick-bone", "quick", preset="quick", stream="bone", epochs=10),
        _evaluate("linear", "quick-bone", split, "quick", passes=4),
        Row("quick-fuse", "fuse", "quick", {"scores": scores},
            ("quick-linear", "quick-bone-linear")),
    ]


#: What each part of the method is worth: name to the settings that take it away or change it.
ABLATIONS: dict[str, dict] = {
    "input-masked": {"mask_at": "input"},
    "no-ema": {"ema_start": 0.0, "ema_end": 0.0},
    "no-centring": {"center_beta": 1.0},
    "no-sharpening": {"tau_t": 0.1},
    "mse": {"loss": "mse"},
    "no-views": {"view_rotation": 0.0, "view_translation": 0.0, "view_flip": 0.0},
    "flip": {"view_flip": 0.5},
    "random-masks": {"mask_tau": 1e6},
    "mask-50": {"mask_ratio": 0.5},
    "mask-75": {"mask_ratio": 0.75},
    "mask-95": {"mask_ratio": 0.95},
    "predictor-1": {"predictor_depth": 1},
    "predictor-4": {"predictor_depth": 4},
    "ema-slow": {"ema_start": 0.9999},
    "ema-fast": {"ema_start": 0.9},
    "tau-03": {"tau_t": 0.03},
    "rotation-1": {"view_rotation": 1.0},
    "translation-half": {"view_translation": 0.5},
}
TARGETS = ("latent", "motion", "coordinates")
SEEDS = (0, 1, 2)
_JUDGED = ("kindergator/xsub", "nwucla/xview", "hdm05/xsub")


def _evidence() -> list[Row]:
    """Pretraining on the open pool and probes on three sets; the ablations, on the first two."""
    made = [_prepare(name, "evidence") for name in ("pool", "kindergator", "nwucla", "hdm05")]
    for target in TARGETS:
        for seed in SEEDS:
            run = f"open-{target}-seed{seed}"
            made += [_pretrain("pool/all", run, "evidence", preset="open", target=target,
                               seed=seed), *_judge(run, _JUDGED)]
    for name, changed in ABLATIONS.items():
        run = f"open-{name}"
        made += [_pretrain("pool/all", run, "evidence", preset="open", variant=name, **changed),
                 *_judge(run, _JUDGED[:2])]
    for seed in SEEDS:
        made += _judge(f"open-latent-seed{seed}", _JUDGED, "random", seed=seed)
    made += _judge("open-latent-seed0", _JUDGED, "classical")
    for split in _JUDGED:
        for target in TARGETS:
            made += _few_labels(f"open-{target}-seed0", split, "sjepa")
        made += _few_labels("open-latent-seed0", split, "scratch")
    return made


def _judge(run: str, splits, method: str = "sjepa", **params) -> list[Row]:
    """The frozen protocols of an encoder on some sets."""
    return [_evaluate(step, run, split, "evidence", method, f"{step}-{split.split('/')[0]}",
                      **({"passes": 10} if step == "linear" else {}), **params)
            for split in splits for step in ("linear", "knn")]


def _few_labels(run: str, split: str, method: str) -> list[Row]:
    """Fine-tuning on a set, with all of its labels and with a tenth of them."""
    name = split.split("/")[0]
    return [_evaluate("finetune", run, split, "evidence", method, f"finetune-{name}", **_OPEN_TUNE),
            _evaluate("semi", run, split, "evidence", method, f"semi-10pct-{name}", share=0.1,
                      **_OPEN_FEW)]


def rows(groups: str = "quick,open,evidence,paper") -> dict[str, Row]:
    """The rows of some groups by name, each after those that it needs.

    Args:
        groups: names of `GROUPS`, with commas between them.

    Raises:
        SjepaError: an unknown group.
    """
    makers = {"quick": _quick, "open": _open, "evidence": _evidence, "paper": _paper}
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
