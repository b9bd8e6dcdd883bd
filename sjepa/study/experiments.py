"""The full runs that `experiments.yaml` describes: names, steps, parameters, and what comes first.

The file says how it is written. The Snakefile, the tables and the command lines ask here.
"""

from __future__ import annotations

import difflib
import functools
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import yaml

from sjepa.config import ROOT, PretrainConfig, as_dict, make_config
from sjepa.datasets.options import PrepareRun
from sjepa.errors import SjepaError
from sjepa.protocols.config import CONFIGS, ReportConfig

#: `notebooks/full/experiments.yaml` leads here; so an installed package has it too.
FILE = Path(__file__).with_name("experiments.yaml")
#: The parameter files that a checkout holds for readers.
PARAMS = ROOT / "notebooks" / "full" / "params"
STEPS = ({"prepare": PrepareRun, "pretrain": PretrainConfig} | CONFIGS
         | {"report": ReportConfig})


@dataclass(frozen=True)
class Experiment:
    """One full run.

    Attributes:
        name: its own, and its parameter file's.
        step: a key of `STEPS`.
        group: of the file; that of a store is the first that needs it.
        params: what differs from the step's defaults.
        after: names of the experiments whose output it reads; of an evaluation, its pretraining
            comes first.
    """

    name: str
    step: str
    group: str
    params: dict
    after: tuple[str, ...] = ()

    @property
    def run(self) -> str:
        """The run's name, which is its folder's in `runs`; empty where there is none."""
        return Path(self.params.get("out", "")).name

    @property
    def text(self) -> str:
        """The parameter file."""
        return (f"# {self.step}, of the group {self.group} in notebooks/full/experiments.yaml.\n"
                + yaml.safe_dump(self.params, sort_keys=False))

    @property
    def main_metric(self) -> str:
        """The metric that the experiment's line in a table shows."""
        k = 1  # the first of those that are all reported
        return {"knn": f"top1-k{k}", "retrieval": f"recall-at-{k}",
                "semi": f"top1-{100 * self.params.get('share', 0):g}pct"}.get(self.step, "top1")

    def command(self, params: Path | str = "") -> str:
        """The line that runs it without Jupyter; `params` is its parameter file."""
        given = f"--params {params or f'notebooks/full/params/{self.name}.yaml'}"
        if self.step in ("prepare", "pretrain"):
            return f"python -m sjepa.{self.step} {given}"
        if self.step == "report":
            return f"python -m sjepa.study report {given}"
        return f"python -m sjepa.evaluate {self.step} {given}"


def _unknown(what: str, name, known, where: str) -> SjepaError:
    near = difflib.get_close_matches(str(name), list(known), 1)
    hint = f"did you mean {near[0]}?" if near else f"expected {', '.join(sorted(known))}"
    return SjepaError(f"{where}: unknown {what} {name!r}: {hint}")


def _fill(value, names: dict, where: str):
    """`value` with its `{names}` filled in; one that is nothing else keeps the name's type."""
    if isinstance(value, list):
        return [_fill(item, names, where) for item in value]
    if not isinstance(value, str) or "{" not in value:
        return value
    if value[0] + value[-1] == "{}" and value[1:-1] in names:
        return names[value[1:-1]]
    try:
        return value.format_map(names)
    except (KeyError, ValueError, IndexError, AttributeError, TypeError) as error:
        raise SjepaError(f"{where}: {value!r} does not fill in ({error}): known here are "
                         f"{', '.join(sorted(names))}") from None


def _combinations(variables, where: str) -> Iterator[tuple[dict, dict]]:
    """Each combination of the variables of `for`: their names for templates, and settings."""
    if not isinstance(variables, dict):
        raise SjepaError(f"{where}: for: expected variables, each with its values")
    options = []
    for name, several in variables.items():
        if isinstance(several, list):
            pairs = [(item, item if isinstance(item, dict) else {name: item}) for item in several]
        elif isinstance(several, dict):
            pairs = [(label, {name: label} | (settings or {}))
                     for label, settings in several.items() if isinstance(settings, dict | None)]
        if not isinstance(several, list | dict) or not several or len(pairs) < len(several):
            raise SjepaError(f"{where}: for: {name}: expected a list of values, or names that each "
                             "have settings")
        options.append([(name, *pair) for pair in pairs])
    for chosen in itertools.product(*options):
        yield ({name: label for name, label, _ in chosen},
               {key: value for *_, settings in chosen for key, value in settings.items()})


