"""Settings: presets, provenance, and what happens to a wrong name, type or choice."""

import math
from dataclasses import fields
from inspect import formatannotation

import pytest

from sjepa import config as settings
from sjepa.config import PRESETS, PretrainConfig, command_line, command_params, make_config
from sjepa.errors import SjepaError
from sjepa.protocols.config import CONFIGS, FuseConfig

EVERY = [(cls, f) for cls in (PretrainConfig, *CONFIGS.values()) for f in fields(cls)]


def test_every_setting_states_source_and_reason_and_every_number_a_range():
    """A number without one is let through whatever it is."""
    for cls, f in EVERY:
        assert f.metadata["source"] in {"authors", "readers", "lineage", "guess", "ours"}, f
        assert len(f.metadata["why"]) > 5, f.name
        number = any(kind in formatannotation(f.type) for kind in ("int", "float"))
        assert f.metadata["within"] or not number, f"{cls.__name__}.{f.name}"


@pytest.mark.parametrize("name", PRESETS)
def test_presets_name_known_settings_and_keep_the_method(name):
    config = make_config(PretrainConfig, {"preset": name, "dim": 32, "lr_end": "4e-4"})
    assert (config.dim, config.lr_end) == (32, 4e-4)  # what is named stands over the preset
    for kept in ("mask_ratio", "mask_tau", "tau_p", "tau_t", "center_beta", "view_translation",
                 "view_flip", "weight_decay", "lr"):
        if (name, kept) != ("open", "view_flip"):  # its classes have sides
            assert getattr(config, kept) == getattr(PretrainConfig(), kept)


TWO = {"runs": ["a", "b"]}  # which no default can name


@pytest.mark.parametrize("params, said", [
    ({"epoch": 3}, "unknown parameter 'epoch': did you mean epochs"),
    ({"colour": 3}, "unknown parameter 'colour': known"),
    ({"epochs": "many"}, "epochs = 'many': expected int"),
    ({"epochs": 1.5}, "epochs = 1.5: expected int"),
    ({"epochs": True}, "epochs = True: expected int"),
    ({"preset": "papr"}, "expected one of paper, quick, small"),
    ({"target": "pixels"}, "target = 'pixels': expected one of latent, motion, coordinates"),
    ({"mask": "joints"}, "mask = 'joints': expected one of motion-aware, or import the module"),
    ({"encoder": "gcn"}, "encoder = 'gcn': expected one of vit"),
    ({"epochs": 0}, "epochs = 0: expected a number, at least 1"),
    ({"warmup_epochs": 1201}, "warmup_epochs = 1201: the run has epochs = 1200"),
    ({"lr": 1e-4}, "lr_end = 0.0005: above the peak lr = 0.0001"),
    ({"mask_ratio": 0.9999}, "frames = 120, segment = 4: of 750 tokens mask_ratio = 0.9999 leaves "
     "none to see"),
    ({"frames": 3}, "frames = 3, segment = 4: of 0 tokens"),
    ({"accumulate": 257}, "accumulate = 257: a step of batch_size = 256 clips has not"),
    ({"split": "hdm05/xsub"}, "split = 'hdm05/xsub': expected one of dataset = 'synthetic'"),
    ({"split": "xsub"}, "split = 'xsub': expected one of"),
    ({"mask_ratio": 1.0}, "expected a number, above 0, below 1"),
    (TWO | {"weights": 0.3}, "weights = 0.3: expected a list"),
    (TWO | {"weights": ["fast"]}, "weights = 'fast': expected float"),
    (TWO | {"weights": [True]}, "weights = True: expected float"),
])
def test_wrong_parameters_are_refused_in_words(params, said):
    with pytest.raises(SjepaError, match=said):
        make_config(FuseConfig if "runs" in params else PretrainConfig, params)
    assert make_config(FuseConfig, TWO | {"weights": [1, "3e-1"]}).weights == (1.0, 0.3)


def outside(within):
    """Values just outside an interval such as `(0, 1]`."""
    low, high = map(float, within[1:-1].split(","))
    return [low - 1, high + 1, math.nan] + [low] * (within[0] == "(") + [high] * (within[-1] == ")")


RANGES = [(cls, f) for cls, f in EVERY if f.metadata["within"]]


@pytest.mark.parametrize("cls, f", RANGES, ids=lambda v: getattr(v, "__name__", None) or v.name)
def test_every_range_holds_at_its_setting(cls, f):
    """Both sides of each interval are refused in words; its default and its closed ends are not."""
    for value in outside(f.metadata["within"]):
        kind = formatannotation(f.type)
        if kind == "int" and math.isfinite(value):
            value = int(value)
        if kind.startswith("tuple"):
            value = [int(value) if "int" in kind and math.isfinite(value) else value]
        with pytest.raises(SjepaError, match=f"parameter {f.name} = .*expected"):
            make_config(cls, {f.name: value})
    two = {"runs": tuple(TWO["runs"])} if cls is FuseConfig else {}
    assert make_config(cls, two) == cls(**two)


def test_overrides_on_the_command_line(tmp_path):
    (tmp_path / "a.yaml").write_text("preset: quick\ndim: 32\n")
    parser = command_line("x", "about", PretrainConfig)
    given = ["--params", str(tmp_path / "a.yaml"), "-o", "dim=48", "-o", "lr=2e-3"]
    args = parser.parse_args(given)
    config = make_config(PretrainConfig, command_params(args))
    assert (config.preset, config.dim, config.lr) == ("quick", 48, 2e-3)
    assert "mask_ratio = 0.9, a number, above 0, below 1: share of tokens" in parser.format_help()
    for given, said in (([], "no settings: give --params"), (["-o", "dim"], "expected NAME=VALUE"),
                        (["-o", "mask=[1"], r"-o mask=\[1 is not YAML")):
        with pytest.raises(SjepaError, match=said):
            command_params(parser.parse_args(given))


@pytest.mark.parametrize("text, said", [(None, "no parameter file at"), ("a: [", "is not YAML"),
                                        ("a: 1\nb: 2\na: 3", "a stands twice: keep one"),
                                        ("a: " + 30_000 * "[", "is not YAML"),
                                        ("just words", "expected lines")])
def test_parameter_files(tmp_path, text, said):
    if text:
        (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(SjepaError, match=said):
        settings.load_params(tmp_path / "a.yaml")
