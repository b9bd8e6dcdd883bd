"""Three sets of the open pool: what the ablations of single parts were pretrained on."""

from dataclasses import replace
from pathlib import Path

from sjepa.datasets.sources import pool
from sjepa.datasets.specs import Split


def members(raw: Path) -> list[str]:
    """A member is read at a time, from its store; no folder is needed."""
    return ["bandai", "kindergator", "nwucla"]


SPEC = replace(pool.SPEC, name="pool3", title="pool of three sets", files=members, clips=4_675,
               splits={"all": Split(pool.every, (4_675, 0))})