def _expand(entry: dict, given: dict, group: str, where: str) -> Iterator[Experiment]:
    """The experiments of an entry, each before those of its `then`, still without `after`.

    Args:
        entry: as the file has it.
        given: what templates know from the entry around it.
        group: its group.
        where: the place, for messages.
    """
    head = "pretrain" if "pretrain" in entry else "evaluate"
    if head not in entry:
        raise SjepaError(f"{where}: expected `pretrain: NAME` or `evaluate: NAME`, found an entry "
                         f"with {', '.join(map(str, entry))}")
    where, variables = f"{where}: {entry[head]}", entry.get("for", {})
    plain = {key: value for key, value in entry.items() if key not in (head, "for", "then")}
    for names, chosen in _combinations(variables, where):
        settings = plain | chosen
        step = settings.pop("step", None) if head == "evaluate" else "pretrain"
        if step not in STEPS:
            raise _unknown("step", step, CONFIGS, where)
        known = {field.name for field in fields(STEPS[step])} | {"runs"}  # until fuse takes folders
        for name in [name for name in settings if name not in known]:
            # A variable need not be a setting, but one that lists values has to change one.
            filled = isinstance(variables.get(name), dict) or f"{{{name}}}" in str(plain)
            if name not in names or not filled:
                raise _unknown(f"setting of {step}", name, known, where)
            del settings[name]
        names = given | names | {"step": step}
        settings = {key: _fill(value, names, where) for key, value in settings.items()}
        if head == "evaluate":
            inherited = {key: given[key] for key in ("run", "split") if key in given}
            settings = {key: inherited[key] for key in inherited if key in known} | settings
        if "split" in known:
            if "split" not in settings:
                raise SjepaError(f"{where}: expected a split, as in split: nwucla/xview")
            settings["dataset"] = str(settings["split"]).split("/")[0]
        names |= {key: settings[key] for key in ("run", "split", "dataset") if key in settings}
        name = str(_fill(entry[head], names, where)).replace("/", "-")
        yield _experiment(name, step, group, settings)
        for inner in entry.get("then", []):
            yield from _expand(inner, names | {"run": name}, group, where)


def _experiment(name: str, step: str, group: str, settings: dict) -> Experiment:
    """An experiment; what the file names as runs are folders from here on."""
    data = {key: settings[key] for key in ("dataset", "split") if key in settings}
    out = {"out": f"runs/{name}"}
    if step == "pretrain":
        return Experiment(f"{name}-pretrain", step, group, data | out | settings)
    if step == "fuse":
        read = {"runs": [f"runs/{run}" for run in settings.get("runs", [])]}
    else:
        read = {"run": f"runs/{settings['run']}" if settings.get("run") else "",
                "method": settings.get("method", "sjepa")}
    return Experiment(name, step, group, read | data | settings | read | out)


def _parts(text: str, file: Path) -> dict[str, dict]:
    """The groups of the file, and `prepare`; all checked for what they must hold."""
    try:
        parts = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SjepaError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(parts, dict):
        raise SjepaError(f"{file}: expected groups, each with its text and its rows")
    parts.pop("shared", None)
    for name, part in parts.items():
        rows = part.get("rows") if isinstance(part, dict) else None
        if name != "prepare" and (set(part or ()) != {"text", "rows"} or not isinstance(rows, list)
                                  or not all(isinstance(entry, dict) for entry in rows)):
            raise SjepaError(f"{file}: {name}: expected a group with its text, and rows that are "
                             "entries")
    return parts


