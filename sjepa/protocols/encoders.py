"""Encoders that are ready to use: of a run, an exported file, `sjepa` itself, another project.

An encoder's file is safetensors. Its metadata are the encoder's shape and, where it was exported
(`python -m sjepa.study export`), a card in JSON: what it learned from, under which terms, and how.
"""

import hashlib
import inspect
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from sjepa.checkpoint import read_result, what_counts
from sjepa.encoder import ENCODERS, Encoder
from sjepa.errors import SjepaError

#: Folder of the encoders that come with the package, a file each, and the one taken by default.
WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
DEFAULT = "public"
BOUND = "bound by the terms of the data that the encoder was trained on"


def shipped() -> list[str]:
    """Names of the encoders that come with this copy of the package."""
    return sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))


def load_pretrained(name: str | Path = DEFAULT) -> tuple[torch.nn.Module, dict]:
    """A frozen encoder and its card.

    Args:
        name: one of `shipped()`, the folder of a finished pretraining, or an exported file.

    Returns:
        The encoder on the CPU, and the card: `name`; `data`, what it was trained on and under
        which terms; `licence`, what that means for the weights; `recipe`, the settings.

    Raises:
        SjepaError: nothing of that name, or a damaged file, or one of another architecture.
    """
    if not isinstance(name, str | os.PathLike):
        raise SjepaError(f"the encoder is of type {type(name).__name__}: give a name or a path, "
                         "or to embed the first of encoder, card = load_pretrained()")
    path = WEIGHTS / f"{name}.safetensors" if str(name) in shipped() else Path(name)
    if os.path.isdir(path):
        encoder, run = load_encoder(path)
        return encoder, {"name": path.resolve().name, "licence": BOUND,
                         "data": [{"set": run["settings"]["dataset"]}],
                         "recipe": what_counts(run["settings"])}
    if not os.path.isfile(path):  # False also for a name too long
        raise SjepaError(f"there is no pretrained encoder {str(name)!r}: this copy comes with "
                         f"{', '.join(shipped()) or 'none'}; or give the folder of a run, or a "
                         "file that `python -m sjepa.study export` wrote")
    encoder, stated = read_encoder(path)
    try:
        card = json.loads(stated["card"])
        if not all(card[key] for key in ("name", "data", "licence", "recipe")):
            raise ValueError("its name, data, licence or recipe is empty")
    except (KeyError, ValueError, TypeError) as error:
        raise SjepaError(f"{path} has no card of its data and licence ({error}): export it with "
                         "`python -m sjepa.study export`") from error
    return encoder, card


def load_encoder(run: str | Path) -> tuple[torch.nn.Module, dict]:
    """The target encoder of a finished pretraining, and the run's result.

    Raises:
        SjepaError: the folder holds no finished pretraining, or as `read_encoder`.
    """
    path = Path(run) / "target.safetensors"
    result = read_result(run)
    if result["step"] != "pretrain" or not path.is_file():
        raise SjepaError(f"{run} holds no finished pretraining (target.safetensors): run "
                         "`python -m sjepa.pretrain` first, or give another run")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if result.get("weights", found) != found:
        raise SjepaError(f"{path} has another checksum than when it was written: pretrain again")
    return read_encoder(path)[0], result


def read_encoder(path: str | Path) -> tuple[torch.nn.Module, dict[str, str]]:
    """The frozen encoder in a safetensors file, and all that the file states of it.

    Raises:
        SjepaError: a damaged file, another architecture, or another shape than the file says.
    """
    try:
        with safe_open(path, "pt") as file:
            stated = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        why = str(error)[:150]
        raise SjepaError(f"{path} cannot be read ({why}): pretrain or fetch it again") from error
    kind = stated.get("encoder", "vit")
    if kind not in ENCODERS:
        raise SjepaError(f"{path} holds an encoder {kind!r}, which is not registered: import the "
                         "module that adds it to sjepa.encoder.ENCODERS first")
    wanted = inspect.signature(ENCODERS[kind]).parameters
    shape = {name: int(stated[name]) for name in wanted
             if re.fullmatch("[0-9]{1,5}", stated.get(name, ""))}
    if set(shape) != set(wanted) or not set(stated) <= {*wanted, "card", "encoder"}:
        raise SjepaError(f"{path} does not state the shape of an encoder of this project "
                         f"({', '.join(wanted)}): it is a checkpoint of another architecture; "
                         "MAMP's are read by sjepa.interop")
    try:
        # Without memory at first: a damaged file may state any shape.
        with torch.device("meta"):
            bare = ENCODERS[kind](**{name: min(value, len(weights)) if name == "depth" else value
                                     for name, value in shape.items()})
        expected = {name: value.shape for name, value in bare.state_dict().items()}
        if expected != {name: value.shape for name, value in weights.items()}:
            raise RuntimeError("other weights")
        encoder = ENCODERS[kind](**shape)
        encoder.load_state_dict(weights)
    except (RuntimeError, SjepaError, ZeroDivisionError) as error:
        raise SjepaError(f"{path} does not fit the shape that it states: "
                         "the file is damaged, pretrain or fetch it again") from error
    return encoder.eval().requires_grad_(False), stated


def untrained_like(encoder: torch.nn.Module, seed: int) -> torch.nn.Module:
    """An untrained encoder of the same shape: what training is compared with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return type(encoder)(**encoder.shape).eval().requires_grad_(False)


def encoder_from_mamp(state_dict: Mapping[str, torch.Tensor], heads: int = 8) -> Encoder:
    """An `Encoder` with the weights of a MAMP (or MAE-style skeleton) checkpoint.

    In evaluation mode its output equals the original's, final LayerNorm included: the tokeniser,
    there a convolution over (frames, joints), is the same map. `heads` are told by no weight;
    every published configuration has 8.

    Raises:
        SjepaError: a weight is missing, or of a shape that does not fit the others.
    """
    theirs = {name.removeprefix("module."): value for name, value in state_dict.items()}
    try:
        kernel = theirs["joints_embed.proj.weight"]  # [D, 3, segment, 1]
        dim, channels, segment, width = kernel.shape
        if (channels, width) != (3, 1):
            raise SjepaError(f"joints_embed.proj.weight is {list(kernel.shape)}: expected "
                             "[D, 3, l, 1]")
        mine = {"embed.weight": kernel[..., 0].transpose(1, 2).reshape(dim, -1),
                "embed.bias": theirs["joints_embed.proj.bias"],
                "positions.time": theirs["temp_embed"], "positions.joint": theirs["pos_embed"]}
        depth = 1 + max(int(n.split(".")[1]) for n in theirs if n.startswith("blocks."))
        segments, joints = mine["positions.time"].shape[1], mine["positions.joint"].shape[2]
        encoder = Encoder(dim, depth, heads, joints, segments * segment, segment)
        for name in encoder.state_dict().keys() - mine.keys():
            mine[name] = theirs[name.replace("mlp.0.", "mlp.fc1.").replace("mlp.2.", "mlp.fc2.")]
    except KeyError as error:
        raise SjepaError(f"this is no MAMP encoder: it has no weight {error}") from error
    try:
        encoder.load_state_dict(mine)
    except RuntimeError as error:
        detail = str(error).splitlines()[1].strip()
        raise SjepaError(f"the checkpoint's weights do not fit together: {detail}") from error
    return encoder.eval()
