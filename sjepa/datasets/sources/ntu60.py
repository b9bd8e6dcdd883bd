"""NTU RGB+D 60: 60 actions of 40 people before three Kinect v2."""

from functools import partial

from sjepa.datasets.build import PrepareConfig
from sjepa.datasets.formats import ntu_clips
from sjepa.datasets.specs import DatasetSpec, Origin, Split, by_subject, by_view

#: Cross-subject training performers (owners' list).
TRAIN = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
PAGE = "https://rose1.ntu.edu.sg/dataset/actionRecognition/"


def read(path, options: PrepareConfig):
    """One file's clip; the lineage leaves the second body of one person absent."""
    return ntu_clips.read(path, copied=options.second_body == "copied")


SPEC = DatasetSpec(
    name="ntu60", title="NTU60", classes=ntu_clips.classes("ntu60"),
    files=partial(ntu_clips.files, name="ntu60"), read=read,
    needs="the owners' .skeleton files",
    splits={
        "xsub": Split(by_subject(TRAIN), (40_091, 16_487)),
        "xview": Split(by_view((2, 3)), (37_646, 18_932)),
    },
    clips=56_578,
    origin=Origin(
        "NTU RGB+D 60", PAGE, "research only, signed agreement",
        "for research only, by a signed agreement",
        "Shahroudy, Liu, Ng, Wang: NTU RGB+D, CVPR 2016",
        # Names of the archives: read-me of CTR-GCN.
        ask=f"ask the ROSE lab at {PAGE} and take nturgbd_skeletons_s001_to_s017.zip",
    ),
    feeder="NTU60", numbers=ntu_clips.numbers, lacks=partial(ntu_clips.lacks, name="ntu60"),
)
