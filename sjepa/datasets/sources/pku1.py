"""PKU-MMD, phase I. The counts are recalled: no public list of names confirms them."""

from functools import partial

from sjepa.datasets.formats import pku
from sjepa.datasets.specs import DatasetSpec, Origin, Split

PAGE = "https://www.icst.pku.edu.cn/struct/Projects/PKUMMD.html"

SPEC = DatasetSpec(
    name="pku1", title="PKU-MMD I", classes=pku.classes(1),
    files=partial(pku.files, phase=1), read=pku.read,
    needs="the owners' skeleton, label and split files (.txt)",
    splits={"xsub": Split(None, (18_841, 2_704)), "xview": Split(None)},
    clips=21_545,
    origin=Origin(
        "PKU-MMD, phase I", PAGE, "permission by e-mail",
        "for those to whom the owners give permission",
        "Liu, Hu, Li, Song, Liu: PKU-MMD, arXiv:1703.07475, 2017",
        # Names of the archives: MAMP's read-me.
        ask=f"write to the owners as {PAGE} says, and take Skeleton.7z, Label_PKUMMD.7z, "
            "cross-subject.txt and cross-view.txt of phase 1",
    ),
    feeder="PKU1",
)
