"""The built-in set: people from equations (`sjepa.synthetic`), as three depth cameras see them."""

from dataclasses import replace
from functools import partial

from sjepa import synthetic
from sjepa.datasets.build import PrepareConfig
from sjepa.datasets.layouts import center_on_spine
from sjepa.datasets.specs import DatasetSpec, Split, by_subject, by_view
from sjepa.datasets.store import Clip

#: Number of the recipe: another one, and stores made before are made again. To be raised whenever
#: `sjepa.synthetic` gives other clips.
RECIPE = "1"


def performances(subject: int, options: PrepareConfig, kinect20: bool = False) -> list[Clip]:
    """A subject's clips; `kinect20`: other performances, as a camera of 20 joints reports them."""
    seen = synthetic.as_kinect20 if kinect20 else lambda positions: positions
    return [replace(clip, positions=center_on_spine(seen(clip.positions)))
            for clip in synthetic.iterate_clips(subjects=(subject,), seed=int(kinect20))]


def built_in(name: str, title: str, kinect20: bool, splits: dict[str, Split]) -> DatasetSpec:
    """One of the two built-in sets."""
    return DatasetSpec(
        name=name, title=title, classes=synthetic.ACTIONS, needs="nothing", splits=splits,
        files=lambda raw: range(synthetic.SUBJECTS), read=partial(performances, kinect20=kinect20),
        recipe=RECIPE, note="procedurally generated, no human data")


SPEC = built_in("synthetic", "built-in", False, {
    "xsub": Split(by_subject(synthetic.TRAIN_SUBJECTS)),
    "xview": Split(by_view(synthetic.TRAIN_VIEWS)),
})
