"""The full runs that `experiments.yaml` describes: names, steps, parameters, and what comes first.

The file says how it is written. Snakefile, tables, command lines and notebooks ask here.
"""

import difflib
import functools
import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import yaml

from sjepa.checkpoint import what_counts
from sjepa.config import PretrainConfig, make_config, setting
from sjepa.datasets.build import PrepareRun
from sjepa.errors import SjepaError
from sjepa.protocols.config import CONFIGS

#: `notebooks/full/experiments.yaml` leads here; so an installed package has it too.
FILE = Path(__file__).with_name("experiments.yaml")


@dataclass(frozen=True)
class ReportConfig:
    """The tables of what ran and what did not."""

    rows: str = setting("paper", "ours", "groups of experiments.yaml, with commas between them")
    out: str = setting("runs/report.md", "ours", "the Markdown file to write")


#: What an experiment may do, with its settings.
STEPS = {"prepare": PrepareRun, "pretrain": PretrainConfig} | CONFIGS | {"report": ReportConfig}


@dataclass(frozen=True)
class Experiment:
    """One full run: `params` differ from the step's defaults; `after` names what it reads."""

    name: str
    step: str
    group: str
    params: dict
    after: tuple[str, ...] = ()

    @functools.cached_property
    def run(self) -> str:
        """The run's name, which is its folder's in `runs`; empty where there is none."""
        return "" if self.step in ("prepare", "report") else Path(self.params["out"]).name

    @property
    def text(self) -> str:
        """The parameter file."""
        return (f"# {self.step}, of the group {self.group} in notebooks/full/experiments.yaml.\n"
                + yaml.safe_dump(self.params, sort_keys=False))


class _Loader(yaml.SafeLoader):
    """YAML in which no key stands twice: the first would be lost without a word."""

    def compose_mapping_node(self, anchor):
        node, seen = super().compose_mapping_node(anchor), set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} stands twice",
                                           problem_mark=key.start_mark)
            seen.add(key.value)
        return node


def _unknown(what: str, name, known: list[str], where: str) -> SjepaError:
    near = difflib.get_close_matches(str(name), known, 1)
    listed = ", ".join(known) if len(known) < 50 else "what python -m sjepa.study list names"
    hint = f"did you mean {near[0]}?" if near else f"expected {listed}"
    return SjepaError(f"{where}: unknown {what} {name!r}: {hint}")


def _fill(value, names: dict, where: str):
    """`value` with its `{names}` filled in; one that is nothing else keeps the name's type."""
    if isinstance(value, list):
        return [_fill(item, names, where) for item in value]
    if not isinstance(value, str):
        return value
    if value == f"{{{value[1:-1]}}}" and value[1:-1] in names:
        return names[value[1:-1]]
    try:
        return value.format_map(names)
    except (LookupError, ValueError) as error:
        raise SjepaError(f"{where}: {value!r} does not fill in ({error}): known here are "
                         f"{', '.join(sorted(names))}") from None


def _combinations(variables: dict) -> Iterator[tuple[dict, dict]]:
    """Each combination of the variables of `for`: what templates call them, and settings."""
    options = []
    for name, several in variables.items():
        named = several.items() if isinstance(several, dict) else ((it, it) for it in several)
        options.append([({name: label}, {name: label} | (its if isinstance(its, dict) else {}))
                        for label, its in named])
    for chosen in itertools.product(*options):
        names = {name: label for each, _ in chosen for name, label in each.items()}
        yield names, {key: value for _, its in chosen for key, value in its.items()}


def _expand(entry: dict, given: dict, group: str) -> Iterator[Experiment]:
    """An entry's experiments without `after`; `given` is what the one around it tells templates."""
    head = "pretrain" if "pretrain" in entry else "evaluate"
    where = f"{FILE}: {group}: {entry[head]}"
    plain = {key: value for key, value in entry.items() if key not in (head, "for", "then")}
    usual = {"run": given.get("run", ""), "method": "sjepa", "split": given.get("split", "")}
    for own, chosen in _combinations(entry.get("for", {})):
        settings = plain | chosen
        step = settings.pop("step", None) if head == "evaluate" else head
        if step not in (head, *CONFIGS):
            raise _unknown("step", step, list(CONFIGS), where)
        known, names = [field.name for field in fields(STEPS[step])], given | own | {"step": step}
        for key in set(settings) - set(known) - set(own):
            raise _unknown(f"setting of {step}", key, known, where)
        settings = {key: _fill(value, names, where)
                    for key, value in ((usual if head == "evaluate" else {}) | settings).items()}
        if "split" in known:
            if not settings.get("split"):
                raise SjepaError(f"{where}: expected a split, as in split: nwucla/xview")
            settings["dataset"] = settings["split"].split("/")[0]
        names |= {key: settings.get(key) for key in ("run", "split", "dataset")}
        name = _fill(entry[head], names, where).replace("/", "-")
        settings["out"] = f"runs/{name}"
        if settings.get("run"):
            settings["run"] = f"runs/{settings['run']}"
        if "runs" in settings:
            settings["runs"] = [f"runs/{run}" for run in settings["runs"]]
        yield Experiment(f"{name}-pretrain" if step == head else name, step, group,
                         {key: settings[key] for key in known if key in settings})
        for inner in entry.get("then", []):
            yield from _expand(inner, names | {"run": name}, group)


