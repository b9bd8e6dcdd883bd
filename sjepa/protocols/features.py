"""Frozen features: of stored clips, which every protocol starts from, and of arrays at hand."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from sjepa.clips import DeviceStore, center_crop, train_crop
from sjepa.config import STREAMS
from sjepa.datasets.layouts import center_on_spine, check_clip
from sjepa.datasets.posture import fill_joints
from sjepa.device import autocast
from sjepa.errors import SjepaError
from sjepa.inputs import to_stream
from sjepa.protocols.encoders import DEFAULT, load_pretrained
from sjepa.skeleton import NTU25, Skeleton
from sjepa.views import base_rotation, seen


def encode_bodies(encoder: torch.nn.Module, clips: torch.Tensor, pool=None,
                  padded: bool = False) -> torch.Tensor:
    """Tokens `[B, M, N, D]` of every body slot of clips `[B, M, T, V, 3]`.

    An absent body is an input like any other in the lineage. All are the same input, so they share
    one row here: the same output for less, and, in training, the same gradient (stochastic depth
    draws once for that row).

    Args:
        pool: what to make of the tokens `[R, N, D]` of the rows; None: keep them.
        padded: bring the rows to one of at most five numbers, two bodies a clip, with rows that
            nothing reads, for an encoder that is compiled anew for each.
    """
    flat = clips.flatten(0, 1)
    present = seen(flat).any(1)
    rows = flat[present]
    count, absent = len(rows), len(rows) < len(flat)
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
    return tokens[: len(flat)].unflatten(0, clips.shape[:2])


@torch.no_grad()
def clip_features(encoder: torch.nn.Module, clips: torch.Tensor,
                  by_joint: bool = False) -> torch.Tensor:
    """One feature a clip `[B, M, T, V, 3]`, in float32: the mean over bodies, segments and joints.

    An absent body takes part. `[B, D]`; by joint `[B, V, D]`, as the head of fine-tuning reads.
    """
    def pool(tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens.float()
        return tokens.unflatten(1, (-1, encoder.joints)).mean(1) if by_joint else tokens.mean(1)

    return encode_bodies(encoder, clips, pool).mean(1)


def network_input(store: DeviceStore, index: torch.Tensor, frames: int, *, crop: float = 0.95,
                  rotation: float | None = None, stream: str = "joint",
                  generator=None) -> torch.Tensor:
    """Stored clips as a network takes them, `[B, M, T, V, 3]`, at test time or augmented.

    Args:
        store, index, frames: the clips, which `[B]` of them (on the store's device), and T.
        crop: share of the clip at test time, which is its centre.
        rotation: None at test time; a number: the training augmentation, a random crop and a base
            rotation of up to this many radians, drawn from `generator`.
        stream: what is made of the joints, see `sjepa.inputs`.
    """
    if rotation is None:
        clips = center_crop(store, index, frames, crop)
    else:
        clips = train_crop(store, index, frames, generator=generator)
        clips = base_rotation(clips, rotation, generator, store.skeleton)
    return to_stream(clips, stream, store.skeleton)


@torch.no_grad()
def extract(encoder: torch.nn.Module, store: DeviceStore, index, *, dtype=torch.float32,
            batch: int | None = None, by_joint: bool = False, **view) -> torch.Tensor:
    """Features of the clips `index` `[N]`, in their order: `[N, D]` float32 on the CPU.

    The encoder lies on the store's device and computes in `dtype`, `batch` clips at once (None: as
    many as keep the device busy). See `clip_features` for `by_joint`, and `network_input` for what
    else a `view` may name.
    """
    batch = batch or (128 if store.frames.device.type == "cpu" else 1024)
    training, out = encoder.training, []
    encoder.eval()
    for part in torch.as_tensor(index, device=store.frames.device).split(batch):
        clips = network_input(store, part, encoder.frames, **view)
        with autocast(store.frames.device, dtype):
            out.append(clip_features(encoder, clips, by_joint).cpu())
    encoder.train(training)
    return torch.cat(out)


def embed(clips: Sequence[np.ndarray], encoder: str | Path | torch.nn.Module = DEFAULT, *,
          bodies: int | None = None, stream: str | None = None, center: bool = True,
          skeleton: Skeleton = NTU25) -> np.ndarray:
    """One feature a clip, `[N, dim]` in float32 whatever the hardware, as evaluation makes it.

    The central 95 % of each clip, resized in time to the encoder's frames, through the encoder
    with nothing masked, and the mean over bodies, segments and joints.

    Args:
        clips: a list of `[T, 25, 3]` or `[T, M, 25, 3]` in metres, in the NTU-25 layout, y up;
            absent bodies are zero; joints that are NaN or zero are derived from the others and
            from their neighbours in time. `read_motion` makes such clips from files.
        encoder: a name or path for `load_pretrained`, or an encoder, which stays on its device.
        bodies: body slots of each clip, filled up with absent ones: 2 to compare one person with
            a store that has room for two; None: as they are. An absent body is an input like any
            other, as in MAMP, so features compare only between clips of as many slots.
        stream: what the encoder was trained on; None: what its card says, joints without one.
        center: move each clip so that its first body's spine begins at the origin, as in every
            store but PKU-MMD's; False for an encoder that was trained on that.
        skeleton: of the clips, where the encoder was trained on another one than NTU's.

    Raises:
        SjepaError: no such encoder, one for other joints, an argument that does not fit, or a
            clip that is none (which, and why).
    """
    if isinstance(clips, np.ndarray | torch.Tensor):  # its first axis could be frames
        raise SjepaError(f"clips is one array {list(clips.shape)}: give a list, [clip] for one")
    if not isinstance(clips, Iterable) or isinstance(clips, str | torch.nn.Module):
        raise SjepaError(f"clips is of type {type(clips).__name__}: give a list of arrays first, "
                         "as in embed([clip], encoder)")
    if bodies is not None and not (isinstance(bodies, int | np.integer) and bodies > 0):
        raise SjepaError(f"bodies is {bodies!r}: expected a whole number from 1")
    if stream not in (None, *STREAMS):
        raise SjepaError(f"stream is {stream!r}: expected one of {', '.join(STREAMS)}")
    if not isinstance(encoder, torch.nn.Module):
        encoder, card = load_pretrained(encoder)
        stream = stream or card["recipe"].get("stream")
    if not isinstance(skeleton, Skeleton):
        raise SjepaError(f"skeleton is {skeleton!r}: give a Skeleton, such as COCO17 of "
                         "sjepa.datasets.layouts")
    joints = getattr(encoder, "joints", "no")
    if joints != len(skeleton):
        raise SjepaError(f"the encoder takes {joints} joints, clips in the layout "
                         f"{skeleton.name} have {len(skeleton)}")
    if (kind := next(encoder.parameters()).dtype) != torch.float32:
        raise SjepaError(f"the encoder's weights are {kind}: give encoder.float()")
    ready = [_filled(clip, bodies, center, f"clip {n}", skeleton) for n, clip in enumerate(clips)]
    if not ready:
        raise SjepaError("clips is empty: give at least one")
    features = np.empty((len(ready), encoder.dim), np.float32)
    slots, device = np.array([clip.shape[1] for clip in ready]), next(encoder.parameters()).device
    for count in np.unique(slots):
        index = np.flatnonzero(slots == count)
        store = _in_memory([ready[k] for k in index], device, skeleton)
        features[index] = extract(encoder, store, np.arange(len(index)), stream=stream or "joint")
    return features


def _filled(clip, bodies: int | None, center: bool, where: str, skeleton: Skeleton) -> np.ndarray:
    """A checked clip `[T, M, V, 3]` float32 with `bodies` slots."""
    try:
        if isinstance(clip, torch.Tensor):
            clip = clip.detach().float().cpu().numpy()
        clip = np.asarray(clip, np.float32)
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        raise SjepaError(f"{where} is no array of numbers ({error})") from error
    if skeleton == NTU25 and clip.ndim in (3, 4) and clip.shape[-2:] == (25, 3):
        clip = fill_joints(clip if clip.ndim == 4 else clip[:, None], where)
    clip = check_clip(clip, where, skeleton=skeleton)
    if center and not clip[:, 0].any():
        raise SjepaError(f"{where}: its first body is absent: put who is there first")
    if bodies is not None and clip.shape[1] > bodies:
        raise SjepaError(f"{where} has {clip.shape[1]} body slots, more than bodies = {bodies}")
    if center:
        clip = center_on_spine(clip, skeleton)
    missing = 0 if bodies is None else bodies - clip.shape[1]
    return np.pad(clip, ((0, 0), (0, missing), (0, 0), (0, 0)))


def _in_memory(clips: list[np.ndarray], device: torch.device, skeleton: Skeleton) -> DeviceStore:
    """Clips with the same number of slots as a store on `device`; an absent body's frames are 0."""
    bodies = [body for clip in clips for body in clip.swapaxes(0, 1)]
    sizes = torch.tensor([len(body) for body in bodies])
    offsets = (sizes.cumsum(0) - sizes).unflatten(0, (len(clips), -1))
    lengths = torch.tensor([len(clip) for clip in clips])
    frames = torch.from_numpy(np.concatenate(bodies))
    return DeviceStore(frames.to(device), offsets.to(device), lengths.to(device),
                       torch.zeros_like(lengths).to(device), skeleton)
