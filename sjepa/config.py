"""Every setting of a run by name: its default, where that comes from, and what it may be.

`source` says how far a default can be trusted: `authors` (their page), `readers` (people who read
the PDF and cite its sections), `lineage` (MAMP's code, which the method follows), `guess` (nobody
says; the Deviations page lists these), `ours` (this project's machinery). The protocols' settings
are in `sjepa.protocols.config`.
"""

import argparse
import difflib
import os
import typing
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from pathlib import Path

import yaml

from sjepa.errors import Parser, SjepaError

_HOME = Path(__file__).resolve().parent.parent
#: The project's folder: the checkout that holds this package, or the working folder of an
#: installed one. Runs and stores lie there.
ROOT = _HOME if (_HOME / "notebooks" / "full").is_dir() else Path.cwd()
RESULTS = ROOT / "book" / "results"
RUNS = ROOT / "runs"


def data_dir() -> Path:
    """The folder that holds stores and open data: `$SJEPA_DATA`, else `data/` of the project."""
    return Path(os.environ.get("SJEPA_DATA") or ROOT / "data").expanduser()


def setting(default, source: str, why: str, within: str = "",
            choices: Collection[str] | Callable[[], Collection[str]] = ()):
    """A field that carries its provenance (see the module's docstring), its reason and its range.

    `within` is an interval, `(0, 1]` for instance; of a tuple, for each item. `choices` are the
    values it may have, or a function that gives them: others may add to a registry.
    """
    return field(default=default, metadata={"source": source, "why": why, "within": within,
                                            "choices": choices})


DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
STREAMS = ("joint", "bone", "motion")
COMPILE = ("auto", "none", "default", "reduce-overhead", "max-autotune")


@dataclass(frozen=True)
class PretrainConfig:
    """Pretraining, with the paper's values as defaults. `PRESETS` holds the smaller versions."""

    preset: str = setting("paper", "ours", "which set of defaults the rest starts from",
                          choices=lambda: PRESETS)
    dataset: str = setting("synthetic", "ours", "a store in $SJEPA_DATA")
    split: str = setting("synthetic/xsub", "ours", "only the training part of it is ever read")
    out: str = setting("", "ours", "folder of the run; empty: runs/PRESET-SPLIT-SEED")
    seed: int = setting(0, "ours", "weights, order, crops, views and masks follow from it",
                        "[0, 4294967295]")
    device: str = setting("auto", "ours", "auto, cpu, cuda", choices=DEVICES)
    precision: str = setting(
        "auto", "guess", "bf16 on a GPU that has it, fp32 on a CPU; the paper is silent",
        choices=PRECISIONS)
    compile: str = setting("auto", "ours", "torch.compile: auto (in long GPU runs), none, a mode",
                           choices=COMPILE)

    encoder: str = setting("vit", "readers", "the backbone",
                           choices=lambda: import_module("sjepa.encoder").ENCODERS)
    dim: int = setting(256, "readers", "width of a token", "[1, inf)")
    depth: int = setting(8, "readers", "blocks of the encoder", "[1, inf)")
    heads: int = setting(8, "readers", "attention heads", "[1, inf)")
    frames: int = setting(120, "readers", "frames a clip is resized to", "[1, inf)")
    segment: int = setting(4, "readers", "frames a token covers", "[1, inf)")
    predictor_depth: int = setting(5, "readers", "blocks of the predictor (paper's table 7)",
                                   "[1, inf)")

    crop: float = setting(0.5, "readers", "shortest random crop, as a share of the clip", "(0, 1]")
    base_rotation: float = setting(
        0.3, "guess", "rad; MAMP rotates each clip, no source says whether S-JEPA still does",
        "[0, inf)")
    view_rotation: float = setting(
        0.3, "guess", "rad about the body's vertical axis; unpublished: MAMP's base rotation's",
        "[0, inf)")
    view_translation: float = setting(
        0.1, "guess", "m an axis; range unpublished: more than sensor noise, less than a step",
        "[0, inf)")
    view_flip: float = setting(0.5, "guess", "chance of a mirrored view; unpublished", "[0, 1]")
    stream: str = setting(
        "joint", "readers", "joint, or bone or motion as the literature compares; made after views",
        choices=STREAMS)
    mask: str = setting("motion-aware", "readers", "how the tokens to predict are drawn",
                        choices=lambda: import_module("sjepa.masking").MASKS)
    mask_ratio: float = setting(0.9, "readers", "share of tokens to predict", "(0, 1)")
    mask_tau: float = setting(0.8, "lineage", "0.8 on NTU60, PKU-MMD; 0.75 on NTU120", "(0, inf)")
    empty_bodies: str = setting(
        "weighted", "lineage", "MAMP trains on absent second bodies; one row stands for all of "
        "them: the same expected loss and gradient, 41 % fewer rows on NTU60. all: a row for each",
        choices=("all", "weighted", "drop"))

    target: str = setting(
        "latent", "readers", "latent; motion or coordinates are what the paper argues against",
        choices=lambda: import_module("sjepa.model").TARGETS)
    mask_at: str = setting(
        "output", "readers", "of the target encoder; input: it sees the masked tokens alone",
        choices=("output", "input"))
    loss: str = setting("cross-entropy", "readers", "or mse, one of the paper's ablations",
                        choices=("cross-entropy", "mse"))
    tau_p: float = setting(0.1, "readers", "temperature of the prediction", "(0, inf)")
    tau_t: float = setting(0.06, "readers", "temperature of the target", "(0, inf)")
    center_beta: float = setting(0.9, "readers", "momentum of the centre", "[0, 1]")
    ema_start: float | None = setting(
        0.9999, "readers", "first momentum of the target; empty: 1 - 20 / steps, for short runs",
        "[0, 1]")
    ema_end: float = setting(1.0, "readers", "last momentum of the target", "[0, 1]")

    epochs: int = setting(1200, "readers", "passes over the training clips", "[1, inf)")
    batch_size: int = setting(256, "readers", "clips a step", "[1, inf)")
    set_power: float = setting(
        1.0, "ours", "a set of a pool is drawn as its number of clips to this power; 0.5 keeps "
        "large sets from crowding out small ones", "[0, 1]")
    lr: float = setting(1e-3, "readers", "peak learning rate, not scaled by the batch", "(0, inf)")
    lr_end: float = setting(5e-4, "readers", "learning rate at the end of the cosine", "[0, inf)")
    warmup_epochs: float = setting(20, "readers", "linear warm-up from 0", "[0, inf)")
    weight_decay: float = setting(0.05, "readers", "not on biases and norms (as MAMP)", "[0, inf)")
    clip_grad: float | None = setting(None, "guess", "the paper is silent: no clipping", "(0, inf)")
    accumulate: int = setting(1, "ours", "micro-batches a step, where memory is short", "[1, inf)")

    checkpoint_every: int = setting(10, "ours", "epochs between checkpoints", "[1, inf)")
    monitor_every: int = setting(10, "ours", "steps between readings of the monitors", "[1, inf)")
    knn_every: int = setting(
        0, "ours", "epochs between readings of a nearest neighbour on held-out training subjects; "
        "0: none", "[0, inf)")

    def check(self) -> None:
        """Refuse settings that contradict each other before anything is read or made."""
        check_split(self.dataset, self.split)
        check_rates(self, PRESETS[self.preset].get("warmup_epochs", PretrainConfig.warmup_epochs))
        if self.accumulate > self.batch_size:
            raise SjepaError(f"parameter accumulate = {self.accumulate}: a step of batch_size = "
                             f"{self.batch_size} clips has not as many parts")
        tokens = self.frames // self.segment * 25  # of other skeletons the mask tells
        if not 0 < round(tokens * (1 - self.mask_ratio)) < max(tokens, 1):
            raise SjepaError(f"frames = {self.frames}, segment = {self.segment}: of {tokens} tokens"
                             f" mask_ratio = {self.mask_ratio} leaves none to see or to predict")


