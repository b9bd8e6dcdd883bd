"""Three sets of the open pool: what the ablations of single parts were pretrained on."""

from dataclasses import replace

from sjepa.datasets.sources import pool
from sjepa.datasets.specs import Split

SPEC = replace(
    pool.SPEC, name="pool3", title="pool of three sets", clips=4_675,
    files=lambda raw: ["bandai", "kindergator", "nwucla"],
    splits={"all": Split(pool.every, (4_675, 0))})
