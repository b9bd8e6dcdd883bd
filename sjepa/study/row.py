"""One full run, and how rows are put together: prepare, pretrain, protocols."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import yaml

GROUPS = {
    "quick": "built-in data, a stand-in: no human data",
    "open": "an open set, the small encoder: nothing of the paper's",
    "evidence": "the open pool: which target learns more, and what each part is worth",
    "paper": "a row of the paper's tables or its baseline; needs the licensed data",
}
#: A fifth of the lineage's steps at three times its rate: the sets have hundreds of clips.
OPEN_TUNE = {"epochs": 50, "lr": 1e-3, "precision": "auto", "test_every": 5}
OPEN_FEW = OPEN_TUNE | {"epochs": 100, "test_every": 50}


@dataclass(frozen=True)
class Row:
    """One full run.

    Attributes:
        name: of its parameter file.
        step: a key of `sjepa.study.rows.STEPS`.
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


def prepare_row(dataset: str, group: str) -> Row:
    """The store of a data set."""
    return Row(f"{dataset}-prepare", "prepare", group, {"name": dataset})


def pretrain_row(split: str, run: str, group: str, **params) -> Row:
    """A pretraining on `split` in the folder `runs/RUN`."""
    dataset = split.split("/")[0]
    return Row(f"{run}-pretrain", "pretrain", group,
               {"dataset": dataset, "split": split, "out": f"runs/{run}"} | params,
               (f"{dataset}-prepare",))


def evaluate_row(step: str, run: str, split: str, group: str, method: str = "sjepa",
                 label: str = "", **params) -> Row:
    """A protocol on `split` with the encoder of the pretraining `run`."""
    dataset = split.split("/")[0]
    name = f"{run}-{label or step}" + ("" if method == "sjepa" else f"-{method}")
    return Row(name, step, group,
               {"run": f"runs/{run}", "method": method, "dataset": dataset, "split": split}
               | params, (f"{run}-pretrain", f"{dataset}-prepare"))


def every_protocol(run: str, split: str, group: str, shares=(0.1,), frozen=("linear", "knn"),
                   tune: dict | None = None, few: dict | None = None, **linear) -> list[Row]:
    """The protocols within one set, each with its untrained or from-scratch baseline.

    Args:
        run: name of the pretraining.
        split: the protocol's clips.
        group: a key of `GROUPS`.
        shares: of the labels, a row of `semi` each.
        frozen: the protocols that leave the encoder as it is.
        tune: settings of `finetune`.
        few: settings of `semi`.
        linear: settings of `linear`.
    """
    made = []
    for step in frozen:
        for method in ("sjepa", "random"):
            made.append(evaluate_row(step, run, split, group, method,
                                     **(linear if step == "linear" else {})))
    for method in ("sjepa", "scratch"):
        made.append(evaluate_row("finetune", run, split, group, method, **tune or {}))
        for share in shares:
            made.append(evaluate_row("semi", run, split, group, method, f"semi-{100 * share:g}pct",
                                     share=share, **few or {}))
    return made
