"""S-JEPA, step by step: skeleton features learned by predicting latents of masked joints.

For your own motion: `read_motion` from a file to a clip, `embed` from clips to features,
`load_pretrained` for an encoder.
"""

from importlib import import_module

_HOME = {"embed": "protocols.features", "load_pretrained": "protocols.encoders",
         "read_motion": "datasets.motion"}
__all__ = list(_HOME)


def __getattr__(name: str):
    """The functions above when they are first asked for: importing them takes PyTorch along."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
