"""What a reading process of a test imports: no more than it needs, as it starts anew."""

import errno
import os

import numpy as np

from sjepa.datasets.store import Clip, LeftOut
from sjepa.errors import SjepaError


def clips_of_file(k) -> list[Clip | LeftOut]:
    """The clips of file k: two, or one that is left out."""
    if k == "die":
        os._exit(1)
    if k == "vanish":
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/some/where")
    if isinstance(k, str):
        raise SjepaError(f"file {k}: off the grammar")
    if k % 5 == 4:
        return [LeftOut(f"c{k}", "every fifth")]
    rng = np.random.default_rng(k)
    return [Clip(rng.normal(size=(3 + k % 4, 1 + k % 2, 25, 3)).astype("f4"), k % 3, f"c{k}{side}",
                 subject=k, sides={"a": "train"} if k % 2 else {"b": "test"}) for side in "ab"]