#: `quick` learns the built-in data in minutes on two CPU cores; `small` is for the open sets on a
#: CPU. Both keep the method and change its size; the Deviations page lists what they change.
PRESETS: dict[str, dict] = {
    "paper": {},
    "quick": dict(
        dim=96, depth=3, heads=4, frames=64, segment=16, predictor_depth=2, empty_bodies="drop",
        view_rotation=1.0, epochs=80, batch_size=32, warmup_epochs=5, ema_start=None,
    ),
    "small": dict(
        dim=128, depth=4, heads=4, frames=64, segment=8, predictor_depth=2,
        epochs=100, batch_size=64, warmup_epochs=5, ema_start=None,
    ),
}

#: The open pool's recipe, chosen on held-out training subjects and views (Deviations).
PRESETS["open"] = PRESETS["small"] | dict(
    view_rotation=1.0, view_flip=0.0, batch_size=256, checkpoint_every=25,
)


def check_split(dataset: str, split: str) -> None:
    """Refuse a split of another data set, before a store of either is made."""
    if split.partition("/")[0] != dataset or "/" not in split:
        raise SjepaError(f"parameter split = {split!r}: expected one of dataset = {dataset!r}, "
                         f"a name like {dataset}/xsub")


def check_rates(config, usual: float) -> None:
    """Refuse a warm-up longer than the run, and a learning rate that ends above its peak.

    The usual warm-up may be longer: a run of an epoch, to try something, is all warm-up.
    """
    if config.warmup_epochs > max(config.epochs, usual):
        raise SjepaError(f"parameter warmup_epochs = {config.warmup_epochs:g}: the run has epochs "
                         f"= {config.epochs}, give fewer of the first or more of the second")
    if config.lr_end > config.lr:
        raise SjepaError(f"parameter lr_end = {config.lr_end:g}: above the peak lr = "
                         f"{config.lr:g}, where the cosine begins")


