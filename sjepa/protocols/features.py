"""Frozen features: what every protocol without fine-tuning starts from."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open

from ..config import PretrainConfig, make_config
from ..datasets.store import DeviceStore
from ..device import autocast
from ..encoder import Encoder
from ..errors import SjepaError
from ..views import base_rotation, center_crop, fold_bodies, seen, train_crop


def load_encoder(run: str | Path) -> tuple[Encoder, dict]:
    """The target encoder of a finished pretraining, and the facts of that run.

    Raises:
        SjepaError: the folder holds no finished run, or weights of another shape than they say.
    """
    run = Path(run)
    if not (run / "target.safetensors").is_file():
        raise SjepaError(f"{run} holds no finished pretraining (target.safetensors): "
                         "run `python -m sjepa.pretrain` first, or give another run")
    facts = json.loads((run / "run.json").read_text())
    with safe_open(run / "target.safetensors", "pt") as file:
        encoder = Encoder(**{name: int(value) for name, value in file.metadata().items()})
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    try:
        encoder.load_state_dict(weights)
    except RuntimeError as error:
        raise SjepaError(f"{run}/target.safetensors does not fit the shape that it states: "
                         "the file is damaged, pretrain again") from error
    return encoder.eval().requires_grad_(False), facts


def random_encoder(run: str | Path, seed: int) -> tuple[Encoder, dict]:
    """An untrained encoder of the same shape as that of `run`: what training is compared with."""
    encoder, facts = load_encoder(run)
    torch.manual_seed(seed)
    fresh = Encoder(**encoder.shape).eval().requires_grad_(False)
    return fresh, facts | {"hours": 0.0, "peak_bytes": 0}


def pretrain_config(facts: dict) -> PretrainConfig:
    """The configuration that a run was pretrained with."""
    return make_config(PretrainConfig, facts["config"])


@torch.no_grad()
def clip_features(encoder: Encoder, clips: torch.Tensor) -> torch.Tensor:
    """One feature a clip: the mean over bodies, segments and joints of the encoder's output.

    An absent body is an input like any other in the lineage and takes part in its mean; here all
    absent bodies share one pass, since they are the same input.

    Args:
        encoder: a frozen encoder.
        clips: `[B, M, T, V, 3]`.

    Returns:
        `[B, D]` float32.
    """
    batch, bodies = clips.shape[:2]
    rows, _ = fold_bodies(clips, "drop")
    features = encoder(rows).float().mean(1) if len(rows) else clips.new_zeros(0, encoder.dim)
    present = seen(clips.flatten(0, 1)).any(1)
    out = features.new_zeros(batch * bodies, encoder.dim)
    out[present] = features
    if not present.all():
        out[~present] = encoder(torch.zeros_like(clips[:1, 0])).float().mean(1)
    return out.view(batch, bodies, -1).mean(1)


@torch.no_grad()
def extract(encoder: Encoder, store: DeviceStore, index, *, crop: float = 0.95,
            rotation: float | None = None, generator=None, dtype=torch.float32,
            batch: int = 128) -> torch.Tensor:
    """Features of the clips `index`, in their order.

    Args:
        encoder: a frozen encoder on the store's device.
        store: the clips.
        index: `[N]` clip indices.
        crop: share of the clip, at test time.
        rotation: None at test time (central crop, no rotation); a number: the training
            augmentation, a random crop and a base rotation of up to this many radians.
        generator: source of the augmentation's randomness.
        dtype: precision of the encoder.
        batch: clips at once.

    Returns:
        `[N, D]` float32 on the CPU.
    """
    encoder.eval()
    out = []
    for part in torch.as_tensor(index, device=store.frames.device).split(batch):
        if rotation is None:
            clips = center_crop(store, part, encoder.frames, crop)
        else:
            clips = train_crop(store, part, encoder.frames, generator=generator)
            clips = base_rotation(clips, rotation, generator)
        with autocast(store.frames.device, dtype):
            out.append(clip_features(encoder, clips).cpu())
    return torch.cat(out)
