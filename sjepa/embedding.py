"""Features of clips that are in no store: what the protocols compute, for arrays at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from sjepa.clips import DeviceStore
from sjepa.config import PretrainConfig, make_config
from sjepa.datasets.motion import check_clip
from sjepa.datasets.sources.mamp_cleaning import center_on_spine
from sjepa.encoder import Encoder
from sjepa.errors import SjepaError
from sjepa.pretrained import load_pretrained
from sjepa.protocols.features import extract

DEFAULT = "open-small"


def embed(clips: Sequence[np.ndarray], encoder: str | Path | Encoder | None = None, *,
          bodies: int | None = None, stream: str | None = None, center: bool = True,
          batch: int = 128) -> np.ndarray:
    """One feature a clip, as evaluation makes it, in float32 whatever the hardware.

    The central 95 % of each clip, resized in time to the encoder's frames, through the encoder
    with nothing masked, and the mean over bodies, segments and joints. A body slot without a body
    is an input like any other there, so that clips are comparable if they have as many slots:
    give `bodies=2` to compare one person with the clips of a store that has room for two.

    Args:
        clips: a list of `[T, 25, 3]` or `[T, M, 25, 3]` in metres, in the NTU-25 layout, y up;
            T may differ; absent bodies are zero. `read_motion` makes such clips from files.
        encoder: a name or path for `load_pretrained`, or an encoder, which stays on its device;
            None: the encoder `open-small`.
        bodies: body slots of each clip, filled up with absent ones; None: as each clip has them.
        stream: what the encoder was trained on (`sjepa.inputs`); None: what its card says, and
            joints for an encoder without one.
        center: move each clip so that its first body's spine begins at the origin, as in every
            store but PKU-MMD's; False for an encoder that was trained on that.
        batch: clips at once.

    Returns:
        `[N, dim]` float32, in the order of `clips`.

    Raises:
        SjepaError: no such encoder, one for other joints, or a clip that is none (which, and why).
    """
    if not isinstance(encoder, Encoder):
        encoder, card = load_pretrained(DEFAULT if encoder is None else encoder)
        stream = stream or make_config(PretrainConfig, card["recipe"]).stream
    if encoder.joints != 25:
        raise SjepaError(f"the encoder takes {encoder.joints} joints, clips have 25 (NTU-25)")
    ready = [_filled(clip, bodies, center, f"clip {n}") for n, clip in enumerate(_listed(clips))]
    features = np.empty((len(ready), encoder.dim), np.float32)
    slots = np.array([clip.shape[1] for clip in ready])
    for count in np.unique(slots):
        index = np.flatnonzero(slots == count)
        store = _in_memory([ready[k] for k in index], next(encoder.parameters()).device)
        made = extract(encoder, store, np.arange(len(index)), batch=batch,
                       stream=stream or "joint")
        features[index] = made.numpy()
    return features


def _listed(clips) -> list:
    """The clips as a list; one array is refused, because its first axis could be frames."""
    if isinstance(clips, np.ndarray | torch.Tensor):
        raise SjepaError(f"clips is one array {list(clips.shape)}: give a list, [clip] for one")
    clips = list(clips)
    if not clips:
        raise SjepaError("clips is empty: give at least one")
    return clips


def _filled(clip, bodies: int | None, center: bool, where: str) -> np.ndarray:
    """A checked clip `[T, M, 25, 3]` float32 with `bodies` slots."""
    clip = check_clip(clip, where)
    if center and not clip[:, 0].any():
        raise SjepaError(f"{where}: its first body is absent: put who is there first")
    if bodies is not None and clip.shape[1] > bodies:
        raise SjepaError(f"{where} has {clip.shape[1]} body slots, more than bodies = {bodies}")
    if center:
        clip = center_on_spine(clip)
    missing = 0 if bodies is None else bodies - clip.shape[1]
    return np.pad(clip, ((0, 0), (0, missing), (0, 0), (0, 0)))


def _in_memory(clips: list[np.ndarray], device: torch.device) -> DeviceStore:
    """Clips with the same number of slots as a store that was opened on `device`."""
    frames, offsets, at = [], [], 0
    for clip in clips:
        row = [-1] * clip.shape[1]
        for body in np.flatnonzero(clip.any((0, 2, 3))):
            row[body] = at
            at += len(clip)
            frames.append(torch.from_numpy(np.ascontiguousarray(clip[:, body])))
        offsets.append(row)
    lengths = torch.tensor([len(clip) for clip in clips])
    return DeviceStore(torch.cat(frames).to(device), torch.tensor(offsets).to(device),
                       lengths.to(device), torch.zeros_like(lengths).to(device))