def _checked(name: str, kind, value, metadata: dict):
    """`value` as the type `kind` of setting `name`; of a list each item.

    Raises:
        SjepaError: another type, none of the setting's choices, or outside its interval.
    """
    kinds = typing.get_args(kind) or (kind,)
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise SjepaError(f"parameter {name} = {value!r}: expected a list")
        return tuple(_checked(name, kinds[0], item, metadata) for item in value)
    if float in kinds and isinstance(value, int | str) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            value = float(value)  # YAML reads 1e-3 as text
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        wanted = " or ".join("empty" if each is type(None) else each.__name__ for each in kinds)
        raise SjepaError(f"parameter {name} = {value!r}: expected {wanted}")
    choices, within = metadata["choices"], metadata["within"]
    hint = ", or import the module that adds it" if callable(choices) else ""
    known = choices() if hint else choices
    if known and value not in known:
        raise SjepaError(f"parameter {name} = {value!r}: expected one of {', '.join(known)}{hint}")
    if within and value is not None and not _inside(value, within):
        raise SjepaError(f"parameter {name} = {value!r}: expected {_in_words(within)}")
    return value


def _inside(number: float, within: str) -> bool:
    low, high = map(float, within[1:-1].split(","))
    return (low < number < high or (number == low and within[0] == "[")
            or (number == high and within[-1] == "]"))


def _in_words(within: str) -> str:
    """An interval as a reader says it: `[1, inf)` is “at least 1”."""
    low, high = within[1:-1].split(", ")
    start = f"at least {low}" if within[0] == "[" else f"above {low}"
    if high == "inf":
        return f"a number, {start}"
    return f"a number, {start}, {'at most' if within[-1] == ']' else 'below'} {high}"


def make_config(cls, params: dict):
    """A configuration from parameters: the preset's values first, then what `params` names.

    Raises:
        SjepaError: an unknown name (with the nearest known one), a wrong type or choice.
    """
    known = [f.name for f in fields(cls)]
    for name in params:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise SjepaError(f"unknown parameter {name!r}: {hint}")
    kinds = typing.get_type_hints(cls)
    values = {each.name: _checked(each.name, kinds[each.name], params[each.name], each.metadata)
              for each in fields(cls) if each.name in params}
    if cls is PretrainConfig:
        values = PRESETS[values.get("preset", "paper")] | values
    config = replace(cls(), **values)
    if hasattr(config, "check"):
        config.check()
    return config


def load_params(path: str | Path) -> dict:
    """The parameters in a YAML file.

    Raises:
        SjepaError: the file is missing or is not a mapping of names to values.
    """
    path = Path(path)
    if not path.is_file():
        raise SjepaError(f"no parameter file at {path}")
    try:
        if path.stat().st_size > 100_000:
            raise ValueError("it has more than 100,000 bytes and is no parameter file")
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise SjepaError(f"{path} cannot be read: {error}") from error
    params = _yaml(text, path)
    if not isinstance(params, dict) or not all(isinstance(name, str) for name in params):
        raise SjepaError(f"{path}: expected lines `name: value`")
    return params


def _yaml(text: str, where):
    try:
        node = yaml.compose(text)  # refuses endless nesting at once, which parse reads for minutes
        names = [key.value for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        if twice := [name for name in names if names.count(name) > 1]:
            raise yaml.YAMLError(f"{twice[0]} stands twice: keep one of them")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise yaml.YAMLError("an alias (*name): write the value itself")  # it may fill memory
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, LookupError, RecursionError) as error:
        why = " ".join(str(error).split())[:200]
        raise SjepaError(f"{where} is not YAML of names and values: {why}") from error


def command_line(prog: str, about: str, *classes) -> Parser:
    """A parser of `--params FILE -o NAME=VALUE`, whose help lists every setting of `classes`."""
    lines = []
    for cls in classes:
        lines.append(f"settings of {cls.__name__}:")
        for each in fields(cls):
            within = f", {_in_words(each.metadata['within'])}" if each.metadata["within"] else ""
            lines.append(f"  {each.name} = {each.default}{within}: {each.metadata['why']}")
    parser = Parser(prog=prog, description=about, epilog="\n".join(lines),
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", help="YAML file of settings")
    parser.add_argument("-o", metavar="NAME=VALUE", action="append", default=[], dest="overrides",
                        help="a setting, over the file's; may be given several times")
    return parser


def command_params(args: argparse.Namespace) -> dict:
    """The settings that a command line gave: the file's, then each `-o name=value`."""
    if not args.params and not args.overrides:
        raise SjepaError("no settings: give --params FILE, or -o NAME=VALUE")
    params = load_params(args.params) if args.params else {}
    for each in args.overrides:
        name, equals, value = each.partition("=")
        if not equals:
            raise SjepaError(f"-o {each}: expected NAME=VALUE")
        params[name.strip()] = _yaml(value, f"-o {each}")
    return params
