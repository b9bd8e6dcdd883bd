"""Streams: what of the skeleton a network sees. Joints are the paper's; the literature adds two.

A stream is made last, from joints that were cropped, rotated and, in pretraining, viewed: rotation
about the body, translation and mirror are motions of joints, and the bones and steps of a moved
body follow from it. (Translation then leaves no trace in bones and motion, as it should.) The
motion-aware mask is drawn from the joints, so that one rule hides tokens in every stream.
"""

from __future__ import annotations

import torch

from .skeleton import NTU_BONES

STREAMS = ("joint", "bone", "motion")


def bones(x: torch.Tensor) -> torch.Tensor:
    """Child minus parent along `NTU_BONES`; the hub, spine shoulder, has no bone and is zero.

    Args:
        x: joints `[..., T, V, 3]` metres; frames in which a body was not seen are zero.

    Returns:
        `[..., T, V, 3]`, each bone at the index of its child joint; unseen frames stay zero.
    """
    child, parent = (list(ends) for ends in zip(*NTU_BONES, strict=True))
    out = torch.zeros_like(x)
    out[..., child, :] = x[..., child, :] - x[..., parent, :]
    return out


def motion(x: torch.Tensor) -> torch.Tensor:
    """Each frame's step to the next, `x[t + 1] - x[t]`; the last frame is zero.

    The step between a seen and an unseen frame is zero too: a body that is lost did not jump to
    the origin.

    Args:
        x: joints `[..., T, V, 3]` metres.
    """
    seen = (x != 0).any(-1).any(-1)
    both = (seen[..., 1:] & seen[..., :-1])[..., None, None]
    step = (x[..., 1:, :, :] - x[..., :-1, :, :]) * both
    return torch.cat((step, torch.zeros_like(x[..., :1, :, :])), -3)


def to_stream(x: torch.Tensor, stream: str = "joint") -> torch.Tensor:
    """Joints `[..., T, V, 3]` as `stream`: one of `STREAMS`, of the same shape.

    Absent bodies stay zero. Lineage: the feeders of MAMP and of the works before it.
    """
    return {"joint": lambda joints: joints, "bone": bones, "motion": motion}[stream](x)