def _add(found: dict[str, Experiment], row: Experiment) -> None:
    """Put an experiment into `found`, with the names of those above it whose output it reads."""
    where = f"{FILE}: {row.group}"

    def maker(run: str) -> str | None:
        name = run.removeprefix("runs/")
        return next((each for each in (f"{name}-pretrain", name) if each in found), None)

    read = [row.params["run"]] if row.params.get("run") else row.params.get("runs", [])
    if lost := [run for run in read if not maker(run)]:
        raise SjepaError(f"{where}: {row.name} comes after {lost[0]}, which nothing above it makes")
    if row.name in found or maker(row.params.get("out", "")):
        raise SjepaError(f"{where}: {row.name} stands twice: what differs belongs into its name")
    after = [maker(run) for run in read]
    store = f"{row.params.get('dataset')}-prepare"
    if store in found:
        after.append(store)
    found[row.name] = replace(row, after=tuple(after))


def _needed(names: list[str], every: dict[str, Experiment]) -> dict[str, Experiment]:
    """The experiments `names` with all that they need, each after what it needs."""
    found: dict[str, Experiment] = {}
    for name in names:
        found |= _needed([n for n in every[name].after if n not in found], every)
        found[name] = every[name]
    return found


@functools.lru_cache(maxsize=2)
def _every(text: bytes) -> tuple[dict[str, Experiment], dict[str, str]]:
    """All experiments, each after what it needs, a report after each group; the groups' texts."""
    found, texts, group = {}, {}, ""
    try:
        parts = yaml.load(text, _Loader)
        parts.pop("shared", None)
        for name, settings in parts.pop("prepare", {}).items():
            params = {"name": name} | settings
            _add(found, Experiment(f"{name}-prepare", "prepare", "prepare", params))
        for group, part in parts.items():
            texts[group] = part["text"]
            rows = [row for entry in part["rows"] for row in _expand(entry, {}, group)]
            for row in rows:
                _add(found, row)
            after = tuple(_needed([row.name for row in rows], found))
            params = {"rows": group, "out": f"runs/report-{group}.md"}
            found[f"{group}-report"] = Experiment(f"{group}-report", "report", group, params, after)
    except (yaml.YAMLError, TypeError, AttributeError, LookupError, RecursionError) as error:
        where, said = f"{FILE}: {group}".removesuffix(": "), " ".join(str(error).split())
        raise SjepaError(f"{where}: not written as its head describes: {said}") from error
    return found, texts


def groups() -> dict[str, str]:
    """What each group is, in words."""
    return _every(FILE.read_bytes())[1]


def experiments(chosen: str = "") -> dict[str, Experiment]:
    """Groups and experiments, named with commas between them (or all), after what they need.

    Raises:
        SjepaError: one that is unknown, or a fault in the file, with its place.
    """
    every, texts = _every(FILE.read_bytes())
    names = [f"{name}-report" if name in texts else name for name in chosen.split(",") if chosen]
    for name in names:
        if name not in every:
            raise _unknown("experiment or group", name, [*texts, *every], str(FILE))
    return _needed(names, every) if chosen else every


def config_of(name: str):
    """The configuration of an experiment; SjepaError: unknown, or a setting is out of range."""
    row = experiments(name)[name]
    try:
        return make_config(STEPS[row.step], row.params)
    except SjepaError as error:
        raise SjepaError(f"{FILE}: {name}: {error}") from None


def notebook_params(cls, variables: dict):
    """The configuration, of class `cls`, that a notebook's parameters cell (and papermill) set.

    `variables` is the notebook's `globals()`, read before anything else is defined. Papermill lets
    unknown parameters pass with a message; here they are refused.
    """
    ours = {"In", "Out", "exit", "quit", "open", "get_ipython"}
    plain = (bool, int, float, str, list, tuple, dict, type(None))
    return make_config(cls, {
        name: value for name, value in variables.items()
        if not name.startswith("_") and name not in ours and isinstance(value, plain)})


def other_settings(row: Experiment, result: dict) -> dict[str, tuple]:
    """Settings, its pretraining's too, in which a result differs: as it ran and as planned."""
    config = config_of(row.name)
    # A setting that came after the run: its default is what the code did before.
    found = asdict(type(config)()) | result["settings"]
    planned, found = (json.loads(json.dumps(what_counts(settings)))
                      for settings in (asdict(config), found))
    other = {name: (found.get(name), value) for name, value in planned.items()
             if value not in ("auto", found.get(name))}
    if result.get("pretraining"):
        behind = other_settings(experiments()[row.after[0]], result["pretraining"])
        other |= {f"{name} of the pretraining": pair for name, pair in behind.items()}
    return other
