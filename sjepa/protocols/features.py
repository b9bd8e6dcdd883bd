"""Frozen features: what every protocol without fine-tuning starts from."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from sjepa.clips import DeviceStore, center_crop, train_crop
from sjepa.config import PretrainConfig, make_config
from sjepa.device import autocast
from sjepa.encoder import Encoder
from sjepa.errors import SjepaError
from sjepa.inputs import to_stream
from sjepa.views import base_rotation, seen


def load_encoder(run: str | Path) -> tuple[Encoder, dict]:
    """The target encoder of a finished pretraining, and the facts of that run.

    Raises:
        SjepaError: the folder holds no finished run, weights of another architecture, or weights
            of another shape than they say.
    """
    run = Path(run)
    path = run / "target.safetensors"
    if not path.is_file() or not (run / "run.json").is_file():
        raise SjepaError(f"{run} holds no finished pretraining (target.safetensors, run.json): "
                         "run `python -m sjepa.pretrain` first, or give another run")
    try:
        facts = json.loads((run / "run.json").read_text())
        if not {"config", "hours", "peak_bytes"} <= set(facts):
            raise ValueError("run.json lacks config, hours or peak_bytes")
    except ValueError as error:
        raise SjepaError(f"{run} is damaged ({error}): pretrain again") from error
    return read_encoder(path)[0], facts


def read_encoder(path: str | Path) -> tuple[Encoder, dict[str, str]]:
    """The frozen encoder in a safetensors file, and all that the file states of it.

    Raises:
        SjepaError: the file is damaged, or holds weights of another architecture, or of another
            shape than it says.
    """
    try:
        with safe_open(path, "pt") as file:
            stated = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise SjepaError(f"{path} is damaged ({error}): pretrain or fetch it again") from error
    wanted = inspect.signature(Encoder).parameters
    shape = {name: stated[name] for name in wanted if stated.get(name, "").isdecimal()}
    if set(shape) != set(wanted) or not set(stated) <= {*wanted, "card"}:
        raise SjepaError(f"{path} does not state the shape of an encoder of this project "
                         f"({', '.join(wanted)}): it is a checkpoint of another architecture; "
                         "MAMP's are read by sjepa.interop")
    try:
        encoder = Encoder(**{name: int(value) for name, value in shape.items()})
        encoder.load_state_dict(weights)
    except (RuntimeError, SjepaError, ZeroDivisionError) as error:
        raise SjepaError(f"{path} does not fit the shape that it states: "
                         "the file is damaged, pretrain or fetch it again") from error
    return encoder.eval().requires_grad_(False), stated


def random_encoder(run: str | Path, seed: int) -> tuple[Encoder, dict]:
    """An untrained encoder of the same shape as that of `run`: what training is compared with."""
    encoder, facts = load_encoder(run)
    torch.manual_seed(seed)
    fresh = Encoder(**encoder.shape).eval().requires_grad_(False)
    return fresh, facts | {"hours": 0.0, "peak_bytes": 0}


def pretrain_config(facts: dict) -> PretrainConfig:
    """The configuration that a run was pretrained with."""
    return make_config(PretrainConfig, facts["config"])


def encode_bodies(encoder: Encoder, clips: torch.Tensor, pool=None,
                  padded: bool = False) -> torch.Tensor:
    """Every body slot of every clip through the encoder.

    An absent body is an input like any other in the lineage. All absent bodies are the same
    input, so they share one row here: the same output for less, and, in training, the same
    gradient (stochastic depth then draws once for that row and not once for each of them).

    Args:
        encoder: the encoder.
        clips: `[B, M, T, V, 3]`.
        pool: what to make of the tokens `[R, N, D]` of the rows; None: keep them.
        padded: bring the rows to one of few numbers with rows that nothing reads, for an encoder
            that is compiled anew for each. Two bodies a clip make at most five of them.

    Returns:
        `[B, M, N, D]`, or what `pool` leaves of N and D.
    """
    flat = clips.flatten(0, 1)
    present = seen(flat).any(1)
    rows = flat[present]
    count = len(rows)
    absent = count < len(flat)
    empty = int(absent)
    if padded:  # to B + 1, one body a clip and the shared row, or some quarters of B more
        empty += (len(clips) + 1 - count - empty) % -(-len(clips) // 4)
    if empty:
        rows = torch.cat((rows, flat.new_zeros(empty, *flat.shape[1:])))
    tokens = encoder(rows)
    if pool is not None:
        tokens = pool(tokens)
    if absent:
        # Not a gather: its gradient would add up the shared row's copies in no fixed order.
        shared = tokens[count].expand(len(flat), *tokens.shape[1:])
        tokens = shared.index_put((present,), tokens[:count])
    else:
        tokens = tokens[:count]
    return tokens.unflatten(0, clips.shape[:2])


@torch.no_grad()
def clip_features(encoder: Encoder, clips: torch.Tensor, by_joint: bool = False) -> torch.Tensor:
    """One feature a clip: the mean over bodies, segments and joints of the encoder's output.

    Args:
        encoder: a frozen encoder.
        clips: `[B, M, T, V, 3]`; an absent body takes part in the mean, as in the lineage.
        by_joint: leave the joints side by side, as the head of fine-tuning reads them.

    Returns:
        `[B, D]` float32, or `[B, V, D]` by joint.
    """
    def pool(tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens.float()
        return tokens.unflatten(1, (-1, encoder.joints)).mean(1) if by_joint else tokens.mean(1)

    return encode_bodies(encoder, clips, pool).mean(1)


def network_input(store: DeviceStore, index: torch.Tensor, frames: int, *, crop: float = 0.95,
                  rotation: float | None = None, stream: str = "joint",
                  generator=None) -> torch.Tensor:
    """Stored clips as a network takes them, at test time or augmented.

    Args:
        store: the clips.
        index: `[B]` clip indices on the store's device.
        frames: T.
        crop: share of the clip, at test time.
        rotation: None at test time (central crop, no rotation); a number: the training
            augmentation, a random crop and a base rotation of up to this many radians.
        stream: what is made of the joints, see `sjepa.inputs`.
        generator: source of the augmentation's randomness.

    Returns:
        `[B, M, T, V, 3]`.
    """
    if rotation is None:
        clips = center_crop(store, index, frames, crop)
    else:
        clips = train_crop(store, index, frames, generator=generator)
        clips = base_rotation(clips, rotation, generator)
    return to_stream(clips, stream)


@torch.no_grad()
def extract(encoder: Encoder, store: DeviceStore, index, *, dtype=torch.float32, batch: int = 128,
            by_joint: bool = False, **view) -> torch.Tensor:
    """Features of the clips `index`, in their order.

    Args:
        encoder: a frozen encoder on the store's device.
        store: the clips.
        index: `[N]` clip indices.
        dtype: precision of the encoder.
        batch: clips at once.
        by_joint: see `clip_features`.
        view: `crop`, `rotation`, `stream`, `generator` of `network_input`.

    Returns:
        `[N, D]` float32 on the CPU, or `[N, V, D]` by joint.
    """
    encoder.eval()
    out = []
    for part in torch.as_tensor(index, device=store.frames.device).split(batch):
        clips = network_input(store, part, encoder.frames, **view)
        with autocast(store.frames.device, dtype):
            out.append(clip_features(encoder, clips, by_joint).cpu())
    return torch.cat(out)