def _add(found: dict[str, Experiment], row: Experiment, where: str) -> None:
    """Put an experiment into `found`, with the names of those above it whose output it reads."""
    made = {f"runs/{name.removesuffix('-pretrain')}": name for name in found}
    read = [row.params["run"]] if row.params.get("run") else row.params.get("runs", [])
    if lost := [run for run in read if run not in made]:
        raise SjepaError(f"{where}: {row.name} comes after {lost[0]}, which nothing above it makes")
    if row.name in found or row.params.get("out") in made:
        raise SjepaError(f"{where}: {row.name} stands twice: what differs belongs into its name")
    after = [made[run] for run in read]
    store = found.get(f"{row.params.get('dataset')}-prepare")
    if store:
        after.append(store.name)
        found[store.name] = replace(store, group=store.group or row.group)
    found[row.name] = replace(row, after=tuple(after))


def _needed(names: list[str], every: dict[str, Experiment]) -> dict[str, Experiment]:
    """The experiments `names` with all that they need, each after what it needs."""
    found: dict[str, Experiment] = {}
    for name in names:
        found |= _needed([n for n in every[name].after if n not in found], every)
        found[name] = every[name]
    return found


@functools.cache
def _every(text: str, file: Path) -> dict[str, Experiment]:
    """All experiments of the file, each after what it needs; a group ends with its report."""
    parts, found = _parts(text, file), {}
    for name, settings in parts.pop("prepare", {}).items():
        row = Experiment(f"{name}-prepare", "prepare", "", {"name": name} | (settings or {}))
        _add(found, row, f"{file}: prepare")
    for group, part in parts.items():
        rows = [row for entry in part["rows"]
                for row in _expand(entry, {}, group, f"{file}: {group}")]
        for row in rows:
            _add(found, row, f"{file}: {group}")
        report = {"rows": group, "out": f"runs/report-{group}.md"}
        after = tuple(_needed([row.name for row in rows], found))
        found[f"{group}-report"] = Experiment(f"{group}-report", "report", group, report, after)
    return found


def groups(file: Path = FILE) -> dict[str, str]:
    """What each group of the file is, in words."""
    parts = _parts(file.read_text(), file)
    return {name: part["text"] for name, part in parts.items() if name != "prepare"}


def experiments(groups: str = "", file: Path = FILE) -> dict[str, Experiment]:
    """The experiments of some groups by name, with all that they need, each after that.

    Args:
        groups: names of groups with commas between them; all if empty.
        file: where they stand.

    Raises:
        SjepaError: an unknown group, or a fault in the file; with its place.
    """
    every = _every(file.read_text(), file)
    known = [row.group for row in every.values() if row.step == "report"]
    chosen = groups.split(",") if groups else known
    for group in chosen:
        if group not in known:
            raise _unknown("group", group, known, str(file))
    return _needed([f"{group}-report" for group in chosen], every)


def experiment(name: str, file: Path = FILE) -> Experiment:
    """The experiment `name`.

    Raises:
        SjepaError: there is none of that name.
    """
    every = _every(file.read_text(), file)
    if name not in every:
        raise _unknown("experiment", name, every, str(file))
    return every[name]


def expand(name: str) -> dict:
    """The parameters of an experiment."""
    return dict(experiment(name).params)


def config_of(name: str, params: dict | None = None):
    """The checked configuration of an experiment; `params` take the place of its own.

    Raises:
        SjepaError: there is none of that name, or a setting of it is unknown or out of range.
    """
    row = experiment(name)
    return make_config(STEPS[row.step], row.params if params is None else params)


def other_settings(row: Experiment, result: dict) -> dict[str, tuple]:
    """Where a run is not the experiment: settings that count to what it had, and what is planned.

    Args:
        row: what is planned; `auto` of it may come out as anything.
        result: with `settings`, and in `pretraining` those of the run behind an evaluation.
    """
    from sjepa.checkpoint import what_counts  # here, since it needs torch

    planned = json.loads(json.dumps(what_counts(as_dict(config_of(row.name)))))
    found = json.loads(json.dumps(result["settings"]))
    other = {name: (found.get(name), value) for name, value in planned.items()
             if value not in ("auto", found.get(name))}
    if result.get("pretraining"):
        behind = other_settings(experiment(row.after[0]), result["pretraining"])
        other |= {f"pretraining {name}": pair for name, pair in behind.items()}
    return other
